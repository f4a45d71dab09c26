"""What a report says of one run, read from the run's folder and measured anew from its samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.errors import UsageError
from benchmark.measure.histogram import Histogram, merge
from benchmark.measure.host_usage import COUNTERS, HostUsage, host_usage
from benchmark.measure.scrapes import Process, processes
from benchmark.measure.timeline import Timeline, make_timeline
from benchmark.metrics.names import Metrics
from benchmark.metrics.samples import Series, read_samples
from benchmark.report.format import redacted
from benchmark.results import manifest
from benchmark.results.run_folder import EVENTS, MANIFEST, SAMPLES, read_summary
from benchmark.results.summary import Summary


@dataclass(frozen=True)
class Fault:
    """A fault of a run: when it began and ended, unix s; `end` is None where it lasted."""

    name: str
    start: float
    end: float | None = None


@dataclass(frozen=True)
class Record:
    """One run as its folder tells it; what cannot be known is empty or None."""

    folder: Path
    summary: Summary
    manifest: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]] = ()
    series: Sequence[Series] = field(default=(), repr=False)

    @property
    def start(self) -> float:
        """When the measured window began, unix s; 0 if it never did."""
        return self.summary.window.start if self.summary.window else 0.0

    @property
    def end(self) -> float:
        """When the measured window ended, unix s."""
        return self.summary.window.end if self.summary.window else 0.0

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What was asked for, as in the manifest."""
        parameters: Mapping[str, Any] = self.manifest.get("parameters", {})
        return parameters

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that the run was started with."""
        settings: Mapping[str, Any] = self.parameters.get("settings", {})
        return settings

    @property
    def inventory_hosts(self) -> list[dict[str, Any]]:
        """The hosts of the testbed, as in the inventory."""
        hosts: list[dict[str, Any]] = self.manifest.get("inventory", {}).get("hosts", [])
        return hosts

    @property
    def scrape_interval(self) -> float:
        """Seconds between two samples, as set."""
        return manifest.scrape_interval(self.manifest)

    @property
    def metrics(self) -> Metrics:
        """Which metrics mean latency and throughput, and who exports them."""
        return manifest.metrics(self.manifest)

    @cached_property
    def processes(self) -> list[Process]:
        """The processes that count transactions."""
        return processes(self.series, self.metrics.job, self.metrics.counters)

    @cached_property
    def hosts(self) -> list[Process]:
        """The node exporters."""
        return processes(self.series, "host", COUNTERS)

    @cached_property
    def timeline(self) -> Timeline | None:
        """Figures from the first to the last sample, warm-up included."""
        if not self.processes or not self.summary.window:
            return None
        first = min(float(process.times[0]) for process in self.processes)
        start = max(first, self.manifest.get("times", {}).get("load", first))
        return make_timeline(self.processes, start, self.end, step=self._step(start), metrics=self.metrics)

    @cached_property
    def window(self) -> Timeline | None:
        """Figures in the measured window only."""
        if not self.processes or not self.summary.window:
            return None
        step = self.scrape_interval
        return make_timeline(self.processes, self.start, self.end, step=step, metrics=self.metrics)

    def _step(self, start: float) -> float:
        """No more than about 300 intervals: more cannot be told apart on a page."""
        return max(self.scrape_interval, (self.end - start) / 300)

    @cached_property
    def histograms(self) -> dict[str, Histogram]:
        """Latencies counted in the measured window, by region."""
        grouped: dict[str, list[Histogram]] = {}
        for process in self.processes:
            span = process.span(self.start, self.end)
            if span is not None:
                grouped.setdefault(process.region, []).append(process.histogram(self.metrics.latency, span))
        merged = {region: merge(members) for region, members in sorted(grouped.items())}
        return {region: histogram for region, histogram in merged.items() if histogram.count > 0}

    @cached_property
    def usage(self) -> dict[str, HostUsage]:
        """What was used of each host in the measured window."""
        if self.summary.hosts or not self.summary.window:
            return dict(self.summary.hosts)
        return host_usage(self.series, self.start, self.end)

    @property
    def faults(self) -> list[Fault]:
        """The faults of the manifest, in order: each has a name, a start, and an end if it was healed."""
        return [
            Fault(str(fault.get("name", "fault")), float(fault["start"]), fault.get("end"))
            for fault in self.manifest.get("faults", [])
            if "start" in fault
        ]


def read_record(folder: Path) -> Record:
    """Read a run's folder, without secrets; UsageError if it holds no manifest or no summary."""
    document = redacted(_read_json(folder / MANIFEST))
    summary = read_summary(folder)
    if summary is None:
        raise UsageError(f"{folder} has no summary: the run was killed before it wrote one, so there is no report")
    samples = folder / SAMPLES
    series = read_samples(samples) if samples.exists() else []
    return Record(folder, summary, document, _read_events(folder / EVENTS), series)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; expected the folder of a run") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    return document


def _read_events(path: Path) -> list[Mapping[str, Any]]:
    """Read the events; a last line that a kill cut short is left out."""
    events = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            events.append(json.loads(line))
        except ValueError:
            break
    return events

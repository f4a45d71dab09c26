"""The data of one run's report: its folder, and time series computed from its samples."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.measure.client_logs import ClientLog, increase_of_log, log_timeline
from benchmark.measure.histogram import Histogram
from benchmark.measure.host_usage import COUNTERS, HostUsage, host_usage
from benchmark.measure.log_extremes import slowest
from benchmark.measure.phases import timeouts_of
from benchmark.measure.scrapes import RunSamples, ScrapedTarget
from benchmark.measure.timeline import Timeline, make_timeline, timelines
from benchmark.measure.window_stats import Increase, increase_of, latency_histogram
from benchmark.metrics.names import MetricNames
from benchmark.metrics.sample_files import read_samples
from benchmark.results.latency_logs import stored_logs
from benchmark.results.manifest import Manifest, parse_manifest, read_manifest
from benchmark.results.run_folder import SAMPLES, read_summary, without_result
from benchmark.results.summary import Summary
from benchmark.settings import redact_document

_MOST_INTERVALS = 300
"""A page cannot show more."""
_FINE_INTERVALS = 100
"""Of the measured window from latency logs, at least: batches of them show how precise a short run is."""
_SHOWN_S = 1.0
"""Shortest interval that a page shows of latency logs."""


@dataclass(frozen=True)
class Record:
    """One run, read from its folder; what is unknown is empty or None."""

    folder: Path
    summary: Summary
    manifest: Manifest
    samples: RunSamples = field(repr=False)

    @property
    def start(self) -> float:
        """When the measured window began, unix s; 0 if it never did."""
        return self.summary.window.start if self.summary.window else 0.0

    @property
    def end(self) -> float:
        """When the measured window ended, unix s."""
        return self.summary.window.end if self.summary.window else 0.0

    @property
    def scrape_interval(self) -> float:
        """Seconds between two samples, as set."""
        return self.manifest.parameters.scrape_interval_s

    @property
    def metrics(self) -> MetricNames:
        """Which metrics mean latency and throughput, and who exports them."""
        return self.manifest.metrics

    @property
    def load_start(self) -> float | None:
        """When the load began, unix s; None if it never did."""
        return self.manifest.times.load if self.manifest.times else None

    @property
    def clients(self) -> list[ScrapedTarget]:
        """What counts transactions: the load generators, or nodes that generate their load."""
        return self.samples.targets(self.metrics.job, self.metrics.counters)

    @property
    def hosts(self) -> list[ScrapedTarget]:
        """The node exporters."""
        return self.samples.targets("host", COUNTERS)

    @cached_property
    def logs(self) -> list[ClientLog]:
        """The latency logs of all clients; empty if the results come from samples."""
        return stored_logs(self.folder, self.summary, self.manifest, processes=os.cpu_count() or 1)

    @cached_property
    def timeline(self) -> Timeline | None:
        """Metrics over time, including warm-up, in intervals that a page can show; from logs with the maximum."""
        if self.logs and self.summary.window:
            start = self.start if self.load_start is None else self.load_start
            step = max(_SHOWN_S, (self.end - start) / _MOST_INTERVALS)
            made = log_timeline(self.logs, start, self.end, step)
            return made and replace(made, quantiles_s=made.quantiles_s | {"max_s": slowest(self.logs, made.edges)})
        if not self.clients or not self.summary.window:
            return None
        first = min(float(client.times[0]) for client in self.clients)
        start = first if self.load_start is None else max(first, self.load_start)
        step = max(self.scrape_interval, (self.end - start) / _MOST_INTERVALS)
        return make_timeline(self.clients, start, self.end, step=step, names=self.metrics)

    @cached_property
    def timeline_by_region(self) -> dict[str, Timeline]:
        """The timeline of the clients of each region, in the same intervals where it comes from logs."""
        if not self.summary.window:
            return {}
        start = self.start if self.load_start is None else self.load_start
        if not self.logs:
            step = max(self.scrape_interval, (self.end - start) / _MOST_INTERVALS)
            return timelines(self.samples, start, self.end, by="region", step=step, names=self.metrics)
        step = max(_SHOWN_S, (self.end - start) / _MOST_INTERVALS)
        members = {region: [log for log in self.logs if log.region == region] for region in self.histograms}
        made = {region: log_timeline(logs, start, self.end, step) for region, logs in members.items()}
        return {region: timeline for region, timeline in made.items() if timeline is not None}

    @cached_property
    def window(self) -> Timeline | None:
        """Metrics over time in the measured window only."""
        if self.logs and self.summary.window:
            step = min(self.scrape_interval, (self.end - self.start) / _FINE_INTERVALS)
            return log_timeline(self.logs, self.start, self.end, step)
        if not self.clients or not self.summary.window:
            return None
        step = self.scrape_interval
        return make_timeline(self.clients, self.start, self.end, step=step, names=self.metrics)

    @cached_property
    def increases(self) -> dict[str, list[Increase]]:
        """What the clients of each region counted in the measured window."""
        grouped: dict[str, list[Increase]] = {}
        timeouts = timeouts_of(self.clients)
        for log in self.logs:
            increase = increase_of_log(log, self.start, self.end, timeouts.get(log.name))
            grouped.setdefault(log.region, []).append(increase)
        for client in self.clients if not self.logs else ():
            inside = client.sample_range(self.start, self.end)
            if inside is not None:
                grouped.setdefault(client.region, []).append(increase_of(client, inside, self.metrics))
        return grouped

    @cached_property
    def histogram(self) -> Histogram:
        """Latencies of all clients, merged as in the summary; failed requests count as their timeout."""
        return latency_histogram([each for members in self.increases.values() for each in members])

    @cached_property
    def histograms(self) -> dict[str, Histogram]:
        """The same by region, of those in which the latency of a request is known."""
        found = {region: latency_histogram(members) for region, members in sorted(self.increases.items())}
        return {region: histogram for region, histogram in found.items() if histogram.count > 0 and histogram.bounded}

    @cached_property
    def usage(self) -> dict[str, HostUsage]:
        """Resource usage of each host in the measured window."""
        if self.summary.hosts or not self.summary.window:
            return dict(self.summary.hosts)
        return host_usage(self.samples, self.start, self.end)


def read_record(folder: Path) -> Record:
    """Read a run's folder with secrets redacted; UsageError if it has no manifest or no summary."""
    manifest = read_redacted_manifest(folder)
    summary = read_summary(folder)
    if summary is None:
        raise UsageError(f"{folder} has no report: {without_result(folder)}")
    samples = folder / SAMPLES
    series = read_samples(samples) if samples.exists() else []
    return Record(folder, summary, manifest, RunSamples(series, manifest.metrics))


def read_redacted_manifest(folder: Path) -> Manifest:
    """Read a run's manifest with secrets redacted; UsageError if there is none."""
    text = json.dumps(redact_document(json.loads(read_manifest(folder).to_json())))
    return parse_manifest(text, str(folder))

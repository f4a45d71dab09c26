"""One run's numbers, from the raw samples of the measured window and nothing else.

Each client counts from its first real sample at or after the window's start to its last one at or before its
end. Throughput is the sum over clients of growth by the time between these two samples; quantiles come from the
summed buckets of all clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmark.measure.run_metrics import Quantile
from benchmark.measure.scrapes import Process, processes
from benchmark.measure.timeline import Timeline, make_timeline
from benchmark.measure.window_stats import Figures, Growth, figures, grow
from benchmark.metrics.names import LATENESS, LOAD_GENERATOR, MetricNames
from benchmark.metrics.samples import Series

WAN_LATENESS = "wan_lateness_seconds"


@dataclass(frozen=True)
class Measurement:
    """One run's numbers and what is needed to judge them; made by `measure`."""

    start: float
    end: float
    scrape_interval: float
    metrics: MetricNames
    total: Figures
    regions: dict[str, Figures]
    clients: dict[str, Figures]
    """By the name of the client, which is that of its host where it is the only one there."""
    hosts: dict[str, str]
    """The host of each client, also of those without figures."""
    timeline: Timeline | None
    """None where no client has two samples."""
    lateness_s: dict[str, Quantile] = field(default_factory=dict)
    """p99 by which each client sent requests after they were due."""
    wan_lateness_s: dict[str, Quantile] = field(default_factory=dict)
    """p99 by which the emulated network of each host delivered packets late."""
    gaps: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Stretches without a sample by client, unix s."""
    restarts: dict[str, list[float]] = field(default_factory=dict)
    """Time of the first sample after each restart, by process (`client us-east-1-0`), unix s."""
    late_starts: dict[str, float] = field(default_factory=dict)
    """Clients whose first completed transaction was sampled only in the window: seconds after its start."""


def measure(
    series: Sequence[Series],
    start: float,
    end: float,
    *,
    metrics: MetricNames = LOAD_GENERATOR,
    scrape_interval: float = 5.0,
) -> Measurement:
    """Measure a run from the raw samples of its clients in the window from `start` to `end` (unix s).

    `scrape_interval` (s) says what a gap is (2.5 of it) and how fine the timeline is.
    """
    measured = processes(series, metrics.job, metrics.counters)
    spans = {process.name: process.span(start, end) for process in measured}
    growths = {p.name: grow(p, span, metrics) for p in measured if (span := spans[p.name]) is not None}
    by_region: dict[str, list[Growth]] = {}
    for process in measured:
        if process.name in growths:
            by_region.setdefault(process.region, []).append(growths[process.name])
    return Measurement(
        start=start,
        end=end,
        scrape_interval=scrape_interval,
        metrics=metrics,
        total=figures(growths.values(), metrics),
        regions={region: figures(members, metrics) for region, members in sorted(by_region.items())},
        clients={name: figures([growth], metrics) for name, growth in growths.items()},
        hosts={process.name: process.host for process in measured},
        timeline=make_timeline(measured, start, end, step=scrape_interval, metrics=metrics),
        lateness_s=_p99s(measured, LATENESS, start, end),
        wan_lateness_s=_p99s(processes(series, "host", [f"{WAN_LATENESS}_count"]), WAN_LATENESS, start, end),
        gaps={p.name: gaps for p in measured if (gaps := p.gaps(start, end, 2.5 * scrape_interval))},
        restarts=_restarts(series, metrics, start, end),
        late_starts=_late_starts(measured, metrics, start, end),
    )


def _p99s(measured: Sequence[Process], metric: str, start: float, end: float) -> dict[str, Quantile]:
    result = {}
    for process in measured:
        span = process.span(start, end)
        quantile = process.histogram(metric, span).quantile(0.99) if span else None
        if quantile is not None:
            result[process.name] = quantile
    return result


def _restarts(series: Sequence[Series], metrics: MetricNames, start: float, end: float) -> dict[str, list[float]]:
    """Restarts of clients and nodes between two samples of which the later lies in the window."""
    result = {}
    for job in ("client", "node"):
        names = metrics.counters if job == metrics.job else ("process_start_time_seconds",)
        for process in processes(series, job, names):
            times = [float(process.times[index]) for index in process.restarts]
            inside = [time for time in times if start <= time <= end]
            if inside:
                result[f"{job} {process.name}"] = inside
    return result


def _late_starts(measured: Sequence[Process], metrics: MetricNames, start: float, end: float) -> dict[str, float]:
    """Clients that had completed nothing by their first sample in the window: when they had, after its start."""
    result = {}
    for process in measured:
        completed = process.gauge(metrics.completed)
        span = process.span(start, end)
        if span and completed[span.first] == 0 and completed[span.last] > 0:
            result[process.name] = float(process.times[np.flatnonzero(completed > 0)[0]] - start)
    return result

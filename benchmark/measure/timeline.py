"""Figures over time, every transaction counted in one interval only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmark.measure.histogram import Array, make_histogram, merge
from benchmark.measure.run_metrics import QUANTILES
from benchmark.measure.scrapes import Process, Span, processes
from benchmark.metrics.names import ERRORS, LOAD_GENERATOR, SUBMITTED, MetricNames
from benchmark.metrics.samples import Series


@dataclass(frozen=True)
class Timeline:
    """Figures over time: of every array, element i belongs to the interval from edges[i] to edges[i + 1] (unix s).

    Growth between two samples is spread evenly over the time between them, so that every transaction is counted
    in one interval only. Latencies are NaN where nothing completed.
    """

    edges: Array
    completed_tps: Array
    sent_tps: Array
    errors_tps: Array
    mean_s: Array
    quantiles_s: dict[str, Array]
    """By the name of the metric, such as `p99_s`."""

    def columns(self) -> dict[str, Array]:
        """Return the values of every metric by its name."""
        rates = {"completed_tps": self.completed_tps, "sent_tps": self.sent_tps, "errors_tps": self.errors_tps}
        return rates | {"mean_s": self.mean_s} | self.quantiles_s


def make_timeline(
    measured: Sequence[Process], start: float, end: float, *, step: float, metrics: MetricNames
) -> Timeline | None:
    """Return the figures of all clients per interval of about `step` s between `start` and `end` (unix s).

    The edges lie within the samples of every client, but for clients that came or went more than an interval
    before the others. None where no client has two samples in the window.
    """
    sampled = [(process, span) for process in measured if (span := process.span(start, end)) is not None]
    if not sampled:
        return None
    first = min(max(process.times[span.first] for process, span in sampled), start + step)
    last = max(min(process.times[span.last] for process, span in sampled), end - step)
    if last <= first:
        first, last = start, end
    edges = np.linspace(first, last, max(1, round((last - first) / step)) + 1)
    width = np.diff(edges)
    rates = np.stack([_spread(p, p.grown(metrics.completed).sum(axis=0)[None], edges)[0] for p, _ in sampled])
    count = _total(sampled, f"{metrics.latency}_count", edges)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _total(sampled, f"{metrics.latency}_sum", edges) / count
    return Timeline(
        edges=edges,
        completed_tps=(np.median(rates, axis=0) if metrics.aggregation == "median" else rates.sum(axis=0)) / width,
        sent_tps=_total(sampled, SUBMITTED, edges) / width,
        errors_tps=_total(sampled, ERRORS, edges) / width,
        mean_s=np.where(count > 0, mean, np.nan),
        quantiles_s=_quantiles_over_time([process for process, _ in sampled], metrics.latency, edges),
    )


def timelines(
    series: Sequence[Series],
    start: float,
    end: float,
    *,
    by: Literal["region", "client"],
    step: float = 5.0,
    metrics: MetricNames = LOAD_GENERATOR,
) -> dict[str, Timeline]:
    """Return a timeline for each region, or for each client by its name, that has two samples in the window."""
    groups: dict[str, list[Process]] = {}
    for process in processes(series, metrics.job, metrics.counters):
        groups.setdefault(process.region if by == "region" else process.name, []).append(process)
    made = {name: make_timeline(group, start, end, step=step, metrics=metrics) for name, group in groups.items()}
    return {name: timeline for name, timeline in made.items() if timeline is not None}


def _quantiles_over_time(measured: Sequence[Process], latency: str, edges: Array) -> dict[str, Array]:
    """Return quantiles of the summed buckets in each interval between `edges`, by the metric's name."""
    per_process = []
    for process in measured:
        bounds, grown = process.buckets(latency)
        per_process.append((bounds, _spread(process, grown, edges)))
    found = {metric: np.full(len(edges) - 1, np.nan) for metric in QUANTILES if metric.over_time}
    for index in range(len(edges) - 1):
        merged = merge([make_histogram(bounds, grown[:, index]) for bounds, grown in per_process if bounds.size])
        for metric, values in found.items():
            quantile = merged.quantile(QUANTILES[metric])
            values[index] = quantile.estimate if quantile else np.nan
    return {metric.name: values for metric, values in found.items()}


def _spread(process: Process, grown: Array, edges: Array) -> Array:
    """Return the part of `grown` (rows, times) in each interval, growth being even between samples."""
    right = np.clip(np.searchsorted(process.times, edges, side="right"), 1, len(process.times) - 1)
    before, after = process.times[right - 1], process.times[right]
    share = np.clip((edges - before) / (after - before), 0.0, 1.0)
    # In this form nothing grows, not even by rounding, where the samples do not.
    at_edges = grown[:, right - 1] + (grown[:, right] - grown[:, right - 1]) * share
    return np.asarray(np.diff(at_edges, axis=1), dtype=np.float64)


def _total(sampled: Sequence[tuple[Process, Span]], metric: str, edges: Array) -> Array:
    rows = [_spread(process, process.grown(metric).sum(axis=0)[None], edges)[0] for process, _ in sampled]
    return np.asarray(np.sum(rows, axis=0), dtype=np.float64)

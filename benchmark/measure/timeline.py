"""Statistics over time, every transaction counted in one interval only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmark.measure.histogram import Array, add_failures, make_histogram, merge
from benchmark.measure.run_metrics import QUANTILES
from benchmark.measure.scrapes import RunSamples, ScrapedTarget
from benchmark.metrics.names import LOAD_GENERATOR, SUBMITTED, TIMEOUT, MetricNames


@dataclass(frozen=True)
class Timeline:
    """Statistics over time: of every array, element i belongs to the interval from edges[i] to edges[i + 1] (unix s).

    An increase between two samples is spread evenly over the time between them, so that every transaction is counted
    in one interval only. Latencies are NaN where unknown, or nothing completed or failed. They include failed requests,
    counted as their timeout.
    """

    edges: Array
    completed_tps: Array
    sent_tps: Array
    errors_tps: Array
    """NaN where errors are not counted."""
    mean_s: Array
    successful_mean_s: Array
    """Of the transactions that completed only."""
    quantiles_s: dict[str, Array]
    """By the name of the metric, such as `p99_s`."""

    def columns(self) -> dict[str, Array]:
        """Return the values of every metric by its name."""
        rates = {"completed_tps": self.completed_tps, "sent_tps": self.sent_tps, "errors_tps": self.errors_tps}
        means = {"mean_s": self.mean_s, "successful_mean_s": self.successful_mean_s}
        return rates | means | self.quantiles_s


def make_timeline(
    targets: Sequence[ScrapedTarget], start: float, end: float, *, step: float, names: MetricNames
) -> Timeline | None:
    """Return the statistics of all clients per interval of about `step` s between `start` and `end` (unix s).

    The edges lie within the samples of every client, except of clients that started or stopped more than an interval
    before the others. None where no client has two samples in the window.
    """
    sampled = [(target, samples) for target in targets if (samples := target.sample_range(start, end)) is not None]
    if not sampled:
        return None
    first = min(max(target.times[samples.first] for target, samples in sampled), start + step)
    last = max(min(target.times[samples.last] for target, samples in sampled), end - step)
    if last <= first:
        first, last = start, end
    edges = np.linspace(first, last, max(1, round((last - first) / step)) + 1)
    width = np.diff(edges)

    def per_target(metric: str) -> Array:
        """Return the increase of `metric` in each interval: shape (targets, intervals)."""
        rows = [_spread(target, target.increases(metric).sum(axis=0)[None], edges)[0] for target, _ in sampled]
        return np.stack(rows)

    completed = per_target(names.completed)
    count = per_target(f"{names.latency}_count").sum(axis=0)
    sums = [_spread(target, target.totals(names.latency, samples)[None], edges)[0] for target, samples in sampled]
    total = np.sum(sums, axis=0)
    if any(
        target.unknown(f"{names.latency}_sum", samples) and target.increase(f"{names.latency}_count", samples) > 0
        for target, samples in sampled
    ):
        total = np.full(len(width), np.nan)
    failed = per_target(names.errors or "").sum(axis=0)
    counted = any(target.has(names.errors or "") for target, _ in sampled)
    timeouts = [float(target.gauge(TIMEOUT)[-1]) for target, _ in sampled if target.has(TIMEOUT)]
    timeout = min(timeouts, default=None)
    lost = np.where(failed > 0, np.nan if timeout is None else timeout * failed, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        successful_mean, mean = total / count, (total + lost) / (count + failed)
    return Timeline(
        edges=edges,
        completed_tps=(np.median(completed, axis=0) if names.aggregation == "median" else completed.sum(axis=0))
        / width,
        sent_tps=per_target(SUBMITTED).sum(axis=0) / width,
        errors_tps=failed / width if counted else np.full(len(width), np.nan),
        mean_s=np.where(count + failed > 0, mean, np.nan),
        successful_mean_s=np.where(count > 0, successful_mean, np.nan),
        quantiles_s=_quantiles_over_time(
            [target for target, _ in sampled], names.latency, edges, failed, timeout, mean
        ),
    )


def timelines(
    samples: RunSamples,
    start: float,
    end: float,
    *,
    by: Literal["region", "client"],
    step: float = 5.0,
    names: MetricNames = LOAD_GENERATOR,
) -> dict[str, Timeline]:
    """Return a timeline for each region, or for each client by its name, that has two samples in the window."""
    groups: dict[str, list[ScrapedTarget]] = {}
    for target in samples.targets(names.job, names.counters):
        groups.setdefault(target.region if by == "region" else target.name, []).append(target)
    made = {name: make_timeline(group, start, end, step=step, names=names) for name, group in groups.items()}
    return {name: timeline for name, timeline in made.items() if timeline is not None}


def _quantiles_over_time(
    targets: Sequence[ScrapedTarget], latency: str, edges: Array, failed: Array, timeout: float | None, mean: Array
) -> dict[str, Array]:
    """Return quantiles in each interval between `edges`, from summed buckets and `failed` requests, by metric name."""
    buckets = [
        (bounds, _spread(target, counts, edges)) for target in targets for bounds, counts in [target.buckets(latency)]
    ]
    found = {metric: np.full(len(edges) - 1, np.nan) for metric in QUANTILES if metric.over_time}
    for index in range(len(edges) - 1):
        merged = merge([make_histogram(bounds, counts[:, index]) for bounds, counts in buckets if bounds.size])
        merged = add_failures(merged, float(failed[index]), timeout)
        for metric, values in found.items():
            quantile = merged.quantile(QUANTILES[metric], float(mean[index]) if np.isfinite(mean[index]) else None)
            values[index] = quantile.estimate if quantile else np.nan
    return {metric.name: values for metric, values in found.items()}


def _spread(target: ScrapedTarget, increases: Array, edges: Array) -> Array:
    """Return the part of `increases` (rows, times) in each interval, each spread evenly between two samples."""
    right = np.clip(np.searchsorted(target.times, edges, side="right"), 1, len(target.times) - 1)
    before, after = target.times[right - 1], target.times[right]
    share = np.clip((edges - before) / (after - before), 0.0, 1.0)
    # In this form nothing increases, not even by rounding, where the samples do not.
    at_edges = increases[:, right - 1] + (increases[:, right] - increases[:, right - 1]) * share
    return np.asarray(np.diff(at_edges, axis=1), dtype=np.float64)

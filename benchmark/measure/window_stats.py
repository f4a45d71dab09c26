"""Figures: what one process counted in a window, and what several counted together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.measure.histogram import Histogram, merge
from benchmark.measure.run_metrics import QUANTILES, Latency
from benchmark.measure.scrapes import Process, Span
from benchmark.metrics.names import DUE, ERRORS, IN_FLIGHT, SUBMITTED, MetricNames
from benchmark.model import Finite, StrictModel


class Figures(StrictModel):
    """The numbers of some or all clients in the measured window."""

    completed_tps: Finite
    """Completed transactions by time."""
    sent_tps: Finite | None
    """Offered load as sent; null where it is not counted."""
    scheduled_tps: Finite | None
    """Offered load as scheduled; null where it is not counted."""
    backlog_tps: Finite | None
    """Growth of the number of transactions in flight by time; null where it is not exported."""
    completed: Finite
    """Transactions completed between the first and the last sample."""
    sampled_seconds: Finite
    """Time between the first and the last sample, the median over the clients."""
    latency_s: Latency | None
    """Null if no transaction completed."""
    errors: dict[str, int]
    """Failed transactions by type."""


@dataclass(frozen=True)
class Growth:
    """What one process counted between the first and the last of its samples in the window."""

    seconds: float
    completed: float
    latency_sum: float
    squared_sum: float | None
    histogram: Histogram
    submitted: float | None
    due: float | None
    backlog: float | None
    errors: dict[str, float]


def grow(process: Process, span: Span, metrics: MetricNames) -> Growth:
    """Return what `process` counted over `span`."""

    def counted(metric: str | None) -> float | None:
        return process.growth(metric, span) if metric and process.has(metric) else None

    in_flight = process.gauge(IN_FLIGHT)
    return Growth(
        seconds=process.seconds(span),
        completed=process.growth(metrics.completed, span),
        latency_sum=process.growth(f"{metrics.latency}_sum", span),
        squared_sum=counted(metrics.squared),
        histogram=process.histogram(metrics.latency, span),
        submitted=counted(SUBMITTED),
        due=counted(DUE),
        backlog=float(in_flight[span.last] - in_flight[span.first]) if process.has(IN_FLIGHT) else None,
        errors=process.growth_by(ERRORS, "error_type", span),
    )


def figures(growths: Iterable[Growth], metrics: MetricNames) -> Figures:
    """Merge the growth of processes; their order and grouping make no difference."""
    members = list(growths)
    rates = [growth.completed / growth.seconds for growth in members]
    errors = {name for growth in members for name in growth.errors}
    every = metrics.aggregation == "median"
    return Figures(
        completed_tps=_middle(rates) if every else math.fsum(rates),
        sent_tps=_rate([(growth.submitted, growth.seconds) for growth in members]),
        scheduled_tps=_rate([(growth.due, growth.seconds) for growth in members]),
        backlog_tps=_rate([(growth.backlog, growth.seconds) for growth in members]),
        completed=_middle([g.completed for g in members]) if every else math.fsum(g.completed for g in members),
        sampled_seconds=_middle([growth.seconds for growth in members]),
        latency_s=_latency(members),
        errors={name: round(sum(growth.errors.get(name, 0.0) for growth in members)) for name in sorted(errors)},
    )


def _latency(members: Sequence[Growth]) -> Latency | None:
    count = math.fsum(growth.histogram.count for growth in members)
    histogram = merge([growth.histogram for growth in members if growth.histogram.count > 0])
    if count <= 0:
        return None
    quantiles = {metric.key: histogram.quantile(q) for metric, q in QUANTILES.items()}
    mean = math.fsum(growth.latency_sum for growth in members) / count
    squared = [growth.squared_sum for growth in members if growth.squared_sum is not None]
    stdev = math.sqrt(max(0.0, math.fsum(squared) / count - mean**2)) if len(squared) == len(members) else None
    return Latency.model_validate({"mean": mean, "stdev": stdev} | quantiles)


def _rate(parts: Sequence[tuple[float | None, float]]) -> float | None:
    """Sum the rates of (growth, seconds); None unless all are known."""
    rates = [growth / seconds for growth, seconds in parts if growth is not None]
    return math.fsum(rates) if rates and len(rates) == len(parts) else None


def _middle(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else 0.0

"""Statistics of the measured window, per target and merged over several targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from benchmark.measure.histogram import Histogram, add_failures, merge
from benchmark.measure.run_metrics import QUANTILES, Latency
from benchmark.measure.scrapes import SampleRange, ScrapedTarget
from benchmark.metrics.names import DUE, IN_FLIGHT, OLDEST, SUBMITTED, TIMEOUT, MetricNames
from benchmark.model import Finite, StrictModel


class WindowStats(StrictModel):
    """The statistics of some or all clients in the measured window; null where a client does not export them."""

    completed_tps: Finite | None
    sent_tps: Finite | None
    scheduled_tps: Finite | None
    """The load that fell due by the clients' schedules."""
    backlog_tps: Finite | None
    """Increase of the number of transactions in flight, per second."""
    completed: Finite | None
    """Transactions completed between the first and the last sample."""
    sampled_seconds: Finite
    """Time between the first and the last sample, the median over the clients."""
    latency_s: Latency | None
    """Of all transactions, failed ones counted as their timeout: their true latency is at least that. Null if none
    completed or failed. Where `errors` is null, of those that completed."""
    successful_latency_s: Latency | None = None
    """Of the transactions that completed; null if none did."""
    errors: dict[str, int] | None
    """Failed transactions by type; null where they are not counted."""
    unanswered: int = 0
    """Transactions that hung when the window ended: not failed yet, but far slower than all that completed. Quantiles
    of `latency_s` count them as slower than all others, its mean does not count them."""
    carried_over: int | None = None
    """Transactions that completed in the window but fell due before it; null where that is unknown."""
    unknown: dict[str, str] = {}
    """Why metrics are null although a client exports them, by their name, such as `mean_s`."""

    @property
    def failed(self) -> int | None:
        """The number of failed transactions; None if unknown."""
        return None if self.errors is None else sum(self.errors.values())


_HANGS = 2.0
"""How many times as old as the slowest completed transaction one without an outcome is if it hangs. In a system that is
saturated, which answers in order, it is about as old."""


@dataclass(frozen=True)
class Increase:
    """What one target counted between the first and the last of its samples in the window."""

    seconds: float
    completed: float | None
    latency_sum: float | None
    squared_sum: float | None
    histogram: Histogram
    sent: float | None
    scheduled: float | None
    backlog: float | None
    errors: dict[str, float] | None
    fine: bool = False
    """Whether buckets are too narrow for the mean to tell where values lie in them."""
    timeout_s: float | None = None
    oldest_s: float = 0.0
    """Age of the oldest transaction without an outcome at the end."""
    hung: float | None = None
    """Transactions that hang, where they are counted; otherwise they are derived from the age of the oldest one."""
    carried_over: float | None = None
    """Transactions that fell due before the window and completed in it; from samples, those without an outcome by then:
    the most that can have completed."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Why metrics of this target are unknown, by their name."""

    @property
    def failed(self) -> float:
        """The number of failed transactions, as far as they are counted."""
        return math.fsum((self.errors or {}).values())

    @property
    def unanswered(self) -> float:
        """Transactions that hang: they fell due, have no outcome yet, and are far slower than all that completed."""
        if self.hung is not None:
            return self.hung
        if self.scheduled is None or self.oldest_s <= _HANGS * self.histogram.slowest:
            return 0.0
        return max(0.0, self.scheduled - (self.completed or 0.0) - self.failed)


def increase_of(target: ScrapedTarget, samples: SampleRange, names: MetricNames) -> Increase:
    """Return what `target` counted over the range of its samples."""
    unknown: dict[str, str] = {}

    def known(metric: str | None, *results: str, required: bool = False) -> bool:
        """Return whether the increase of `metric` is known; otherwise note why `results` are not."""
        reason = target.unknown(metric, samples) if metric else "not counted"
        if reason and (required or metric in target.damage):
            unknown.update(dict.fromkeys(results, f"{names.job} {target.name}: {reason}"))
        return reason is None

    def counted(metric: str | None, *results: str) -> float | None:
        return target.increase(metric, samples) if metric and known(metric, *results) else None

    bucket = f"{names.latency}_bucket"
    histogram, in_flight = target.histogram(names.latency, samples), target.gauge(IN_FLIGHT)
    completed = counted(names.completed, "completed_tps")
    if names.completed not in target.damage:
        completed = completed or 0.0  # counters may be exported only once there is something to count
    if histogram.count > 0 and not histogram.bounded:
        why = target.unknown(bucket, samples) or f'`{bucket}` has no bucket but le="+Inf"'
        unknown.update({metric.name: f"{names.job} {target.name}: {why}" for metric in QUANTILES})
    return Increase(
        seconds=target.seconds(samples),
        completed=completed,
        latency_sum=target.total(names.latency, samples)
        if histogram.count <= 0 or known(f"{names.latency}_sum", "mean_s", "stdev_s", required=True)
        else None,
        squared_sum=counted(names.squared, "stdev_s"),
        histogram=histogram,
        sent=counted(SUBMITTED, "sent_tps"),
        scheduled=counted(DUE, "scheduled_tps"),
        backlog=float(in_flight[samples.last] - in_flight[samples.first]) if known(IN_FLIGHT, "backlog_tps") else None,
        errors=target.increase_by(names.errors, names.error_label, samples)
        if names.errors and known(names.errors, "errors")
        else None,
        timeout_s=float(target.gauge(TIMEOUT)[samples.last]) if known(TIMEOUT) else None,
        oldest_s=float(target.gauge(OLDEST)[samples.last]) if known(OLDEST) else 0.0,
        carried_over=_without_outcome(target, samples.first, names) if known(DUE) else None,
        unknown=unknown,
    )


def _without_outcome(target: ScrapedTarget, sample: int, names: MetricNames) -> float:
    """Return how many transactions had fallen due by a sample and neither completed nor failed."""
    ended = [float(target.gauge(name)[sample]) for name in (names.completed, names.errors) if name and target.has(name)]
    return max(0.0, float(target.gauge(DUE)[sample]) - math.fsum(ended))


def window_stats(increases: Iterable[Increase], names: MetricNames) -> WindowStats:
    """Merge the increases of targets; their order and grouping make no difference."""
    members = list(increases)
    unknown = {name: each.unknown[name] for each in reversed(members) for name in sorted(each.unknown)}
    if "errors" in unknown:  # some of the failed transactions are not all of them
        members = [replace(each, errors=None) for each in members]
    aggregate = median_of if names.aggregation == "median" else math.fsum
    errors = [each.errors for each in members if each.errors is not None]
    kinds = sorted({kind for each in errors for kind in each})
    completed = [each.completed for each in members if each.completed is not None]
    carried = [each.carried_over for each in members if each.carried_over is not None]
    rates = [each.completed / each.seconds for each in members if each.completed is not None]
    complete = 0 < len(completed) == len(members)
    latencies = latency_histogram(members)
    if latencies.count > 0 and not latencies.bounded:
        reason = "the clients' histograms have no bounds in common"
        unknown |= {metric.name: unknown.get(metric.name, reason) for metric in QUANTILES}
    return WindowStats(
        completed_tps=aggregate(rates) if complete else None,
        sent_tps=_rate([(each.sent, each.seconds) for each in members]),
        scheduled_tps=_rate([(each.scheduled, each.seconds) for each in members]),
        backlog_tps=_rate([(each.backlog, each.seconds) for each in members]),
        completed=aggregate(completed) if complete else None,
        sampled_seconds=median_of([each.seconds for each in members]) or 0.0,
        latency_s=_latency(members),
        successful_latency_s=_latency([replace(each, errors=None, hung=0.0) for each in members]),
        unanswered=round(math.fsum(each.unanswered for each in members)),
        carried_over=round(math.fsum(carried)) if 0 < len(carried) == len(members) else None,
        errors={kind: round(sum(each.get(kind, 0.0) for each in errors)) for kind in kinds} if errors else None,
        unknown=unknown,
    )


def latency_histogram(members: Sequence[Increase]) -> Histogram:
    """Return the latencies of all transactions of `members`; failed ones count as their timeout.

    Those that hang, with a timeout that is longer than they were observed, count as slower than all that completed.
    """
    completed = merge([each.histogram for each in members if each.histogram.count > 0])
    ended = add_failures(completed, math.fsum(each.unanswered for each in members), None)
    return add_failures(ended, math.fsum(each.failed for each in members), _timeout(members))


def _timeout(members: Iterable[Increase]) -> float | None:
    return min((each.timeout_s for each in members if each.timeout_s is not None), default=None)


def _latency(members: Sequence[Increase]) -> Latency | None:
    """Return the latency of all transactions of `members`; None if there are none."""
    histogram, timeout = latency_histogram(members), _timeout(members)
    failed = math.fsum(each.failed for each in members)
    ended = histogram.count - math.fsum(each.unanswered for each in members)
    if histogram.count <= 0:
        return None
    mean = stdev = None
    sums = [each.latency_sum for each in members if each.latency_sum is not None]
    if ended > 0 and len(sums) == len(members) and (not failed or timeout is not None):
        lost = (timeout or 0.0) * failed
        mean = (math.fsum(sums) + lost) / ended
        squared = [each.squared_sum for each in members if each.squared_sum is not None]
        if len(squared) == len(members):
            squares = math.fsum(squared) + lost * (timeout or 0.0)
            stdev = math.sqrt(max(0.0, squares / ended - mean**2))
    bound = mean if ended == histogram.count and not any(each.fine for each in members) else None
    quantiles = {metric.key: histogram.quantile(q, bound) for metric, q in QUANTILES.items()}
    return Latency.model_validate({"mean": mean, "stdev": stdev} | quantiles)


def _rate(parts: Sequence[tuple[float | None, float]]) -> float | None:
    """Sum the rates of (increase, seconds); None unless all are known."""
    rates = [increase / seconds for increase, seconds in parts if increase is not None]
    return math.fsum(rates) if rates and len(rates) == len(parts) else None


def median_of(values: Sequence[float | None]) -> float | None:
    """Return the median of values; None if there are none, or one of them is unknown."""
    known = [value for value in values if value is not None]
    return median(known) if 0 < len(known) == len(values) else None

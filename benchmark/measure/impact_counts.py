"""Count requests before and after a fault in intervals of the latency logs, and what differs by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.measure.client_logs import ClientLog, edges_of, increase_of_log, middles_of
from benchmark.measure.histogram import Array
from benchmark.measure.window_stats import WindowStats, window_stats
from benchmark.metrics.latency_log import INTERVAL_MS, SCHEDULING_DELAY, UNANSWERED
from benchmark.metrics.names import LOAD_GENERATOR

_LATER = 0.1
"""By which share of the slowest request before a fault a late one exceeds it."""
_SLOW_SHARE = 0.01
"""Of all requests: what may exceed a p99."""
_CHANCE = 0.01
"""Stretches without a success that chance makes as long with this probability are no outage."""
_SECOND = 1000 // INTERVAL_MS


@dataclass(frozen=True)
class Criteria:
    """By which requests are late, and a system counts as recovered or available."""

    within: float = 0.1
    """By which share the rate and the p99 may differ from those before the fault."""
    steady_s: float = 2.0
    """For how long requests must be as before the fault until the system has recovered."""
    slo_s: float | None = None
    """Latency above which requests are late; None for the slowest before the fault and 10 %."""
    slo_quantile: float | None = None
    """Quantile of each second that must be within `slo_s` for the system to count as available in it; None to count
    requests instead."""

    @property
    def steady(self) -> int:
        """`steady_s` in intervals of the logs."""
        return round(self.steady_s * 1000 / INTERVAL_MS)

    @property
    def slo(self) -> str | None:
        """The limit of a quantile as users write it."""
        return None if self.slo_quantile is None else f"p{self.slo_quantile * 100:.6g}={self.slo_s:g}s"


@dataclass(frozen=True)
class Counts:
    """Requests of all clients by the interval in which they ended; slow ones completed at or above a limit."""

    completed: Array
    failed: Array
    slow: Array
    slow_sum: float
    """Sum of the latencies of slow requests, s."""

    @classmethod
    def create(cls, clients: Sequence[ClientLog], start_ms: int, end_ms: int, limit_s: float) -> Counts:
        """Count between two times on the grid; whether a request is slow depends on where its bucket begins."""
        number = (end_ms - start_ms) // INTERVAL_MS
        completed, failed, slow, slow_sum = np.zeros(number), np.zeros(number), np.zeros(number), 0.0
        for client in clients:
            log = client.log.rows(start_ms, end_ms)
            at, totals = (log.starts_ms - start_ms) // INTERVAL_MS, log.totals()
            good = log.rows_of(lambda tag: not tag.error and tag.workload != SCHEDULING_DELAY)
            bad = log.rows_of(lambda tag: tag.error not in ("", UNANSWERED))
            np.add.at(completed, at[good], totals[good])
            np.add.at(failed, at[bad], totals[bad])
            rows, buckets, counts = log.entries()
            beyond = good[rows] & (edges_of(log)[buckets] >= limit_s)
            np.add.at(slow, at[rows[beyond]], counts[beyond])
            slow_sum += float((counts[beyond] * middles_of(log)[buckets[beyond]]).sum())
        return cls(completed, failed, slow, slow_sum)

    def rolling(self, length: int) -> tuple[Array, Array]:
        """Return the completed requests, and the share of slow and failed ones, in `length` intervals from each on."""
        completed, ended, slow = (
            np.lib.stride_tricks.sliding_window_view(values, length).sum(axis=1)
            for values in (self.completed, self.completed + self.failed, self.slow + self.failed)
        )
        return completed, np.where(ended > 0, slow / np.maximum(ended, 1), 1.0)

    def available(self, quantile: float) -> float | None:
        """Return the share of seconds in which a quantile of the requests that ended was below the limit.

        Seconds in which no request ended do not count as such; None if the time is shorter than a second.
        """
        number = len(self.completed) // _SECOND
        completed, failed, slow = (
            values[: number * _SECOND].reshape(number, _SECOND).sum(axis=1)
            for values in (self.completed, self.failed, self.slow)
        )
        ended = completed + failed
        # The quantile is the ceil(q n)-th smallest of n latencies: so many may be above the limit.
        allowed = ended - np.ceil(np.round(quantile * ended, 6))
        return float(((ended > 0) & (slow + failed <= allowed)).mean()) if number else None


@dataclass(frozen=True)
class Baseline:
    """The requests before a fault, and by how much those of `steady_s` differ from each other without one."""

    criteria: Criteria

    start_ms: int
    end_ms: int
    stats: WindowStats
    rate: float
    """Completed requests per interval."""
    longest_gap: int
    """Most intervals in a row without a success."""
    slow_limit_s: float | None
    """The p99, and the share by which it may be exceeded; None if it is unknown."""
    rate_tolerance: float
    """Completed requests in `steady_s` by which they may differ."""
    slow_share: float
    """Share of requests in `steady_s` that may be slow or fail."""
    late_limit_s: float | None
    """Latency above which requests are late."""

    @classmethod
    def create(cls, clients: Sequence[ClientLog], start_ms: int, end_ms: int, criteria: Criteria) -> Baseline:
        """Measure what was before a fault, between two times on the grid."""
        stats = stats_of(clients, start_ms, end_ms)
        p99 = stats.latency_s.p99 if stats.latency_s else None
        limit = None if p99 is None or p99.upper is None else p99.upper * (1 + criteria.within)
        counts = Counts.create(clients, start_ms, end_ms, math.inf if limit is None else limit)
        rate, tolerance, share = float(counts.completed.mean()), 0.0, _SLOW_SHARE
        if len(counts.completed) >= criteria.steady:
            completed, slow = counts.rolling(criteria.steady)
            tolerance = float(np.abs(completed - rate * criteria.steady).max())
            share = max(share, float(slow.max()))
        slowest = stats.successful_latency_s.quantiles["max"].upper if stats.successful_latency_s else None
        gaps = gaps_of(counts.completed)
        return cls(
            criteria=criteria,
            start_ms=start_ms,
            end_ms=end_ms,
            stats=stats,
            rate=rate,
            longest_gap=int(gaps.max(initial=0)),
            slow_limit_s=limit,
            rate_tolerance=max(tolerance, criteria.within * rate * criteria.steady),
            slow_share=share,
            late_limit_s=criteria.slo_s if criteria.slo_s is not None or slowest is None else slowest * (1 + _LATER),
        )

    @property
    def steady(self) -> bool:
        """Whether it is long enough to judge whether `steady_s` are like it."""
        return self.end_ms - self.start_ms >= self.criteria.steady * INTERVAL_MS


def least_gap(baseline: Baseline, intervals: int) -> int:
    """Return how many intervals without a success are an outage: more than before, and than chance would leave.

    Chance is that of independent requests, of a Poisson process.
    """
    chance = math.ceil(math.log(max(intervals, 1) / _CHANCE) / baseline.rate)
    return max(baseline.longest_gap + 1, chance)


def gaps_of(completed: Array) -> Array:
    """Return the lengths of all stretches of intervals without a success."""
    empty = np.concatenate([[False], completed == 0, [False]]).astype(np.int8)
    changes = np.diff(empty)
    return np.asarray(np.flatnonzero(changes == -1) - np.flatnonzero(changes == 1), dtype=np.float64)


def stats_of(clients: Sequence[ClientLog], start_ms: int, end_ms: int) -> WindowStats:
    increases = [increase_of_log(client, start_ms / 1000, end_ms / 1000, None) for client in clients]
    return window_stats(increases, LOAD_GENERATOR)


def floor_ms(moment: float) -> int:
    return math.floor(round(moment * 1000, 3) / INTERVAL_MS) * INTERVAL_MS


def ceil_ms(moment: float) -> int:
    return math.ceil(round(moment * 1000, 3) / INTERVAL_MS) * INTERVAL_MS

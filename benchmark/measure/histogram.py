"""Merge histograms without loss, and read quantiles from them with the bounds of their bucket."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.measure.run_metrics import Quantile

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Counts of values up to each bound.

    `bounds` are ascending upper bounds (inclusive, the last is infinite) and `cumulative`, of the same shape,
    counts the values up to each.
    """

    bounds: Array
    cumulative: Array

    @property
    def count(self) -> float:
        """The number of values that were counted."""
        return float(self.cumulative[-1]) if self.cumulative.size else 0.0

    @property
    def bounded(self) -> bool:
        """Whether there is a bucket besides the infinite one, without which quantiles are unknown."""
        return bool(np.isfinite(self.bounds).any())

    @property
    def slowest(self) -> float:
        """The lowest bound that no value exceeds; 0 if there are no values."""
        if self.count <= 0:
            return 0.0
        return float(self.bounds[np.searchsorted(self.cumulative, self.count, side="left")])

    def quantile(self, q: float, mean: float | None = None) -> Quantile | None:
        """Return the value that a share `q` (0 < q <= 1) of all values does not exceed; None if that is unknown.

        It is the ceil(q n)-th smallest of n values (definition 1 of Hyndman & Fan 1996). Values are taken to be at
        least 0, and to be spread evenly within a bucket, unless the `mean` of all values excludes that.
        """
        if self.count <= 0 or not self.bounded:
            return None
        rank = min(max(1.0, math.ceil(round(q * self.count, 6))), self.count)
        bucket = int(np.searchsorted(self.cumulative, rank, side="left"))
        lower = float(self.bounds[bucket - 1]) if bucket else min(0.0, float(self.bounds[0]))
        upper = float(self.bounds[bucket])
        if math.isinf(upper):
            return Quantile(estimate=lower, lower=lower, upper=None)
        below = float(self.cumulative[bucket - 1]) if bucket else 0.0
        share = (rank - below) / (float(self.cumulative[bucket]) - below)
        if mean is not None:
            share = _exponential(share, self._mean_within(bucket, mean))
        return Quantile(estimate=min(lower + (upper - lower) * share, upper), lower=lower, upper=upper)

    def mean_range(self) -> tuple[float, float]:
        """Return the least and the greatest mean that values in these buckets can have; (0, inf) for no values."""
        counts, lower = np.diff(self.cumulative, prepend=0.0), self._lower_bounds()
        used = counts > 0
        if self.count <= 0 or not used.any():
            return 0.0, math.inf
        low, high = (float((bounds[used] * counts[used]).sum()) / self.count for bounds in (lower, self.bounds))
        return low, high

    def _lower_bounds(self) -> Array:
        return np.concatenate([np.minimum(self.bounds[:1], 0.0), self.bounds[:-1]])

    def _mean_within(self, bucket: int, mean: float) -> float:
        """Return the mean of the values in a bucket as a share of its width, as close to a half as `mean` allows."""
        others = np.diff(self.cumulative, prepend=0.0)
        number, others[bucket] = float(others[bucket]), 0.0
        lower, used = self._lower_bounds(), others > 0
        width = float(self.bounds[bucket] - lower[bucket])
        least, most = (
            ((mean * self.count - float((bounds[used] * others[used]).sum())) / number - float(lower[bucket])) / width
            for bounds in (self.bounds, lower)
        )
        return 0.5 if least > 1 or most < 0 else min(max(0.5, least), most)


def _exponential(share: float, mean: float) -> float:
    """Return the quantile `share` of the distribution on [0, 1] with this mean that assumes least: the one of maximum
    entropy, a truncated exponential (Cover & Thomas, Elements of Information Theory, 12.1)."""
    if mean == 0.5 or share >= 1:
        return share
    low, high = -500.0, 500.0
    for _ in range(50):
        rate = (low + high) / 2
        low, high = (rate, high) if (-1 / math.expm1(-rate) - 1 / rate if rate else 0.5) < mean else (low, rate)
    return math.log1p(share * math.expm1(low)) / low


def make_histogram(bounds: Sequence[float] | Array, cumulative: Sequence[float] | Array) -> Histogram:
    """Build a histogram from bounds in any order and the counts up to each.

    The infinite bucket is added where it is missing. A scrape is not atomic, so a count may be slightly below that of
    a smaller bound: it is raised to it.
    """
    order = np.argsort(np.asarray(bounds, dtype=np.float64))
    ordered = np.asarray(bounds, dtype=np.float64)[order]
    counts = np.maximum.accumulate(np.asarray(cumulative, dtype=np.float64)[order])
    if not ordered.size or not math.isinf(ordered[-1]):
        ordered = np.append(ordered, math.inf)
        counts = np.append(counts, counts[-1] if counts.size else 0.0)
    return Histogram(ordered, counts)


def add_failures(histogram: Histogram, count: float, at_least: float | None) -> Histogram:
    """Add failed requests to the completed ones of `histogram`.

    A failed request has no latency, but would have taken at least `at_least`, its timeout in s. Where that is unknown,
    it counts as slower than all that completed. So a quantile that falls among the failed has no upper bound.
    """
    if count <= 0:
        return histogram
    completed = histogram.count
    if at_least is None:
        at_least = histogram.slowest
        if math.isinf(at_least):
            return Histogram(histogram.bounds, np.append(histogram.cumulative[:-1], completed + count))
    kept = histogram.bounds < at_least
    return Histogram(
        np.concatenate([histogram.bounds[kept], [at_least, math.inf]]),
        np.concatenate([histogram.cumulative[kept], [completed, completed + count]]),
    )


def merge(histograms: Sequence[Histogram]) -> Histogram:
    """Add histograms up; their order and grouping make no difference.

    Only the bounds up to which all of them are exact are kept: a histogram is so at its own bounds, and within its
    empty buckets.
    """
    if not histograms:
        return make_histogram([], [])
    first = histograms[0].bounds
    if all(np.array_equal(first, histogram.bounds) for histogram in histograms):
        return Histogram(first, np.sum([histogram.cumulative for histogram in histograms], axis=0))
    bounds = np.unique(np.concatenate([histogram.bounds for histogram in histograms]))
    exact, total = np.ones(len(bounds), dtype=bool), np.zeros(len(bounds))
    for histogram in histograms:
        bucket = np.searchsorted(histogram.bounds, bounds, side="left")
        counts = histogram.cumulative[bucket]
        empty = np.diff(histogram.cumulative, prepend=0.0) == 0
        exact &= (histogram.bounds[bucket] == bounds) | empty[bucket]
        total += counts
    return Histogram(bounds[exact], total[exact])

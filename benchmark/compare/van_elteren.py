"""A and B compared over several loads at once: few repeats of each load add up to a test that can show something.

Every load is a stratum. The model: B's values are those of A times one factor, whatever the distribution at each load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.compare.statistics import Interval, subset_sums
from benchmark.measure.histogram import Array

Stratum = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Shift:
    """B's values as a share of A's, less 1: +0.05 is 5 % more."""

    relative: Interval
    p_value: float
    """Of the null hypothesis that A and B are the same at every load (two-sided)."""
    least_p_value: float
    """The smallest that so many repeats can give."""


def compare_strata(strata: Sequence[Stratum], confidence: float = 0.95) -> Shift:
    """Compare the repeats of A and B at each of several loads.

    Test: rank sums within each stratum, weighted and added up (van Elteren 1960), with their exact permutation
    distribution, ties included. Effect: Hodges-Lehmann on logarithms, the weighted median of all b / a of the same
    stratum, with the interval of the same test. With one stratum it is the Mann-Whitney test. ValueError if a value
    is not positive or a stratum has none.
    """
    pairs = [(_logarithms(a), _logarithms(b)) for a, b in strata]
    if not pairs:
        raise ValueError("there is no load that both have")
    weights = _weights([len(a) + len(b) for a, b in pairs])
    least = 2 / math.prod(math.comb(len(a) + len(b), len(a)) for a, b in pairs)
    return Shift(_shift(pairs, weights, confidence), _p_value(pairs, weights), min(1.0, least))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for there being several, in their order.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def _logarithms(values: Sequence[float]) -> Array:
    data = np.asarray(values, dtype=np.float64)
    if not data.size or not np.isfinite(data).all() or (data <= 0).any():
        raise ValueError(f"expected one or more positive values, found {list(values)}")
    return np.log(data)


def _weights(sizes: Sequence[int]) -> list[int]:
    """Return van Elteren's weights 1 / (N + 1) as small whole numbers; any fixed weights make the test exact."""
    weights = [max(1, round(4 * (max(sizes) + 1) / (size + 1))) for size in sizes]
    return [weight // math.gcd(*weights) for weight in weights]


def _p_value(pairs: Sequence[tuple[Array, Array]], weights: Sequence[int]) -> float:
    distribution, seen = np.ones(1), 0
    for (a, b), weight in zip(pairs, weights, strict=True):
        pooled = np.concatenate([a, b])
        # Doubled midranks are whole numbers, ties or not.
        ranks = np.array([2 * np.sum(pooled < x) + np.sum(pooled == x) + 1 for x in pooled], dtype=np.int64)
        distribution = np.convolve(distribution, _spread(ranks, len(b), weight))
        seen += weight * int(ranks[len(a) :].sum())
    # Of sums of products: equal tails differ by rounding.
    tails = float(distribution[: seen + 1].sum()), float(distribution[seen:].sum())
    return min(1.0, 2 * min(tails))


def _shift(pairs: Sequence[tuple[Array, Array]], weights: Sequence[int], confidence: float) -> Interval:
    """Return the weighted Hodges-Lehmann estimate and the factors that the test does not reject, less 1."""
    differences = np.concatenate([(b[:, None] - a[None, :]).ravel() for a, b in pairs])
    heavy = np.concatenate([np.full(len(a) * len(b), w) for (a, b), w in zip(pairs, weights, strict=True)])
    order = np.argsort(differences, kind="stable")
    differences, reached = differences[order], np.cumsum(heavy[order])
    distribution = np.ones(1)
    for (a, b), weight in zip(pairs, weights, strict=True):
        sums = _spread(np.arange(1, len(a) + len(b) + 1), len(b), weight)
        distribution = np.convolve(distribution, sums[weight * len(b) * (len(b) + 1) // 2 :])
    # tail[k] is the probability that the weighted number of pairs with b < a is at most k.
    tail = np.cumsum(distribution)
    rejected = int(np.sum(2 * tail <= round(1 - confidence, 12) + 1e-12))
    # The extremes are all there is where no value would be rejected; the confidence says so.
    first = int(np.searchsorted(reached, max(rejected, 1), side="left"))
    outside = 2 * float(tail[max(rejected, 1) - 1])
    lower, upper = differences[first], differences[_mirrored(heavy[order], max(rejected, 1))]
    return Interval(
        estimate=math.expm1(_middle(differences, reached)),
        lower=math.expm1(float(lower)),
        upper=math.expm1(float(upper)),
        confidence=max(0.0, min(confidence, 1 - outside)),
        method="Hodges-Lehmann on logarithms, interval by inverting the exact stratified rank test",
    )


def _mirrored(heavy: npt.NDArray[np.int64], rejected: int) -> int:
    """Return the index of the upper bound: the lower one's, counted from the other end."""
    return len(heavy) - 1 - int(np.searchsorted(np.cumsum(heavy[::-1]), rejected, side="left"))


def _middle(ordered: Array, reached: npt.NDArray[np.int64]) -> float:
    """Return the weighted median; between two values where the weights leave it there."""
    half = reached[-1] / 2
    index = int(np.searchsorted(reached, half, side="left"))
    if reached[index] == half and index + 1 < len(ordered):
        return float(ordered[index] + ordered[index + 1]) / 2
    return float(ordered[index])


def _spread(ranks: npt.NDArray[np.int64], size: int, weight: int) -> Array:
    """Return the distribution of `weight` times the sum of `size` of the ranks; element k is the probability of k."""
    ways = subset_sums(ranks, size)
    spread = np.zeros(weight * (len(ways) - 1) + 1)
    spread[::weight] = ways / ways.sum()
    return spread

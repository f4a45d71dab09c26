"""Statistics of few repeats: medians with intervals, outliers, and tests that admit when nothing can be shown.

Everything is computed exactly and nothing is drawn at random, so the same values in any order give the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmark.measure.histogram import Array
from benchmark.model import Finite, StrictModel

# A tail of an exact distribution is a sum of floats.
_ROUNDING = 1e-12


class Interval(StrictModel):
    """An estimate with its confidence interval."""

    estimate: Finite
    lower: Finite | None
    """Null where there is only one value."""
    upper: Finite | None
    confidence: Finite
    """What the interval reaches: less than requested where there are too few values for more."""
    method: str


class Comparison(StrictModel):
    """The repeats of B against those of A."""

    a: Interval
    """Median of A."""
    b: Interval
    """Median of B."""
    difference: Interval
    """B - A, in the unit of the values."""
    relative: Interval | None
    """The same as a share of the median of A; null if that is 0."""
    p_value: Finite
    """Probability of a difference at least as great if A and B were the same (two-sided)."""
    significant: bool
    """Whether the test shows a difference at the requested confidence."""
    verdict: str


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the median with its bootstrap interval, widened to where its coverage is known.

    Percentile bootstrap (Efron & Tibshirani 1993, chapter 13), whose distribution can be computed for a median, so
    nothing is drawn (Maritz & Jarrett 1978). For few values it covers less than it claims, so its bounds move out to
    the next values until their binomial coverage (Conover 1999, section 3.2) is reached. All n values reach no more
    than 1 - 2^(1 - n), which is stated where it is less than requested. ValueError if there are no values.
    """
    data = np.sort(_finite(values))
    n, estimate = len(data), float(np.median(data))
    if n == 1:
        return Interval(estimate=estimate, lower=None, upper=None, confidence=0.0, method="one value")
    medians, probabilities = bootstrap_medians(data)
    order = np.argsort(medians, kind="stable")
    tail = (1 - confidence) / 2
    lower = medians[order][np.argmax(np.cumsum(probabilities[order]) >= tail)]
    upper = medians[order][::-1][np.argmax(np.cumsum(probabilities[order][::-1]) >= tail)]
    left_out = min(int(np.sum(data < lower)), int(np.sum(data > upper)))
    # How surely the median lies between the values that remain without so many on each side.
    while (coverage := 1 - 2 * _binomial_tail(n, 0.5, n - left_out)) < confidence and left_out > 0:
        left_out -= 1
    return Interval(
        estimate=estimate,
        lower=float(data[left_out]),
        upper=float(data[n - 1 - left_out]),
        confidence=min(confidence, coverage),
        method="median, exact percentile bootstrap, bounds at values of binomial coverage",
    )


def outliers(values: Sequence[float], threshold: float = 3.5) -> list[int]:
    """Return the indexes of values to be marked as outliers, never dropped.

    Rule: modified z-score above 3.5, 0.6745 |x - median| / MAD; where the MAD is 0, |x - median| / (1.2533 mean
    absolute deviation) (Iglewicz & Hoaglin, "How to detect and handle outliers", 1993). Fewer than 4 values have
    none.
    """
    if len(values) < 4:
        return []
    data = _finite(values)
    distance = np.abs(data - np.median(data))
    spread = float(np.median(distance)) / 0.6745 or float(distance.mean()) * 1.2533
    return [int(index) for index in np.flatnonzero(distance > threshold * spread)] if spread else []


def compare(a: Sequence[float], b: Sequence[float], *, confidence: float = 0.95, unit: str = "") -> Comparison:
    """Compare the repeats of A and B.

    Test: Mann-Whitney with its exact permutation distribution, ties included (Mann & Whitney 1947; Streitberg &
    Röhmel 1986). Difference: Hodges-Lehmann, the median of all b - a, with the interval of the same test (Lehmann
    1975). Both assume nothing about the values' distribution. `unit` is for the verdict. ValueError without values.
    """
    first, second = _finite(a), _finite(b)
    p_value = rank_sum_p_value([(first, second)], [1])
    difference = hodges_lehmann([(first, second)], [1], confidence)
    excludes_zero = (difference.lower or 0.0) > 0 or (difference.upper or 0.0) < 0
    significant = p_value <= 1 - confidence + _ROUNDING and excludes_zero
    relative, share = None, ""
    if base := abs(float(np.median(first))):
        scaled = {name: getattr(difference, name) / base for name in ("estimate", "lower", "upper")}
        relative = difference.model_copy(update=scaled)
        share = f" ({relative.estimate * 100:+.1f} %)"
    after = f" {unit}" if unit else ""
    numbers = (
        f"B - A = {difference.estimate:+.4g}{after}{share}, {difference.confidence * 100:.0f} % confidence interval "
        f"{difference.lower:+.4g} to {difference.upper:+.4g}{after}, p = {p_value:.2g} (exact Mann-Whitney)"
    )
    outcome = f"B is {'higher' if difference.estimate > 0 else 'lower'}"
    if not significant:
        outcome = "not significant"
        if 2 / math.comb(len(first) + len(second), len(first)) > 1 - confidence + _ROUNDING:
            few, enough = f"{len(first)} and {len(second)} repeats", repeats_needed(confidence)
            outcome += f"; {few} are too few to show any difference, use ≥ {enough}"
    return Comparison(
        a=median_interval(a, confidence),
        b=median_interval(b, confidence),
        difference=difference,
        relative=relative,
        p_value=p_value,
        significant=significant,
        verdict=f"{outcome}: {numbers}",
    )


def repeats_needed(confidence: float = 0.95) -> int:
    """Return the least repeats of each of A and B with which any difference can be significant."""
    repeats = 1
    while 2 / math.comb(2 * repeats, repeats) > 1 - confidence + _ROUNDING:
        repeats += 1
    return repeats


def bootstrap_medians(ordered: Array) -> tuple[Array, Array]:
    """Return the values that the median of a resample can take, and the probability of each.

    With n even it lies between the two middle ones of the resample, at ranks i and j of the n values.
    """
    n = len(ordered)
    least = n // 2 if n % 2 == 0 else n // 2 + 1
    # P(the resample's value of rank `least` is at most the i-th value) = P(at least `least` draws are).
    at_most = np.array([_binomial_tail(n, i / n, least) for i in range(n + 1)])
    single = np.diff(at_most)
    if n % 2:
        return ordered, single
    ranks = np.arange(1, n + 1) / n
    lower = ranks**least - (ranks - 1 / n) ** least
    joint = np.triu(math.comb(n, least) * np.outer(lower, lower[::-1]), k=1)
    joint[np.diag_indices(n)] = single - joint.sum(axis=1)
    return ((ordered[:, None] + ordered[None, :]) / 2).ravel(), joint.ravel()


def rank_sum_p_value(strata: Sequence[tuple[Array, Array]], weights: Sequence[int]) -> float:
    """Return the exact two-sided p-value of the rank sums of B within each stratum, weighted and added up.

    It is twice the smaller tail of the permutation distribution, ties included. One stratum is the Mann-Whitney test.
    """
    distribution, observed = np.ones(1), 0
    for (a, b), weight in zip(strata, weights, strict=True):
        pooled = np.concatenate([a, b])
        # Doubled midranks are whole numbers, ties or not.
        ranks = np.array([2 * np.sum(pooled < x) + np.sum(pooled == x) + 1 for x in pooled], dtype=np.int64)
        distribution = np.convolve(distribution, _weighted_sums(ranks, len(b), weight))
        observed += weight * int(ranks[len(a) :].sum())
    return min(1.0, 2 * min(float(distribution[: observed + 1].sum()), float(distribution[observed:].sum())))


def hodges_lehmann(strata: Sequence[tuple[Array, Array]], weights: Sequence[int], confidence: float) -> Interval:
    """Return the weighted median of all b - a of the same stratum, with the interval of `rank_sum_p_value`.

    The interval holds the differences that the test does not reject. Where it could reject none, its bounds are the
    extremes, and the confidence is what they reach.
    """
    differences = np.concatenate([(b[:, None] - a[None, :]).ravel() for a, b in strata])
    heavy = np.concatenate([np.full(len(a) * len(b), w) for (a, b), w in zip(strata, weights, strict=True)])
    order = np.argsort(differences, kind="stable")
    differences, heavy = differences[order], heavy[order]
    distribution = np.ones(1)
    for (a, b), weight in zip(strata, weights, strict=True):
        sums = _weighted_sums(np.arange(1, len(a) + len(b) + 1), len(b), weight)
        distribution = np.convolve(distribution, sums[weight * len(b) * (len(b) + 1) // 2 :])
    # tail[k] is the probability that the weighted number of pairs with b < a is at most k.
    tail = np.cumsum(distribution)
    rejected = max(int(np.sum(2 * tail <= 1 - confidence + _ROUNDING)), 1)
    below, above = np.cumsum(heavy), np.cumsum(heavy[::-1])
    middle = int(np.searchsorted(below, below[-1] / 2, side="left"))
    between = below[middle] == below[-1] / 2 and middle + 1 < len(differences)
    return Interval(
        estimate=float(differences[middle : middle + (2 if between else 1)].mean()),
        lower=float(differences[int(np.searchsorted(below, rejected, side="left"))]),
        upper=float(differences[len(heavy) - 1 - int(np.searchsorted(above, rejected, side="left"))]),
        confidence=max(0.0, min(confidence, 1 - 2 * float(tail[rejected - 1]))),
        method="Hodges-Lehmann, interval by inverting the exact rank sum test",
    )


def _weighted_sums(ranks: npt.NDArray[np.int64], size: int, weight: int) -> Array:
    """Return the distribution of `weight` times the sum of `size` of the ranks; element k is the probability of k.

    The shift algorithm counts how many subsets have each sum.
    """
    ways = np.zeros((size + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        for chosen in range(size, 0, -1):
            ways[chosen, rank:] += ways[chosen - 1, : ways.shape[1] - rank]
    spread = np.zeros(weight * (ways.shape[1] - 1) + 1)
    spread[::weight] = ways[size] / ways[size].sum()
    return spread


def _binomial_tail(n: int, probability: float, least: int) -> float:
    """Return the probability of `least` or more successes in n."""
    return math.fsum(math.comb(n, k) * probability**k * (1 - probability) ** (n - k) for k in range(least, n + 1))


def _finite(values: Sequence[float]) -> Array:
    data = np.asarray(values, dtype=np.float64)
    if not data.size or not np.isfinite(data).all():
        raise ValueError(f"expected one or more finite values, found {list(values)}")
    return data

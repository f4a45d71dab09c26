"""Statistics of few repeats: medians with intervals, outliers, comparisons that admit when nothing is shown.

Everything is computed exactly and nothing is drawn, so the same values in any order give the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmark.measure.histogram import Array
from benchmark.model import Finite, StrictModel


class Interval(StrictModel):
    """An estimate with its confidence interval."""

    estimate: Finite
    lower: Finite | None
    """Null where one value is all there is."""
    upper: Finite | None
    confidence: Finite
    """What the interval reaches: less than was asked for where there are too few values for more."""
    method: str


class Comparison(StrictModel):
    """B against A."""

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
    shown: bool
    """Whether a difference is shown at the confidence asked for."""
    verdict: str


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the median with its bootstrap interval, widened to where its coverage is known.

    Percentile bootstrap (Efron & Tibshirani 1993, chapter 13), whose distribution can be computed for a median, so
    nothing is drawn (Maritz & Jarrett 1978). For few values it covers less than it says, so its bounds move out to
    the next values until the binomial coverage of these (Conover 1999, section 3.2) is reached. All n values reach
    no more than 1 - 2^(1 - n): that is stated where it is less than asked. ValueError if there are no values.
    """
    data = np.sort(_finite(values))
    n, estimate = len(data), float(np.median(data))
    if n == 1:
        return Interval(estimate=estimate, lower=None, upper=None, confidence=0.0, method="one value")
    medians, probabilities = _bootstrap_medians(data)
    order = np.argsort(medians, kind="stable")
    tail = (1 - confidence) / 2
    lower = medians[order][np.argmax(np.cumsum(probabilities[order]) >= tail)]
    upper = medians[order][::-1][np.argmax(np.cumsum(probabilities[order][::-1]) >= tail)]
    inside = min(int(np.sum(data < lower)), int(np.sum(data > upper)))
    while inside > 0 and _coverage(n, inside) < confidence:
        inside -= 1
    return Interval(
        estimate=estimate,
        lower=float(data[inside]),
        upper=float(data[n - 1 - inside]),
        confidence=min(confidence, _coverage(n, inside)),
        method="median, exact percentile bootstrap, bounds at values of binomial coverage",
    )


def outliers(values: Sequence[float], threshold: float = 3.5) -> list[int]:
    """Return the indexes of values to be shown as outliers, never dropped.

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
    p_value = _mann_whitney(first, second)
    difference = _hodges_lehmann(first, second, confidence)
    excludes_zero = (difference.lower or 0.0) > 0 or (difference.upper or 0.0) < 0
    # 1 - 0.95 is a little more than 0.05.
    shown = p_value <= round(1 - confidence, 12) and excludes_zero
    base = float(np.median(first))
    relative = _scaled(difference, 1 / abs(base)) if base else None
    return Comparison(
        a=median_interval(a, confidence),
        b=median_interval(b, confidence),
        difference=difference,
        relative=relative,
        p_value=p_value,
        shown=shown,
        verdict=_verdict(difference, relative, p_value, shown, (len(first), len(second)), confidence, unit),
    )


def repeats_needed(confidence: float = 0.95) -> int:
    """Return the least repeats of each of A and B with which any difference can be shown."""
    repeats = 1
    while 2 / math.comb(2 * repeats, repeats) > round(1 - confidence, 12):
        repeats += 1
    return repeats


def _bootstrap_medians(ordered: Array) -> tuple[Array, Array]:
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


def _coverage(n: int, left_out: int) -> float:
    """Return how surely the median lies within n ordered values without the `left_out` lowest and highest."""
    return 1 - 2 * _binomial_tail(n, 0.5, n - left_out)


def _binomial_tail(n: int, probability: float, least: int) -> float:
    """Return the probability of `least` or more successes in n."""
    return math.fsum(math.comb(n, k) * probability**k * (1 - probability) ** (n - k) for k in range(least, n + 1))


def _mann_whitney(a: Array, b: Array) -> float:
    """Return the exact two-sided p-value; twice the smaller tail."""
    pooled = np.concatenate([a, b])
    # Doubled midranks are whole numbers, ties or not.
    doubled = np.array([2 * np.sum(pooled < x) + np.sum(pooled == x) + 1 for x in pooled], dtype=np.int64)
    ways = subset_sums(doubled, len(b))
    seen = int(doubled[len(a) :].sum())
    total = ways.sum()
    return float(min(1.0, 2 * min(ways[: seen + 1].sum(), ways[seen:].sum()) / total))


def subset_sums(ranks: npt.NDArray[np.int64], size: int) -> Array:
    """Return for each sum how many subsets of `size` of the ranks have it (the shift algorithm)."""
    ways = np.zeros((size + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        for chosen in range(size, 0, -1):
            ways[chosen, rank:] += ways[chosen - 1, : ways.shape[1] - rank]
    return np.asarray(ways[size], dtype=np.float64)


def _hodges_lehmann(a: Array, b: Array, confidence: float) -> Interval:
    """Return the median of all differences with the interval that the Mann-Whitney test does not reject."""
    differences = np.sort((b[:, None] - a[None, :]).ravel())
    count = len(differences)
    # Without ties: U, the number of pairs with b < a, is the rank sum less its minimum.
    ways = subset_sums(np.arange(1, len(a) + len(b) + 1), len(b))
    below = np.cumsum(ways / ways.sum())[len(b) * (len(b) + 1) // 2 :]
    skipped = int(np.sum(2 * below[: (count + 1) // 2] <= round(1 - confidence, 12)))
    skipped = max(skipped, 1)
    reached = min(max(0.0, 1 - 2 * float(below[skipped - 1])), 1.0)
    return Interval(
        estimate=float(np.median(differences)),
        lower=float(differences[skipped - 1]),
        upper=float(differences[count - skipped]),
        confidence=min(confidence, reached),
        method="Hodges-Lehmann, interval by inverting the exact Mann-Whitney test",
    )


def _scaled(interval: Interval, factor: float) -> Interval:
    bounds = [None if bound is None else bound * factor for bound in (interval.lower, interval.upper)]
    scaled = {"estimate": interval.estimate * factor, "lower": bounds[0], "upper": bounds[1]}
    return interval.model_copy(update=scaled)


def _verdict(
    difference: Interval,
    relative: Interval | None,
    p_value: float,
    shown: bool,
    repeats: tuple[int, int],
    confidence: float,
    unit: str,
) -> str:
    """Say in words what the comparison shows."""
    share = f" ({relative.estimate:+.1%})" if relative else ""
    after = f" {unit}" if unit else ""
    numbers = (
        f"B - A = {difference.estimate:+.4g}{after}{share}, {difference.confidence:.0%} confidence interval "
        f"{difference.lower:+.4g} to {difference.upper:+.4g}{after}, p = {p_value:.2g} (exact Mann-Whitney)"
    )
    if shown:
        return f"B is {'higher' if difference.estimate > 0 else 'lower'}: {numbers}"
    least = 2 / math.comb(sum(repeats), repeats[0])
    if least > round(1 - confidence, 12):
        return (
            f"no difference shown, and none can be with {repeats[0]} and {repeats[1]} repeats: p is at least "
            f"{least:.2g}; {repeats_needed(confidence)} of each are needed. {numbers}"
        )
    return f"no difference shown: {numbers}"


def _finite(values: Sequence[float]) -> Array:
    data = np.asarray(values, dtype=np.float64)
    if not data.size or not np.isfinite(data).all():
        raise ValueError(f"expected one or more finite values, found {list(values)}")
    return data

"""Compare A and B over several loads at once: few repeats of each load add up to a test that can show something.

Every load is a stratum. The model: B's values are those of A times one factor, whatever the distribution at each load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.compare.statistics import Interval, hodges_lehmann, rank_sum_p_value
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
        raise ValueError("A and B have no load in common")
    sizes = [len(a) + len(b) for a, b in pairs]
    # Van Elteren's weights 1 / (N + 1) as small whole numbers; any fixed weights make the test exact.
    weights = [max(1, round(4 * (max(sizes) + 1) / (size + 1))) for size in sizes]
    weights = [weight // math.gcd(*weights) for weight in weights]
    logarithmic = hodges_lehmann(pairs, weights, confidence)
    least = 2 / math.prod(math.comb(len(a) + len(b), len(a)) for a, b in pairs)
    factors = {name: math.expm1(getattr(logarithmic, name)) for name in ("estimate", "lower", "upper")}
    method = "Hodges-Lehmann on logarithms, interval by inverting the exact stratified rank test"
    relative = logarithmic.model_copy(update=factors | {"method": method})
    return Shift(relative, rank_sum_p_value(pairs, weights), min(1.0, least))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for the number of tests, in their order.

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

"""The comparison over several loads, checked by enumeration, known cases and simulation."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.compare.statistics import compare
from benchmark.compare.van_elteren import Stratum, compare_strata, holm

VALUES = st.lists(st.integers(1, 6).map(float), min_size=1, max_size=3)
STRATA = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=2)


def enumerated_p(strata: list[Stratum]) -> float:
    """Return the p-value by enumerating every assignment of the values to A and B; strata of one size."""

    def rank_sums(a: list[float], b: list[float]) -> tuple[list[float], float]:
        pooled = [*a, *b]
        ranks = [sum(x < y for x in pooled) + (sum(x == y for x in pooled) + 1) / 2 for y in pooled]
        every = [sum(ranks[index] for index in chosen) for chosen in combinations(range(len(pooled)), len(b))]
        return every, sum(ranks[len(a) :])

    parts = [rank_sums(list(a), list(b)) for a, b in strata]
    seen = sum(mine for _, mine in parts)
    sums = [sum(chosen) for chosen in product(*(every for every, _ in parts))]
    below = sum(value <= seen + 1e-9 for value in sums) / len(sums)
    above = sum(value >= seen - 1e-9 for value in sums) / len(sums)
    return min(1.0, 2 * min(below, above))


@given(
    st.lists(st.tuples(*[st.lists(st.integers(1, 9).map(float), min_size=3, max_size=3)] * 2), min_size=1, max_size=2)
)
@settings(deadline=None, max_examples=60)
def test_p_value_matches_enumeration_of_every_assignment(strata: list[Stratum]) -> None:
    assert compare_strata(strata).p_value == pytest.approx(enumerated_p(strata))


@given(VALUES, VALUES)
@settings(deadline=None, max_examples=60)
def test_single_load_equals_the_mann_whitney_test(a: list[float], b: list[float]) -> None:
    whole, single = compare_strata([(a, b)]), compare(a, b)
    assert whole.p_value == pytest.approx(single.p_value)
    logs = compare([math.log(x) for x in a], [math.log(x) for x in b]).difference
    assert whole.relative.estimate == pytest.approx(math.expm1(logs.estimate))
    assert logs.lower is not None
    assert logs.upper is not None
    assert whole.relative.lower == pytest.approx(math.expm1(logs.lower))
    assert whole.relative.upper == pytest.approx(math.expm1(logs.upper))
    assert whole.relative.confidence == pytest.approx(logs.confidence)


@given(STRATA)
@settings(deadline=None, max_examples=60)
def test_swapping_a_and_b_inverts_the_difference(strata: list[Stratum]) -> None:
    there, back = compare_strata(strata), compare_strata([(b, a) for a, b in strata])
    assert there.p_value == pytest.approx(back.p_value)
    assert 1 + there.relative.estimate == pytest.approx(1 / (1 + back.relative.estimate))
    assert there.relative.upper is not None
    assert back.relative.lower is not None
    assert 1 + there.relative.upper == pytest.approx(1 / (1 + back.relative.lower))


def test_three_repeats_of_three_loads_can_be_significant_where_one_load_cannot() -> None:
    loads: list[Stratum] = [
        ([1.0, 1.1, 1.2], [1.5, 1.6, 1.7]),
        ([10.0, 11.0, 12.0], [15, 16, 17]),
        ([5, 5.2, 5.1], [7, 7.5, 7.2]),
    ]
    assert compare_strata(loads[:1]).p_value == pytest.approx(2 / 20)
    together = compare_strata(loads)
    assert together.p_value == pytest.approx(together.least_p_value) == pytest.approx(2 / 20**3)
    assert together.relative.estimate == pytest.approx(0.44, abs=0.03)
    assert together.relative.confidence == pytest.approx(0.95)
    assert (together.relative.lower or 0) > 0.25


def test_scale_between_loads_makes_no_difference() -> None:
    a, b = [1.0, 1.1, 1.2, 1.05], [1.04, 1.14, 1.02, 1.3]
    small = compare_strata([(a, b), (a, b)])
    scaled = compare_strata([(a, b), ([1000 * x for x in a], [1000 * x for x in b])])
    assert small.p_value == pytest.approx(scaled.p_value)
    assert small.relative.estimate == pytest.approx(scaled.relative.estimate)


@pytest.mark.parametrize("sizes", [[(3, 3)] * 3, [(5, 5)], [(4, 6), (3, 3)]])
def test_intervals_have_their_coverage_and_equal_systems_rarely_differ(sizes: list[tuple[int, int]]) -> None:
    random = np.random.default_rng(7)
    covered = wrong = 0
    for _ in range(400):
        made = [(random.lognormal(3, 0.2, n), random.lognormal(3, 0.2, m)) for n, m in sizes]
        strata: list[Stratum] = [(a.tolist(), (1.3 * b).tolist()) for a, b in made]
        relative = compare_strata(strata).relative
        assert relative.lower is not None
        assert relative.upper is not None
        covered += relative.lower <= 0.3 <= relative.upper
        wrong += compare_strata([(a.tolist(), b.tolist()) for a, b in made]).p_value <= 0.05
    assert covered >= 400 * 0.95 - 3 * math.sqrt(400 * 0.05 * 0.95)
    assert wrong <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)


def test_values_that_are_not_positive_are_an_error() -> None:
    with pytest.raises(ValueError, match="positive"):
        compare_strata([([1.0, 0.0], [1.0])])
    with pytest.raises(ValueError, match="no load in common"):
        compare_strata([])


def test_holm_adjustment_matches_the_paper() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.compare.statistics import Comparison, compare, median_interval, outliers, repeats_needed

few = st.lists(st.integers(min_value=0, max_value=8).map(float), min_size=1, max_size=5)


def enumerated(a: list[float], b: list[float]) -> float:
    """Return the exact p-value by enumerating every split of the values into A and B."""
    pooled = [*a, *b]

    def wins(chosen: tuple[int, ...]) -> float:
        rest = [value for index, value in enumerate(pooled) if index not in chosen]
        mine = [pooled[index] for index in chosen]
        return sum((x > y) + 0.5 * (x == y) for x in mine for y in rest)

    seen = wins(tuple(range(len(a), len(pooled))))
    every = [wins(chosen) for chosen in itertools.combinations(range(len(pooled)), len(b))]
    at_most, at_least = (sum(x <= seen for x in every), sum(x >= seen for x in every))
    return min(1.0, 2 * min(at_most, at_least) / len(every))


@settings(deadline=None)
@given(few, few)
def test_p_value_matches_enumeration_of_all_permutations_with_ties(a: list[float], b: list[float]) -> None:
    assert compare(a, b).p_value == pytest.approx(enumerated(a, b))


def test_the_p_value_matches_published_tables() -> None:
    # 5 and 5 without overlap: 2 / C(10, 5). Table of Mann & Whitney: U <= 2 is significant at 5 % for 5 and 5.
    assert compare([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]).p_value == pytest.approx(2 / 252)
    assert compare([1, 2, 3, 4, 7], [5, 6, 8, 9, 10]).significant
    assert not compare([1, 2, 3, 6, 7], [4, 5, 8, 9, 10]).significant


@settings(deadline=None, max_examples=50)
@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=2, max_value=8))
def test_without_ties_the_interval_excludes_zero_exactly_if_the_test_rejects(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(0, 1, count), random.normal(1.5, 1, 5)
    comparison = compare(a.tolist(), b.tolist())
    lower, upper = comparison.difference.lower, comparison.difference.upper
    assert lower is not None
    assert upper is not None
    assert lower <= comparison.difference.estimate <= upper
    if math.comb(count + 5, count) >= 40:
        assert (lower > 0 or upper < 0) == (comparison.p_value <= 0.05)
        assert comparison.difference.confidence == 0.95


@settings(deadline=None)
@given(few, few)
def test_swapping_a_and_b_inverts_the_difference(a: list[float], b: list[float]) -> None:
    forth, back = compare(a, b), compare(b, a)
    assert forth.p_value == pytest.approx(back.p_value)
    assert forth.significant == back.significant
    assert forth.difference.estimate == pytest.approx(-back.difference.estimate)
    assert forth.difference.lower == pytest.approx(-(back.difference.upper or 0.0))


def test_interval_of_the_difference_has_its_nominal_coverage() -> None:
    random = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        interval = compare(random.exponential(1, 5).tolist(), (random.exponential(1, 5) + 2).tolist()).difference
        covered += (interval.lower or 0.0) <= 2 <= (interval.upper or 0.0)
    assert covered / 200 >= 0.93


def test_false_positive_rate_of_equal_systems_is_within_the_level() -> None:
    random = np.random.default_rng(12)
    false = sum(compare(random.normal(size=5).tolist(), random.normal(size=5).tolist()).significant for _ in range(200))
    assert false / 200 <= 0.06


def test_the_verdict_has_the_amount_by_which_b_is_higher() -> None:
    comparison = compare([100, 101, 99, 100.5, 99.5], [110, 111, 109, 110.5, 109.5], unit="tx/s")
    assert comparison.significant
    assert comparison.difference.estimate == pytest.approx(10)
    assert comparison.relative is not None
    assert comparison.relative.estimate == pytest.approx(0.1)
    # The third smallest and third greatest of the 25 differences: the table's critical value for 5 and 5 is 2.
    expected = "B is higher: B - A = +10 tx/s (+10.0 %), 95 % confidence interval +8.5 to +11.5 tx/s"
    assert comparison.verdict.startswith(expected)


def test_a_difference_that_is_not_significant_has_its_numbers_in_the_verdict() -> None:
    comparison = compare([100, 101, 99, 100.5, 99.5], [100.2, 101.1, 98.9, 100.6, 99.4])
    assert not comparison.significant
    assert comparison.verdict.startswith("not significant: B - A = ")


def test_identical_values_show_no_difference() -> None:
    comparison = compare([200.0] * 5, [200.0] * 5)
    assert (comparison.p_value, comparison.significant) == (1.0, False)
    assert comparison.difference.estimate == 0


def test_too_few_repeats_are_named_in_the_verdict() -> None:
    comparison = compare([1, 2, 3], [101, 102, 103])
    assert not comparison.significant
    assert comparison.p_value == pytest.approx(0.1)
    assert comparison.difference.confidence == pytest.approx(0.9)
    assert "not significant; 3 and 3 repeats are too few to show any difference, use ≥ 4: B" in comparison.verdict


@pytest.mark.parametrize(("confidence", "repeats"), [(0.9, 3), (0.95, 4), (0.99, 5), (0.5, 2)])
def test_the_repeats_needed_are_the_fewest_that_can_show_a_difference(confidence: float, repeats: int) -> None:
    assert repeats_needed(confidence) == repeats

    def extreme(count: int) -> Comparison:
        return compare([float(i) for i in range(count)], [1000.0 + i for i in range(count)], confidence=confidence)

    assert extreme(repeats).significant
    assert not extreme(repeats - 1).significant


def test_a_median_of_zero_has_no_relative_difference() -> None:
    comparison = compare([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    assert comparison.relative is None


@given(st.permutations([1.0, 5.0, 2.0, 8.0, 3.0, 4.0, 4.5]))
def test_the_order_of_repeats_makes_no_difference(values: list[float]) -> None:
    assert median_interval(values) == median_interval(sorted(values))
    assert compare(values, [2.0, 3.0]) == compare(sorted(values), [3.0, 2.0])


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_the_interval_contains_that_of_every_resample(count: int) -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0][:count]
    every = np.sort([np.median(drawn) for drawn in itertools.product(values, repeat=count)])
    for confidence in (0.3, 0.5, 0.8, 0.9, 0.95, 0.99):
        interval = median_interval(values, confidence)
        tail = (1 - confidence) / 2 - 1e-12
        assert interval.lower is not None
        assert interval.upper is not None
        assert interval.lower <= every[math.ceil(tail * len(every)) - 1]
        assert interval.upper >= every[-math.ceil(tail * len(every))]


@pytest.mark.parametrize(("count", "left_out"), [(5, 0), (6, 0), (8, 0), (9, 1), (12, 2), (15, 3), (20, 5)])
def test_bounds_match_published_tables(count: int, left_out: int) -> None:
    # Conover 1999, table A3 (binomial, p = 0.5): values left out on each side for 95 %.
    values = [float(index) for index in range(count)]
    interval = median_interval(values)
    assert (interval.lower, interval.upper) == (values[left_out], values[-1 - left_out])
    assert interval.confidence == (0.9375 if count == 5 else 0.95)


@given(st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=2, max_size=12))
@settings(deadline=None, max_examples=30)
def test_median_interval_contains_the_median_and_stays_within_the_values(values: list[float]) -> None:
    interval = median_interval(values)
    assert interval.lower is not None
    assert interval.upper is not None
    assert min(values) <= interval.lower <= interval.estimate <= interval.upper <= max(values)
    assert interval.estimate == np.median(values)


def test_five_values_reach_less_than_the_requested_confidence() -> None:
    # The resampled median is the smallest of 5 with probability 0.058: more than 2.5 %, so it is the bound.
    interval = median_interval([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (interval.lower, interval.estimate, interval.upper) == (1.0, 3.0, 5.0)
    assert interval.confidence == pytest.approx(0.9375)


@pytest.mark.parametrize(("count", "least"), [(5, 0.92), (8, 0.95), (15, 0.94)])
def test_median_interval_has_about_its_nominal_coverage(count: int, least: float) -> None:
    random = np.random.default_rng(13)
    covered = 0
    for _ in range(300):
        interval = median_interval(random.exponential(1, count).tolist())
        covered += (interval.lower or 0.0) <= math.log(2) <= (interval.upper or 0.0)
    assert covered / 300 >= least


def test_one_value_has_no_interval() -> None:
    interval = median_interval([7.0])
    assert (interval.estimate, interval.lower, interval.upper, interval.confidence) == (7.0, None, None, 0.0)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_no_values_and_values_that_are_not_finite_are_an_error(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite values, found"):
        median_interval(values)


@pytest.mark.parametrize(
    ("values", "indexes"),
    [
        ([10, 11, 10, 9, 30], [4]),
        ([10, 11, 10, 9, 12], []),
        ([10, 10, 10, 10, 10, 10, 50], [6]),
        ([10, 10, 10, 10, 10], []),
        ([1, 2, 300], []),
        ([-40, 10, 11, 10, 9], [0]),
    ],
)
def test_outliers_follow_the_documented_rule(values: list[float], indexes: list[int]) -> None:
    assert outliers(values) == indexes

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.measure.histogram import Histogram, add_failures, make_histogram, merge
from benchmark.measure.run_metrics import Quantile

BOUNDS = [0.1, 0.2, 0.5, 1.0, 10.0, math.inf]
latencies = st.lists(st.floats(min_value=0, max_value=20), min_size=1, max_size=60)


def counted(values: list[float], bounds: list[float] = BOUNDS) -> Histogram:
    return make_histogram(bounds, [sum(value <= bound for value in values) for bound in bounds])


@given(latencies, st.floats(min_value=0.001, max_value=1))
def test_bounds_contain_the_exact_quantile(values: list[float], q: float) -> None:
    exact = sorted(values)[max(0, math.ceil(round(q * len(values), 6)) - 1)]
    quantile = counted(values).quantile(q)
    assert quantile is not None
    assert quantile.lower <= exact
    assert quantile.upper is None or exact <= quantile.upper
    assert quantile.lower <= quantile.estimate <= (quantile.upper or math.inf)


@given(st.lists(latencies, min_size=1, max_size=6), st.randoms())
def test_merging_in_any_order_and_grouping_counts_all_values(groups: list[list[float]], random: object) -> None:
    whole = counted([value for group in groups for value in group])
    parts = [counted(group) for group in groups]
    random.shuffle(parts)  # type: ignore[attr-defined]
    nested = merge([merge(parts[:2]), *parts[2:]])
    for merged in (merge(parts), nested):
        assert np.array_equal(merged.bounds, whole.bounds)
        assert np.array_equal(merged.cumulative, whole.cumulative)


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    histogram = make_histogram([1, 2, 4], [10, 20, 100])
    assert histogram.quantile(0.15) == Quantile(estimate=1.5, lower=1.0, upper=2.0)
    assert histogram.quantile(0.6) == Quantile(estimate=3.0, lower=2.0, upper=4.0)


def test_rounding_errors_do_not_move_a_rank() -> None:
    # 0.07 * 100 is 7.000000000000001 in floating point; the 7th value is meant.
    assert make_histogram([1, 2], [7, 100]).quantile(0.07) == Quantile(estimate=1.0, lower=0.0, upper=1.0)


def test_quantile_above_the_last_bound_has_only_a_lower_bound() -> None:
    quantile = counted([0.3, 15.0, 16.0]).quantile(0.9)
    assert quantile == Quantile(estimate=10.0, lower=10.0, upper=None)
    assert quantile.model_dump_json() == '{"estimate":10.0,"lower":10.0,"upper":null}'


def test_empty_histogram_has_no_quantile() -> None:
    assert counted([]).quantile(0.5) is None
    assert merge([]).quantile(0.5) is None
    assert merge([]).count == 0


def test_the_infinite_bucket_is_added_and_order_restored() -> None:
    histogram = make_histogram([2.0, 1.0], [5, 3])
    assert histogram.bounds.tolist() == [1.0, 2.0, math.inf]
    assert histogram.cumulative.tolist() == [3, 5, 5]


def test_buckets_are_made_monotonic() -> None:
    assert make_histogram([1, 2, math.inf], [4, 3, 5]).cumulative.tolist() == [4, 4, 5]


@given(latencies, latencies, latencies)
def test_merging_different_bounds_keeps_those_up_to_which_all_are_exact(
    left: list[float], middle: list[float], right: list[float]
) -> None:
    few = [0.1, 0.3, 1.0, math.inf]
    merged = merge([counted(left), counted(middle, [0.1, 0.4, math.inf]), counted(right, few)])
    assert {0.1, math.inf} <= set(merged.bounds.tolist())
    assert merged.cumulative.tolist() == counted(left + middle + right, merged.bounds.tolist()).cumulative.tolist()
    nested = merge([counted(left), merge([counted(middle, [0.1, 0.4, math.inf]), counted(right, few)])])
    assert merged.bounds.tolist() == nested.bounds.tolist()


def test_merging_keeps_the_bounds_above_the_slowest_value_of_others() -> None:
    fast, slow = counted([0.1, 0.2], [0.1, 0.2, math.inf]), counted([0.15, 4.0], [0.1, 0.2, 3.0, 4.0, math.inf])
    assert merge([fast, slow]).quantile(1.0) == Quantile(estimate=4.0, lower=3.0, upper=4.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_without_a_json_representation_are_rejected(value: float) -> None:
    with pytest.raises(ValidationError):
        Quantile(estimate=value, lower=0.0, upper=1.0)


def test_without_finite_bounds_quantiles_are_unknown() -> None:
    histogram = make_histogram([math.inf], [100])
    assert (histogram.count, histogram.bounded, histogram.quantile(0.5)) == (100, False, None)


def test_estimates_within_the_first_bucket_agree_with_the_mean() -> None:
    # All values are at most 100 ms and 7 ms on average: half of them cannot be above 14 ms (Markov).
    histogram = make_histogram([0.1, math.inf], [200, 200])
    p50, p99 = (histogram.quantile(q, mean=0.007) for q in (0.5, 0.99))
    assert p50 is not None
    assert p99 is not None
    assert p50.estimate == pytest.approx(0.007 * math.log(2), rel=0.01)
    assert p99.estimate == pytest.approx(0.007 * math.log(100), rel=0.01)
    assert (p99.lower, p99.upper) == (0.0, 0.1)


def test_estimates_within_the_last_bucket_agree_with_the_mean() -> None:
    p50 = make_histogram([0.1, 1.0], [0, 100]).quantile(0.5, mean=0.95)
    assert p50 is not None
    assert 0.95 < p50.estimate < 1.0


@pytest.mark.parametrize("mean", [None, 0.055, -5.0, 1e6])
def test_values_are_spread_evenly_where_the_mean_allows_it_or_is_impossible(mean: float | None) -> None:
    assert make_histogram([0.1, 0.5], [90, 100]).quantile(0.45, mean) == Quantile(estimate=0.05, lower=0.0, upper=0.1)


@settings(derandomize=True, max_examples=80, deadline=None)
@given(latencies, st.floats(min_value=0.001, max_value=1))
def test_estimates_that_agree_with_the_mean_stay_within_their_bounds(values: list[float], q: float) -> None:
    mean = math.fsum(values) / len(values)
    quantile = counted(values).quantile(q, mean)
    assert quantile is not None
    assert quantile.lower <= quantile.estimate <= (quantile.upper or math.inf)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.floats(min_value=0.0005, max_value=0.0995), st.sampled_from([0.5, 0.9, 0.99]))
def test_estimates_within_one_bucket_keep_to_the_bound_of_markov(mean: float, q: float) -> None:
    quantile = make_histogram([0.1], [10000]).quantile(q, mean)
    assert quantile is not None
    assert quantile.estimate <= mean / (1 - q)


def test_the_range_of_a_mean_is_that_of_its_buckets() -> None:
    assert make_histogram([0.1, 0.5], [90, 100]).mean_range() == pytest.approx((0.01, 0.14))
    assert make_histogram([0.1, math.inf], [50, 100]).mean_range() == (0.05, math.inf)
    assert make_histogram([], []).mean_range() == (0.0, math.inf)


def test_failures_without_a_timeout_are_above_completed_requests_of_unknown_latency() -> None:
    for histogram in (make_histogram([math.inf], [10]), make_histogram([0.1, math.inf], [6, 10])):
        failed = add_failures(histogram, 5, None)
        assert failed.bounds.tolist() == histogram.bounds.tolist()
        assert failed.count == 15
    quantile = add_failures(make_histogram([0.1, math.inf], [6, 10]), 5, None).quantile(0.6)
    assert quantile == Quantile(estimate=0.1, lower=0.1, upper=None)

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.measure.histogram import Histogram, make_histogram, merge
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


@given(latencies, latencies)
def test_merging_different_bounds_keeps_the_shared_ones(left: list[float], right: list[float]) -> None:
    merged = merge([counted(left), counted(right, [0.1, 0.3, 1.0, math.inf])])
    assert merged.bounds.tolist() == [0.1, 1.0, math.inf]
    assert merged.cumulative.tolist() == counted(left + right, [0.1, 1.0, math.inf]).cumulative.tolist()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_without_a_json_representation_are_rejected(value: float) -> None:
    with pytest.raises(ValidationError):
        Quantile(estimate=value, lower=0.0, upper=1.0)

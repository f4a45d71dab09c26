from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.measure.histogram import make_histogram, merge
from benchmark.measure.run_metrics import Quantile
from benchmark.measure.window_stats import Increase, WindowStats, median_of, window_stats
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames


def increase(
    latencies: list[float], seconds: float = 10.0, failed: float = 0.0, timeout: float | None = 2.0
) -> Increase:
    bounds = [0.1, 0.2, 0.5, 1.0, math.inf]
    return Increase(
        seconds=seconds,
        completed=float(len(latencies)),
        latency_sum=math.fsum(latencies),
        squared_sum=math.fsum(value**2 for value in latencies),
        histogram=make_histogram(bounds, [sum(value <= bound for value in latencies) for bound in bounds]),
        sent=float(len(latencies)),
        scheduled=float(len(latencies)),
        backlog=0.0,
        errors={"timeout": failed},
        timeout_s=timeout,
    )


def joined(left: Increase, right: Increase) -> Increase:
    return replace(
        left,
        completed=left.completed + right.completed,
        latency_sum=left.latency_sum + right.latency_sum,
        squared_sum=(left.squared_sum or 0) + (right.squared_sum or 0),
        histogram=merge([left.histogram, right.histogram]),
        errors={"timeout": left.failed + right.failed},
    )


clients = st.lists(st.lists(st.floats(min_value=0.001, max_value=5), min_size=1, max_size=20), min_size=2, max_size=8)


@given(clients, st.randoms())
def test_merging_in_any_order_gives_the_same_window_stats(groups: list[list[float]], random: object) -> None:
    members = [increase(group) for group in groups]
    expected = window_stats(members, LOAD_GENERATOR)
    random.shuffle(members)  # type: ignore[attr-defined]
    assert window_stats(members, LOAD_GENERATOR) == expected


@given(clients)
def test_merging_in_any_grouping_gives_the_same_window_stats(groups: list[list[float]]) -> None:
    members = [increase(group) for group in groups]
    expected = window_stats(members, LOAD_GENERATOR)
    found = window_stats([joined(members[0], members[1]), *members[2:]], LOAD_GENERATOR)
    assert found.latency_s is not None
    assert expected.latency_s is not None
    assert found.completed_tps == pytest.approx(expected.completed_tps)
    assert found.errors == expected.errors
    assert found.latency_s.mean == pytest.approx(expected.latency_s.mean)
    assert found.latency_s.stdev == pytest.approx(expected.latency_s.stdev, abs=1e-6)
    assert found.latency_s.quantiles == expected.latency_s.quantiles


def test_failed_requests_count_as_their_timeout_and_what_completed_is_kept_beside_them() -> None:
    found = window_stats([increase([0.15] * 98), increase([], failed=2)], LOAD_GENERATOR)
    every, successful = found.latency_s, found.successful_latency_s
    assert every is not None
    assert successful is not None
    assert every.p99 == Quantile(estimate=2.0, lower=2.0, upper=None)
    assert (every.quantiles["p90"].lower, every.quantiles["p90"].upper) == (0.1, 0.2)
    assert (every.mean, successful.mean) == (pytest.approx(0.187), pytest.approx(0.15))
    assert every.stdev == pytest.approx(1.85 * math.sqrt(0.98 * 0.02))
    assert (successful.p99.lower, successful.p99.upper, successful.stdev) == (0.1, 0.2, pytest.approx(0, abs=1e-6))
    assert (found.completed_tps, found.failed) == (9.8, 2)


def test_failed_requests_without_a_known_timeout_are_slower_than_all_others() -> None:
    found = window_stats([increase([0.15] * 98, failed=2, timeout=None)], LOAD_GENERATOR)
    assert found.latency_s is not None
    assert found.latency_s.p99 == Quantile(estimate=0.2, lower=0.2, upper=None)
    assert (found.latency_s.mean, found.latency_s.stdev) == (None, None)
    assert found.successful_latency_s is not None
    assert found.successful_latency_s.mean == pytest.approx(0.15)


def test_only_failed_requests_have_a_latency_of_at_least_their_timeout() -> None:
    found = window_stats([increase([], failed=5)], LOAD_GENERATOR)
    assert found.latency_s is not None
    assert (found.latency_s.mean, found.latency_s.p99.lower, found.latency_s.p99.upper) == (2.0, 2.0, None)
    assert found.successful_latency_s is None


def test_requests_that_hang_beyond_the_window_are_slower_than_all_others() -> None:
    hanging = replace(increase([0.15] * 98), scheduled=100.0, oldest_s=9.0)
    found = window_stats([hanging], LOAD_GENERATOR)
    assert found.latency_s is not None
    assert found.successful_latency_s is not None
    assert (found.unanswered, found.failed) == (2, 0)
    assert found.latency_s.p99 == Quantile(estimate=0.2, lower=0.2, upper=None)
    assert found.latency_s.mean == pytest.approx(0.15)
    assert found.successful_latency_s.p99.upper == 0.2
    nothing = window_stats([replace(increase([], timeout=60), scheduled=100.0, oldest_s=9.0)], LOAD_GENERATOR)
    assert nothing.latency_s is not None
    assert (nothing.latency_s.mean, nothing.latency_s.p99.upper, nothing.successful_latency_s) == (None, None, None)


@pytest.mark.parametrize(("oldest", "scheduled"), [(0.3, 100.0), (9.0, 98.0), (9.0, None)])
def test_requests_in_flight_that_do_not_hang_change_nothing(oldest: float, scheduled: float | None) -> None:
    found = window_stats([replace(increase([0.15] * 98), scheduled=scheduled, oldest_s=oldest)], LOAD_GENERATOR)
    assert found.unanswered == 0
    assert found.latency_s == found.successful_latency_s


def test_errors_that_a_system_does_not_count_are_unknown() -> None:
    found = window_stats([replace(increase([0.1]), errors=None)], MetricNames(errors=None))
    assert (found.errors, found.failed) == (None, None)
    assert found.latency_s == found.successful_latency_s


@given(clients, st.lists(st.integers(0, 20), min_size=8, max_size=8))
def test_no_quantile_is_lowered_by_failed_requests(groups: list[list[float]], failures: list[int]) -> None:
    fast = [[min(value, 1.9) for value in group] for group in groups]
    found = window_stats(
        [increase(group, failed=failed) for group, failed in zip(fast, failures, strict=False)], LOAD_GENERATOR
    )
    assert found.latency_s is not None
    assert found.successful_latency_s is not None
    for name, quantile in found.latency_s.quantiles.items():
        only = found.successful_latency_s.quantiles[name]
        assert quantile.upper is None or quantile.upper >= (only.upper or 1.0)
        assert quantile.lower >= only.lower


def test_throughput_of_each_client_uses_its_own_duration() -> None:
    found = window_stats([increase([0.1] * 100, seconds=10), increase([0.1] * 100, seconds=5)], LOAD_GENERATOR)
    assert found.completed_tps == 30
    assert found.sampled_seconds == 7.5


def test_counter_missing_at_one_client_is_unknown_for_all() -> None:
    partly = replace(increase([0.1]), sent=None, squared_sum=None, backlog=None)
    found = window_stats([increase([0.1]), partly], LOAD_GENERATOR)
    assert (found.sent_tps, found.backlog_tps) == (None, None)
    assert found.scheduled_tps == 0.2
    assert found.latency_s is not None
    assert found.latency_s.stdev is None


def test_an_idle_client_does_not_hide_the_others_latency() -> None:
    idle = replace(increase([]), histogram=make_histogram([], []))
    found = window_stats([increase([0.15] * 4), idle], LOAD_GENERATOR)
    assert found.latency_s is not None
    assert (found.latency_s.quantiles["p50"].lower, found.latency_s.quantiles["p50"].upper) == (0.1, 0.2)


def test_rounding_never_makes_the_variance_negative() -> None:
    found = window_stats([replace(increase([0.1] * 3), squared_sum=0.03 - 1e-12)], LOAD_GENERATOR)
    assert found.latency_s is not None
    assert found.latency_s.stdev == 0


def test_the_median_is_taken_where_every_replica_counts_all_transactions() -> None:
    members = [increase([0.1] * count) for count in (100, 90, 10)]
    found = window_stats(members, MetricNames(aggregation="median"))
    assert (found.completed_tps, found.completed) == (9.0, 90.0)


def test_no_clients_have_no_throughput() -> None:
    found = window_stats([], LOAD_GENERATOR)
    assert (found.completed_tps, found.latency_s, found.sent_tps, found.carried_over) == (None, None, None, None)


def test_a_median_with_an_unknown_value_or_of_nothing_is_unknown() -> None:
    assert median_of([3.0, 1.0, 2.0]) == 2.0
    assert (median_of([]), median_of([1.0, None])) == (None, None)


def test_statistics_survive_json_and_unknown_fields_are_an_error() -> None:
    found = window_stats([increase([0.15, 3.0])], LOAD_GENERATOR)
    assert WindowStats.model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValidationError, match="throughput"):
        WindowStats.model_validate({**found.model_dump(), "throughput": 1.0})

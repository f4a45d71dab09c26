from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmark.measure.histogram import make_histogram, merge
from benchmark.measure.window_stats import Increase, WindowStats, window_stats
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames


def increase(latencies: list[float], seconds: float = 10.0) -> Increase:
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
        errors={"timeout": 1.0},
    )


def joined(left: Increase, right: Increase) -> Increase:
    return replace(
        left,
        completed=left.completed + right.completed,
        latency_sum=left.latency_sum + right.latency_sum,
        squared_sum=(left.squared_sum or 0) + (right.squared_sum or 0),
        histogram=merge([left.histogram, right.histogram]),
        errors={"timeout": left.errors["timeout"] + right.errors["timeout"]},
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
    assert (found.completed_tps, found.latency_s, found.sent_tps) == (0.0, None, None)


def test_statistics_survive_json_and_unknown_fields_are_an_error() -> None:
    found = window_stats([increase([0.15, 3.0])], LOAD_GENERATOR)
    assert WindowStats.model_validate_json(found.model_dump_json()) == found
    with pytest.raises(ValidationError, match="throughput"):
        WindowStats.model_validate({**found.model_dump(), "throughput": 1.0})

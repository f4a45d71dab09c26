from __future__ import annotations

import math

import numpy as np
import pytest
from factories.sample_factory import labels_of, series
from hypothesis import given
from hypothesis import strategies as st

from benchmark.measure.scrapes import Process, Span, processes
from benchmark.metrics.samples import Series

COUNTERS = ["total"]


def one(*members: Series) -> Process:
    (process,) = processes(members, "client", COUNTERS)
    return process


def counter(values: list[float], times: list[float] | None = None, **labels: str) -> Series:
    return series("total", {**labels_of("a"), **labels}, times or [float(i) for i in range(len(values))], values)


def test_growth_is_between_the_real_samples_inside_the_window() -> None:
    process = one(counter([0, 10, 30, 60, 100], [1, 2, 3, 4, 5]))
    span = process.span(1.5, 4.9)
    assert span == Span(1, 3)
    assert process.seconds(span) == 2
    assert process.growth("total", span) == 50


@pytest.mark.parametrize(("start", "end"), [(1.5, 2.5), (2.1, 2.9), (6, 9), (-5, 0.5), (4, 2)])
def test_a_window_with_less_than_two_samples_has_no_span(start: float, end: float) -> None:
    assert one(counter([0, 10, 30, 60, 100], [1, 2, 3, 4, 5])).span(start, end) is None


steps = st.lists(st.integers(min_value=0, max_value=1000), min_size=4, max_size=30)


@given(steps, st.data())
def test_adjacent_windows_add_up_to_the_whole(grown: list[int], data: st.DataObject) -> None:
    process = one(counter(np.cumsum(grown).tolist()))
    last = len(grown) - 1
    cut = data.draw(st.integers(min_value=1, max_value=last - 1))
    spans = [process.span(0, last), process.span(0, cut), process.span(cut, last)]
    whole, left, right = (process.growth("total", span) for span in spans if span)
    assert left + right == whole == sum(grown[1:])


@given(steps, st.floats(min_value=0.1, max_value=25))
def test_a_cut_between_samples_counts_none_twice(grown: list[int], cut: float) -> None:
    process = one(counter(np.cumsum(grown).tolist()))
    parts = [span for span in (process.span(0, cut), process.span(cut, len(grown) - 1)) if span]
    assert sum(process.growth("total", span) for span in parts) <= sum(grown[1:])


@given(steps, st.sets(st.integers(min_value=2, max_value=25), max_size=4))
def test_counters_that_reset_lose_at_most_what_was_not_sampled(grown: list[int], resets: set[int]) -> None:
    value, values = 0, []
    for index, step in enumerate(grown):
        # The process restarts right after the sample before, so that nothing is lost but the value itself.
        value = step if index in resets else value + step
        values.append(float(value))
    process = one(counter(values))
    span = process.span(0, len(values) - 1)
    assert span is not None
    grown_by = process.growth("total", span)
    assert grown_by <= sum(grown[1:])
    if all(values[index] < values[index - 1] for index in resets if index < len(values)):
        assert grown_by == sum(grown[1:])
        assert process.restarts == tuple(sorted(index for index in resets if index < len(values)))


def test_a_restart_resets_every_counter_of_the_process() -> None:
    # The second counter has overtaken its old value by the next scrape: alone it would look like growth of 2.
    errors = series("errors", labels_of("a"), [0, 1, 2, 3], [3, 3, 5, 6])
    process = one(counter([50, 60, 7, 9]), errors)
    assert process.restarts == (2,)
    assert process.growth("errors", Span(0, 3)) == 6


def test_a_counter_that_falls_alone_starts_again_from_zero() -> None:
    process = one(counter([1, 2, 3, 4]), series("errors", labels_of("a"), [0, 1, 2, 3], [50, 60, 2, 3]))
    assert process.restarts == ()
    assert process.grown("errors").tolist() == [[0, 10, 12, 13]]


def test_a_changed_start_time_is_a_restart_even_if_no_counter_fell() -> None:
    process = one(counter([1, 2, 30, 40]), series("start_time_s", labels_of("a"), [0, 1, 2, 3], [9, 9, 11, 11]))
    assert process.restarts == (2,)
    assert process.growth("total", Span(0, 3)) == 1 + 30 + 10


def test_a_start_time_that_appears_later_is_no_restart() -> None:
    process = one(counter([1, 2, 3]), series("start_time_s", labels_of("a"), [1, 2], [9, 9]))
    assert process.restarts == ()


def test_a_process_that_waits_for_its_start_did_not_restart() -> None:
    process = one(counter([0, 0, 3, 4]), series("start_time_s", labels_of("a"), [0, 1, 2, 3], [0, 0, 11, 11]))
    assert process.restarts == ()


def test_a_series_that_is_gone_after_a_restart_adds_nothing() -> None:
    gone = series("errors", {**labels_of("a"), "error_type": "x"}, [0, 1], [4, 5])
    process = one(counter([50, 60, 7, 9]), gone)
    assert process.growth_by("errors", "error_type", Span(0, 3)) == {"x": 1}


def test_a_series_that_appears_within_the_window_grew_from_zero() -> None:
    late = series("errors", {**labels_of("a"), "error_type": "timeout"}, [2, 3], [4, 6])
    process = one(counter([1, 2, 3, 4]), late)
    assert process.growth_by("errors", "error_type", Span(0, 3)) == {"timeout": 6}


def test_a_process_that_appears_within_the_window_grew_from_its_first_sample() -> None:
    process = one(counter([500, 510], [7, 8]))
    span = process.span(0, 10)
    assert span is not None
    assert (process.growth("total", span), process.seconds(span)) == (10, 1)


def test_a_sample_that_one_series_lacks_is_taken_from_before() -> None:
    other = series("errors", labels_of("a"), [0, 1, 3], [1, 2, 5])
    process = one(counter([1, 2, 3, 4]), other)
    assert process.grown("errors").tolist() == [[0, 1, 1, 4]]


def test_samples_that_were_read_twice_count_once() -> None:
    process = one(counter([1, 2, 2, 3], [0, 1, 1, 2]))
    assert process.times.tolist() == [0, 1, 2]
    assert process.growth("total", Span(0, 2)) == 2


def test_processes_are_told_apart_by_address_and_job() -> None:
    found = processes(
        [
            counter([1, 2], host="b", instance="b:1"),
            counter([1, 2], host="a", instance="a:2"),
            counter([1, 2], host="a", instance="a:1"),
            counter([1, 2], job="node"),
        ],
        "client",
        COUNTERS,
    )
    assert [process.name for process in found] == ["a a:1", "a a:2", "b"]
    assert [process.host for process in found] == ["a", "a", "b"]


def test_buckets_are_summed_over_workloads_and_sorted() -> None:
    def bucket(le: str, workload: str, values: list[float]) -> Series:
        return series("h_bucket", {**labels_of("a"), "le": le, "workload": workload}, [0, 1], values)

    process = one(counter([0, 1]), bucket("+Inf", "w", [0, 5]), bucket("1", "w", [0, 2]), bucket("1.0", "r", [1, 2]))
    bounds, grown = process.buckets("h")
    assert bounds.tolist() == [1.0, math.inf]
    assert grown.tolist() == [[0, 3], [0, 5]]
    assert process.histogram("h", Span(0, 1)).count == 5


def test_gaps_include_the_edges_of_the_window() -> None:
    process = one(counter([0, 1, 2, 3, 4], [3, 4, 5, 9, 10]))
    assert process.gaps(3, 10, 2.5) == [(5, 9)]
    assert process.gaps(0, 13, 2.5) == [(0, 3), (5, 9), (10, 13)]
    assert process.gaps(3, 5, 2.5) == []

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from factories.sample_factory import labels_of, series
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.measure.scrapes import RunSamples, SampleRange, ScrapedTarget
from benchmark.metrics.samples import Series

COUNTERS = ["total"]


def one(*members: Series) -> ScrapedTarget:
    (target,) = RunSamples(members).targets("client", COUNTERS)
    return target


def counter(values: list[float], times: list[float] | None = None, **labels: str) -> Series:
    return series("total", {**labels_of("a"), **labels}, times or [float(i) for i in range(len(values))], values)


def test_an_increase_is_between_the_real_samples_inside_the_window() -> None:
    target = one(counter([0, 10, 30, 60, 100], [1, 2, 3, 4, 5]))
    span = target.sample_range(1.5, 4.9)
    assert span == SampleRange(1, 3)
    assert target.seconds(span) == 2
    assert target.increase("total", span) == 50


@pytest.mark.parametrize(("start", "end"), [(1.5, 2.5), (2.1, 2.9), (6, 9), (-5, 0.5), (4, 2)])
def test_a_window_with_fewer_than_two_samples_has_no_range(start: float, end: float) -> None:
    assert one(counter([0, 10, 30, 60, 100], [1, 2, 3, 4, 5])).sample_range(start, end) is None


steps = st.lists(st.integers(min_value=0, max_value=1000), min_size=4, max_size=30)


@given(steps, st.data())
def test_adjacent_windows_add_up_to_the_whole(counted: list[int], data: st.DataObject) -> None:
    target = one(counter(np.cumsum(counted).tolist()))
    last = len(counted) - 1
    cut = data.draw(st.integers(min_value=1, max_value=last - 1))
    spans = [target.sample_range(0, last), target.sample_range(0, cut), target.sample_range(cut, last)]
    whole, left, right = (target.increase("total", span) for span in spans if span)
    assert left + right == whole == sum(counted[1:])


@given(steps, st.floats(min_value=0.1, max_value=25))
def test_adjacent_windows_split_between_samples_count_none_twice(counted: list[int], cut: float) -> None:
    target = one(counter(np.cumsum(counted).tolist()))
    parts = [span for span in (target.sample_range(0, cut), target.sample_range(cut, len(counted) - 1)) if span]
    assert sum(target.increase("total", span) for span in parts) <= sum(counted[1:])


@given(steps, st.sets(st.integers(min_value=2, max_value=25), max_size=4))
def test_counter_resets_lose_at_most_the_unsampled_increase(counted: list[int], resets: set[int]) -> None:
    value, values = 0, []
    for index, step in enumerate(counted):
        # The target restarts right after the sample before, so that nothing is lost but the value itself.
        value = step if index in resets else value + step
        values.append(float(value))
    target = one(counter(values))
    span = target.sample_range(0, len(values) - 1)
    assert span is not None
    increase = target.increase("total", span)
    assert increase <= sum(counted[1:])
    if all(values[index] < values[index - 1] for index in resets if index < len(values)):
        assert increase == sum(counted[1:])
        assert target.restarts == tuple(sorted(index for index in resets if index < len(values)))


def test_a_restart_resets_every_counter_of_the_target() -> None:
    # The second counter has overtaken its old value by the next scrape: alone it would look like an increase of 2.
    errors = series("errors", labels_of("a"), [0, 1, 2, 3], [3, 3, 5, 6])
    target = one(counter([50, 60, 7, 9]), errors)
    assert target.restarts == (2,)
    assert target.increase("errors", SampleRange(0, 3)) == 6


def test_a_counter_that_falls_alone_starts_again_from_zero() -> None:
    target = one(counter([1, 2, 3, 4]), series("errors", labels_of("a"), [0, 1, 2, 3], [50, 60, 2, 3]))
    assert target.restarts == ()
    assert target.increases("errors").tolist() == [[0, 10, 12, 13]]
    assert target.falls("errors", SampleRange(0, 3)) == [(2.0, 60.0, 2.0)]
    assert target.falls("errors", SampleRange(2, 3)) == []


def test_a_sum_that_jitters_is_no_restart_and_is_not_counted_twice() -> None:
    total = series("h_sum", labels_of("a"), [0, 1, 2, 3, 4], [10000, 10005, 10004.998, 10010, 10015])
    count = series("h_count", labels_of("a"), [0, 1, 2, 3, 4], [0, 100, 200, 300, 400])
    target = one(counter([1, 2, 3, 4, 5]), total, count)
    assert target.restarts == ()
    assert target.increase("h_sum", SampleRange(0, 4)) == 15
    assert target.falls("h_sum", SampleRange(0, 4)) == []


def test_the_values_of_an_interval_in_which_the_sum_fell_have_the_mean_of_the_others() -> None:
    count = series("h_count", labels_of("a"), [0, 1, 2, 3, 4], [0, 100, 200, 300, 400])
    total = series("h_sum", labels_of("a"), [0, 1, 2, 3, 4], [10000, 10005, 10004.998, 10009.998, 10014.998])
    target = one(counter([1, 2, 3, 4, 5]), total, count)
    assert target.total("h", SampleRange(0, 4)) == pytest.approx(20)
    assert target.total("h", SampleRange(1, 2)) == 0, "nothing is known of a single such interval"


def test_the_sum_of_a_process_that_restarted_is_counted_from_zero() -> None:
    count = series("h_count", labels_of("a"), [0, 1, 2, 3], [100, 200, 50, 150])
    total = series("h_sum", labels_of("a"), [0, 1, 2, 3], [10, 20, 5, 15])
    target = one(counter([10, 20, 5, 15]), total, count)
    assert target.restarts == (2,)
    assert target.total("h", SampleRange(0, 3)) == 10 + 5 + 10


@given(st.lists(st.floats(min_value=0, max_value=100), min_size=4, max_size=12), st.data())
def test_jitter_never_adds_to_an_increase(steps: list[float], data: st.DataObject) -> None:
    values = 1000 + np.cumsum(steps)
    jitter = data.draw(st.lists(st.floats(-0.5, 0.5), min_size=len(steps), max_size=len(steps)))
    others = [series(name, labels_of("a"), range(len(steps)), values) for name in ("h_bucket", "h_count", "total")]
    jittering = series("h_sum", labels_of("a"), range(len(steps)), values + jitter)
    target = one(*(replace(each, labels={**each.labels, "le": "1"}) for each in others), jittering)
    assert target.restarts == ()
    assert target.increase("h_sum", SampleRange(0, len(steps) - 1)) <= sum(steps[1:]) + 1.0


@settings(derandomize=True, max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 1000)] * 3), min_size=3, max_size=15),
    st.sets(st.integers(1, 14), max_size=4),
    st.booleans(),
)
def test_no_restart_of_a_process_counts_anything_twice(
    steps: list[tuple[int, ...]], restarts: set[int], exports_start: bool
) -> None:
    """Every counter of a process restarts at zero and grows by a step between two samples."""
    counts, started = [0, 0, 0], 999.5
    values: list[list[float]] = [[], [], []]
    starts = []
    for index, step in enumerate(steps):
        if index in restarts:
            counts, started = [0, 0, 0], 1000.0 + index - 0.5
        counts = [count + each for count, each in zip(counts, step, strict=True)]
        for name, count in enumerate(counts):
            values[name].append(count)
        starts.append(started)
    times = [1000.0 + index for index in range(len(steps))]
    made = [series(name, labels_of("a"), times, each) for name, each in zip(("total", "b", "c"), values, strict=True)]
    start = series("process_start_time_seconds", labels_of("a"), times, starts)
    target = one(*made, *([start] if exports_start else []))
    span = SampleRange(0, len(steps) - 1)
    for number, name in enumerate(("total", "b", "c")):
        true = sum(step[number] for step in steps[1:])
        assert target.increase(name, span) <= true
        if exports_start and not any(index + 1 in restarts for index in restarts):
            assert target.increase(name, span) == true


def test_a_process_whose_start_time_is_stable_did_not_restart_whatever_fell() -> None:
    target = one(counter([50, 60, 7, 9]), series("start_time_s", labels_of("a"), [0, 1, 2, 3], 9.0))
    assert target.restarts == ()
    assert target.increase("total", SampleRange(0, 3)) == 10 + 7 + 2
    assert target.falls("total", SampleRange(0, 3)) == [(2.0, 60.0, 7.0)]


@pytest.mark.parametrize("moved", [0.01, -0.01, 0.9, -30.0])
def test_a_start_time_that_follows_the_clock_is_no_restart(moved: float) -> None:
    start = series("process_start_time_seconds", labels_of("a"), [100, 101, 102, 103], [90, 90, 90 + moved, 90 + moved])
    target = one(counter([1, 2, 30, 40], [100, 101, 102, 103]), start)
    assert target.restarts == ()
    assert target.increase("total", SampleRange(0, 3)) == 39


def test_a_clock_that_was_set_forward_is_no_restart() -> None:
    # The process was scraped at 101: one that replaced it cannot have started before.
    start = series("process_start_time_seconds", labels_of("a"), [100, 101, 102], [50, 50, 80])
    assert one(counter([1, 2, 3], [100, 101, 102]), start).restarts == ()


def test_a_changed_start_time_is_a_restart_even_if_no_counter_fell() -> None:
    target = one(counter([1, 2, 30, 40]), series("start_time_s", labels_of("a"), [0, 1, 2, 3], [9, 9, 11, 11]))
    assert target.restarts == (2,)
    assert target.increase("total", SampleRange(0, 3)) == 1 + 30 + 10


def test_a_start_time_that_appears_later_is_no_restart() -> None:
    target = one(counter([1, 2, 3]), series("start_time_s", labels_of("a"), [1, 2], [9, 9]))
    assert target.restarts == ()


def test_process_waiting_for_its_start_did_not_restart() -> None:
    target = one(counter([0, 0, 3, 4]), series("start_time_s", labels_of("a"), [0, 1, 2, 3], [0, 0, 11, 11]))
    assert target.restarts == ()


def test_a_series_that_is_missing_after_a_restart_adds_nothing() -> None:
    gone = series("errors", {**labels_of("a"), "error_type": "x"}, [0, 1], [4, 5])
    target = one(counter([50, 60, 7, 9]), gone)
    assert target.increase_by("errors", "error_type", SampleRange(0, 3)) == {"x": 1}


def test_a_series_that_the_new_process_exports_later_starts_at_zero() -> None:
    back = series("errors", {**labels_of("a"), "error_type": "x"}, [0, 1, 3], [4, 5, 7])
    target = one(counter([50, 60, 7, 9]), back)
    assert target.increase_by("errors", "error_type", SampleRange(0, 3)) == {"x": 8}


def test_a_series_that_appears_within_the_window_started_at_zero() -> None:
    late = series("errors", {**labels_of("a"), "error_type": "timeout"}, [2, 3], [4, 6])
    target = one(counter([1, 2, 3, 4]), late)
    assert target.increase_by("errors", "error_type", SampleRange(0, 3)) == {"timeout": 6}


def test_a_target_that_appears_within_the_window_counts_from_its_first_sample() -> None:
    target = one(counter([500, 510], [7, 8]))
    span = target.sample_range(0, 10)
    assert span is not None
    assert (target.increase("total", span), target.seconds(span)) == (10, 1)


def test_sample_missing_in_one_series_is_carried_forward() -> None:
    other = series("errors", labels_of("a"), [0, 1, 3], [1, 2, 5])
    target = one(counter([1, 2, 3, 4]), other)
    assert target.increases("errors").tolist() == [[0, 1, 1, 4]]


def test_samples_that_were_read_twice_count_once() -> None:
    target = one(counter([1, 2, 2, 3], [0, 1, 1, 2]))
    assert target.times.tolist() == [0, 1, 2]
    assert target.increase("total", SampleRange(0, 2)) == 2


def test_series_that_was_fetched_twice_or_in_parts_counts_once() -> None:
    whole = counter([1, 2, 4, 7])
    parts = [counter([4, 7], [2, 3]), counter([1, 2], [0, 1])]
    for members in ([whole, whole], parts, [*parts, whole]):
        assert one(*members).increase("total", SampleRange(0, 3)) == 6


def test_samples_are_grouped_once_per_run() -> None:
    samples = RunSamples([counter([1, 2]), counter([1, 2], host="b", instance="b:1")])
    assert samples.targets("client", COUNTERS) is samples.targets("client", tuple(COUNTERS))
    assert samples.targets("client", ["other"]) == []
    (target, _) = samples.targets("client", COUNTERS)
    assert target.increases("total") is target.increases("total")


def test_increases_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        one(counter([1, 2])).increases("total")[0, 0] = 5


def test_a_metric_that_was_never_scraped_has_no_increase() -> None:
    target = one(counter([1, 2]))
    assert target.increases("errors").shape == (0, 2)
    assert target.increase("errors", SampleRange(0, 1)) == 0
    assert target.increase_by("errors", "error_type", SampleRange(0, 1)) == {}
    assert target.histogram("latency_s", SampleRange(0, 1)).count == 0


def test_targets_are_distinguished_by_address_and_job() -> None:
    found = RunSamples(
        [
            counter([1, 2], host="b", instance="b:1"),
            counter([1, 2], host="a", instance="a:2"),
            counter([1, 2], host="a", instance="a:1"),
            counter([1, 2], job="node"),
        ]
    ).targets("client", COUNTERS)
    assert [target.name for target in found] == ["a a:1", "a a:2", "b"]
    assert [target.host for target in found] == ["a", "a", "b"]


def test_buckets_are_summed_over_workloads_and_sorted() -> None:
    def bucket(le: str, workload: str, values: list[float]) -> Series:
        return series("h_bucket", {**labels_of("a"), "le": le, "workload": workload}, [0, 1], values)

    target = one(counter([0, 1]), bucket("+Inf", "w", [0, 5]), bucket("1", "w", [0, 2]), bucket("1.0", "r", [1, 2]))
    bounds, increases = target.buckets("h")
    assert bounds.tolist() == [1.0, math.inf]
    assert increases.tolist() == [[0, 3], [0, 6]]
    assert target.histogram("h", SampleRange(0, 1)).count == 6


def test_only_bounds_that_every_workload_has_are_used() -> None:
    def bucket(le: str, workload: str, values: list[float]) -> Series:
        return series("h_bucket", {**labels_of("a"), "le": le, "workload": workload}, [0, 1], values)

    both = [bucket(le, workload, [0, 5]) for le in ("1", "+Inf") for workload in ("w", "r")]
    bounds, increases = one(counter([0, 1]), *both, bucket("0.5", "w", [0, 4])).buckets("h")
    assert (bounds.tolist(), increases[:, -1].tolist()) == ([1.0, math.inf], [10, 10])


def test_the_count_is_the_infinite_bucket_where_none_is_exported() -> None:
    made = [
        series("h_bucket", {**labels_of("a"), "le": le}, [0, 1], [0, count]) for le, count in (("0.1", 90), ("0.5", 95))
    ]
    target = one(counter([0, 1]), *made, series("h_count", labels_of("a"), [0, 1], [0, 100]))
    found = target.histogram("h", SampleRange(0, 1))
    assert (found.bounds.tolist(), found.cumulative.tolist()) == ([0.1, 0.5, math.inf], [90, 95, 100])


def test_gaps_include_the_edges_of_the_window() -> None:
    target = one(counter([0, 1, 2, 3, 4], [3, 4, 5, 9, 10]))
    assert target.gaps(3, 10, 2.5) == [(5, 9)]
    assert target.gaps(0, 13, 2.5) == [(0, 3), (5, 9), (10, 13)]
    assert target.gaps(3, 5, 2.5) == []


@pytest.mark.parametrize(
    ("value", "shown"), [(math.nan, "NaN"), (math.inf, "Inf"), (-math.inf, "-Inf"), (1e200, "1e+200")]
)
def test_an_increase_with_unusable_samples_is_unknown_with_the_reason(value: float, shown: str) -> None:
    target = one(counter([1, 2, 3, 4]), series("h_sum", labels_of("a"), [0, 1, 2, 3], [1, 2, value, 5]))
    assert target.unknown("h_sum", SampleRange(0, 3)) == f"`h_sum` is {shown}"
    assert target.unknown("h_sum", SampleRange(0, 1)) is None
    assert target.increase("h_sum", SampleRange(0, 3)) == 4
    assert target.unknown("h_count", SampleRange(0, 1)) == "`h_count` is not exported"


def test_unusable_first_samples_do_not_count_as_zero() -> None:
    target = one(counter([1, 2, 3]), series("h_sum", labels_of("a"), [0, 1, 2], [math.nan, 1000, 1001]))
    assert target.increase("h_sum", SampleRange(0, 2)) == 1


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ({}, "a series of `h_bucket` has no label `le`"),
        ({"le": "x"}, 'a series of `h_bucket` has le="x"'),
        ({"le": "NaN"}, 'a series of `h_bucket` has le="NaN"'),
    ],
)
def test_buckets_without_a_bound_are_left_out_and_named(labels: dict[str, str], shown: str) -> None:
    good = [series("h_bucket", {**labels_of("a"), "le": le}, [0, 1], [0, 3]) for le in ("1", "+Inf")]
    target = one(counter([0, 1]), *good, series("h_bucket", labels_of("a") | labels, [0, 1], [0, 2]))
    assert target.buckets("h")[0].tolist() == [1.0, math.inf]
    assert target.unknown("h_bucket", SampleRange(0, 1)) == shown


def test_a_bucket_with_unusable_samples_is_left_out_and_named() -> None:
    values = {"0.1": [0, math.nan], "0.5": [0, 3], "+Inf": [0, 4]}
    made = [series("h_bucket", {**labels_of("a"), "le": le}, [0, 1], counts) for le, counts in values.items()]
    target = one(counter([0, 1]), *made)
    assert target.buckets("h")[0].tolist() == [0.5, math.inf]
    assert target.unknown("h_bucket", SampleRange(0, 1)) == '`h_bucket{le="0.1"}` is NaN'

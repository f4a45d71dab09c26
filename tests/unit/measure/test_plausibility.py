from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from factories.sample_factory import client, labels_of, series, steady
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.measure.plausibility import impossible_figures, impossible_usage
from benchmark.measure.scrapes import RunSamples
from benchmark.metrics.names import MetricNames
from benchmark.metrics.samples import Series

TIMES = np.arange(1000.0, 1061.0)


def found(made: list[Series], names: MetricNames | None = None, began: float | None = None) -> list[str]:
    names = names or MetricNames()
    (target,) = RunSamples(made).targets(names.job, names.counters)
    samples = target.sample_range(1010, 1050)
    assert samples is not None
    return list(impossible_figures(target, samples, names, began))


def changed(made: list[Series], metric: str, change: object) -> list[Series]:
    return [replace(one, values=change(one.values)) if one.metric == metric else one for one in made]  # type: ignore[operator]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.001, 0.05, 0.3, 2.0, 8.0]))
def test_no_figure_of_a_true_run_is_impossible(seed: int, mean: float) -> None:
    random = np.random.default_rng(seed)
    due = np.sort(random.uniform(995, 1060, 800))
    assert found(client("a", TIMES, due, random.exponential(mean, len(due)))) == []


def test_a_mean_outside_its_buckets_is_impossible() -> None:
    (text,) = found(changed(steady("a"), "latency_s_sum", lambda values: values * 3))[:1]
    assert text == "the mean of `latency_s`, 0.36, is outside its buckets, between 0.1 and 0.15"
    assert "outside its buckets" in found(changed(steady("a"), "latency_s_sum", lambda values: values / 3))[0]


def test_squares_that_are_too_small_for_the_mean_are_impossible() -> None:
    (text,) = found(changed(steady("a"), "latency_squared_s", lambda values: values / 2))
    assert text == "`latency_squared_s` rose by 28.8, less than the square of the mean of `latency_s` allows"


def test_counts_that_contradict_their_buckets_are_impossible() -> None:
    (text,) = found(changed(steady("a"), "latency_s_count", lambda values: np.floor(values * 1.2)))
    assert text == "`latency_s_count` rose by 4800, but its buckets by 4000"


@pytest.mark.parametrize("metric", ["latency_s_sum", "latency_s_count", "submitted"])
def test_a_counter_that_falls_without_a_restart_is_impossible(metric: str) -> None:
    reset = changed(steady("a"), metric, lambda values: np.where(TIMES >= 1030, values - values[30], values))
    assert any(text.startswith(f"the counter `{metric}` fell from ") for text in found(reset))
    assert any("to 0 after 20.0 s without a restart" in text for text in found(reset))


def test_a_negative_counter_is_impossible() -> None:
    assert "the counter `latency_s_sum` is negative (-1e+06)" in found(
        changed(steady("a"), "latency_s_sum", lambda values: values - 1e6)
    )


def in_unit(factor: float) -> list[Series]:
    """A system that counts latencies of 50 ms in another unit, and exports no start time."""
    count, labels = (TIMES - 1000) * 100, labels_of("a")
    made = [
        series("lat_bucket", {**labels, "le": f"{bound * factor:g}"}, TIMES, 0 if bound < 0.05 else count)
        for bound in (0.01, 0.1, math.inf)
    ]
    return [*made, series("lat_sum", labels, TIMES, count * 0.05 * factor), series("lat_count", labels, TIMES, count)]


@pytest.mark.parametrize(("factor", "shown"), [(1e9, "5e+07"), (1e6, "50000"), (1e3, "50")])
def test_a_latency_longer_than_the_process_is_up_is_impossible(factor: float, shown: str) -> None:
    names = MetricNames(latency="lat", squared=None)
    (text,) = found(in_unit(factor), names, began=998)
    assert text.startswith(f"the mean of `lat`, {shown} s, is longer than the process was up (")
    assert text.endswith("): is it in another unit than seconds?")
    assert found(in_unit(1.0), names, began=998) == []
    assert found(in_unit(factor), names) == [], "unknown when it started"
    started = series("process_start_time_seconds", labels_of("a"), TIMES, 998.0)
    assert found([*in_unit(factor), started], names) == [text]


@pytest.mark.parametrize(("share", "impossible"), [(1.0, False), (1.5, True)])
def test_processors_that_worked_longer_than_they_exist_are_impossible(share: float, impossible: bool) -> None:
    made = [
        series(
            "node_cpu_seconds_total",
            {**labels_of("h", job="host"), "cpu": cpu, "mode": mode},
            TIMES,
            (TIMES - 1000) * share / 2,
        )
        for cpu in "01"
        for mode in ("user", "idle")
    ]
    hosts = RunSamples(made).targets("host", ["node_cpu_seconds_total"])
    expected = ["h: 2 processors spent 120.0 s of processor time in 40.0 s"] if impossible else []
    assert list(impossible_usage(hosts, 1010, 1050)) == expected

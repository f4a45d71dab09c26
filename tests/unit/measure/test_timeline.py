from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factories.sample_factory import client, failures, labels_of, series, steady
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.measure.scrapes import RunSamples
from benchmark.measure.timeline import Timeline, make_timeline, timelines
from benchmark.metrics.names import LOAD_GENERATOR
from benchmark.metrics.samples import Series


def of(*clients: list[Series], start: float = 1010.0, end: float = 1050.0, step: float = 1.0) -> Timeline:
    found = RunSamples(one for each in clients for one in each).targets("client", LOAD_GENERATOR.counters)
    made = make_timeline(found, start, end, step=step, names=LOAD_GENERATOR)
    assert made is not None
    return made


def test_a_steady_load_is_flat() -> None:
    timeline = of(steady("a", rate=100), steady("b", rate=50))
    assert timeline.completed_tps == pytest.approx(np.full(40, 150.0), abs=2)
    assert timeline.sent_tps == pytest.approx(np.full(40, 150.0), abs=2)
    assert timeline.mean_s == pytest.approx(np.full(40, 0.12))
    assert np.all((timeline.quantiles_s["p50_s"] > 0.1) & (timeline.quantiles_s["p50_s"] <= 0.15))
    assert timeline.errors_tps.tolist() == [0.0] * 40


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(min_value=0, max_value=0.99), min_size=1, max_size=5), st.sampled_from([0.5, 1, 2.5, 7]))
def test_every_transaction_is_counted_once_on_any_grid(offsets: list[float], step: float) -> None:
    due = np.arange(1000.0, 1060.0, 0.05)
    made = [
        client(f"c{index}", np.arange(1000.0, 1061.0) + offset, due, np.full(len(due), 0.03))
        for index, offset in enumerate(offsets)
    ]
    timeline = of(*made, step=step)
    counted = float((timeline.completed_tps * np.diff(timeline.edges)).sum())
    first, last = timeline.edges[0], timeline.edges[-1]
    expected = len(offsets) * float(last - first) * 20
    assert counted == pytest.approx(expected, abs=len(offsets) * 2)


def test_failed_requests_count_as_their_timeout_in_their_interval() -> None:
    late = failures("a", np.arange(1000.0, 1061.0), np.arange(1020.0, 1025.0, 0.5) + 0.1)
    timeline = of([*steady("a", rate=100), *late])
    during = (timeline.edges[:-1] >= 1020) & (timeline.edges[1:] <= 1025)
    assert timeline.errors_tps[during] == pytest.approx(np.full(5, 2.0))
    assert timeline.mean_s[during] == pytest.approx(np.full(5, (0.12 * 100 + 2 * 2) / 102), abs=0.005)
    assert timeline.successful_mean_s == pytest.approx(np.full(40, 0.12))
    assert timeline.quantiles_s["p99_s"][during].tolist() == [2.0] * 5
    assert timeline.quantiles_s["p99_s"][~during].max() < 0.2


def test_halves_of_a_window_share_no_transaction() -> None:
    def total(start: float, end: float) -> float:
        timeline = of(steady("a"), start=start, end=end)
        return float((timeline.completed_tps * np.diff(timeline.edges)).sum())

    assert total(1010, 1030) + total(1030, 1050) == pytest.approx(total(1010, 1050))


def test_stall_appears_in_the_interval_where_it_occurred() -> None:
    due = np.arange(1000.0, 1060.0, 0.01)
    stall = np.where((due >= 1020) & (due < 1022), 1022 - due, 0)
    timeline = of(client("a", np.arange(1000.0, 1061.0), due, stall + 0.03))
    during = (timeline.edges[:-1] >= 1020.5) & (timeline.edges[1:] <= 1022)
    assert timeline.completed_tps[during].max() < 5
    assert timeline.quantiles_s["p99_s"][np.flatnonzero(timeline.edges[:-1] == 1022)[0]] > 1
    assert timeline.quantiles_s["p99_s"][timeline.edges[1:] <= 1020].max() <= 0.05


def test_intervals_without_transactions_have_no_latency() -> None:
    due = np.concatenate([np.arange(1000.0, 1020.0, 0.1), np.arange(1040.0, 1060.0, 0.1)])
    timeline = of(client("a", np.arange(1000.0, 1061.0), due, np.full(len(due), 0.03)))
    idle = (timeline.edges[:-1] >= 1022) & (timeline.edges[1:] <= 1039)
    assert timeline.completed_tps[idle].max() == 0
    assert np.isnan(timeline.mean_s[idle]).all()
    assert np.isnan(timeline.quantiles_s["p99_s"][idle]).all()
    assert np.isfinite(timeline.mean_s[0])


def test_rounding_adds_no_transactions_to_empty_intervals() -> None:
    due = np.arange(1000.0, 1010.0, 0.1)
    scrapes = np.arange(1000.0, 1061.0) + 0.123
    timeline = of(client("a", scrapes, due, np.full(len(due), 0.03)), start=1015, end=1050, step=0.7)
    assert timeline.completed_tps.tolist() == [0.0] * len(timeline.completed_tps)
    assert np.isnan(timeline.mean_s).all()
    assert np.isnan(timeline.quantiles_s["p50_s"]).all()


def test_a_rate_below_one_per_interval_has_latencies() -> None:
    due = np.arange(1000.0, 1060.0, 4.0)
    timeline = of(client("a", np.arange(1000.0, 1061.0, 5), due, np.full(len(due), 0.12)))
    assert np.all((timeline.quantiles_s["p50_s"] > 0.1) & (timeline.quantiles_s["p50_s"] <= 0.15))
    assert timeline.mean_s == pytest.approx(np.full(len(timeline.mean_s), 0.12))


def test_edges_are_within_the_samples_of_every_client() -> None:
    due = np.arange(1000.0, 1060.0, 0.1)
    shifted = client("b", np.arange(1000.7, 1061.0), due, np.full(len(due), 0.03))
    timeline = of(steady("a"), shifted)
    assert timeline.edges[0] == pytest.approx(1010.7)
    assert timeline.edges[-1] == pytest.approx(1049.7)


def test_client_that_died_does_not_hide_the_others() -> None:
    due = np.arange(1000.0, 1060.0, 0.1)
    dead = client("b", np.arange(1000.0, 1030.0), due, np.full(len(due), 0.03))
    timeline = of(steady("a", rate=100), dead)
    assert timeline.edges[-1] == pytest.approx(1049)
    assert timeline.completed_tps[0] == pytest.approx(110, abs=2)
    assert timeline.completed_tps[-1] == pytest.approx(100, abs=2)


def test_errors_have_a_rate() -> None:
    times = np.arange(1000.0, 1061.0)
    errors = series("errors", {**labels_of("a"), "error_type": "timeout"}, times, (times - 1000) * 3)
    assert of([*steady("a"), errors]).errors_tps == pytest.approx(np.full(40, 3.0))


def test_an_interval_in_which_the_sum_fell_has_the_mean_of_the_others() -> None:
    fallen = [
        replace(one, values=one.values + 100 - np.where(one.times >= 1030, 12.002, 0))
        if one.metric == "latency_s_sum"
        else one
        for one in steady("a")
    ]
    assert of(fallen).mean_s == pytest.approx(np.full(40, 0.12))


def test_timeline_needs_two_samples() -> None:
    found = RunSamples(steady("a")).targets("client", LOAD_GENERATOR.counters)
    assert make_timeline(found, 2000, 2100, step=1, names=LOAD_GENERATOR) is None


def test_regions_and_clients_have_timelines_that_add_up() -> None:
    made = [*steady("a", rate=100), *steady("b", rate=50), *steady("c", rate=20, region="eu-west-1")]
    whole = of(made)
    regions = timelines(RunSamples(made), 1010, 1050, by="region", step=1)
    clients = timelines(RunSamples(made), 1010, 1050, by="client", step=1)
    assert set(regions) == {"us-east-1", "eu-west-1"}
    assert set(clients) == {"a", "b", "c"}
    for parts in (regions, clients):
        summed = np.sum([timeline.completed_tps for timeline in parts.values()], axis=0)
        assert summed == pytest.approx(whole.completed_tps)
    assert timelines(RunSamples(made), 2000, 2050, by="client") == {}

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from factories.sample_factory import client, histogram, labels_of, series, steady
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.measure.measurement import Measurement, measure
from benchmark.measure.run_metrics import QUANTILES
from benchmark.measure.scrapes import RunSamples
from benchmark.metrics.names import MetricNames
from benchmark.metrics.samples import Series

WINDOW = (1010.0, 1050.0)


def of(*clients: list[Series], names: MetricNames | None = None) -> Measurement:
    return measure(
        RunSamples(one for each in clients for one in each), *WINDOW, names=names or MetricNames(), scrape_interval=1
    )


def test_throughput_is_the_sum_over_clients() -> None:
    measurement = of(steady("a", rate=100), steady("b", rate=50, region="eu-west-1"))
    assert measurement.total.completed_tps == pytest.approx(150)
    assert measurement.total.sent_tps == pytest.approx(150)
    assert measurement.total.scheduled_tps == pytest.approx(150)
    assert measurement.total.backlog_tps == pytest.approx(0, abs=0.1)
    assert {name: stats.completed_tps for name, stats in measurement.regions.items()} == pytest.approx(
        {"us-east-1": 100, "eu-west-1": 50}
    )
    assert measurement.clients["b"].completed_tps == pytest.approx(50)
    assert measurement.hosts == {"a": "a", "b": "b"}


def test_samples_outside_the_window_are_ignored() -> None:
    due = np.arange(1000.0, 1060.0, 0.01)
    latency = np.where((due > WINDOW[0] - 2) & (due < WINDOW[1] + 2), 0.12, 3.0)
    total = of(client("a", np.arange(1000.0, 1070.0), due, latency)).total
    assert total.latency_s is not None
    # Requests of the warm-up that completed within the window belong to it: they are the slow ones.
    assert total.latency_s.quantiles["p90"].upper == 0.15
    assert total.latency_s.quantiles["p50"].upper == 0.15


@pytest.mark.parametrize("kind", ["constant", "exponential", "bimodal", "stalled"])
def test_statistics_match_the_log_of_requests(kind: str) -> None:
    random = np.random.default_rng(7)
    due = np.arange(1000.0, 1060.0, 0.002)
    latency = {
        "constant": np.full(len(due), 0.12),
        "exponential": random.exponential(0.2, len(due)),
        "bimodal": np.where(random.random(len(due)) < 0.8, 0.04, 0.6),
        # Nothing completes from 1020 to 1022, and latency counts from the due time: the wait is in it.
        "stalled": np.where((due >= 1020) & (due < 1022), 1022 - due, 0) + 0.03,
    }[kind]
    total = of(client("a", np.arange(1000.0, 1061.0), due, latency)).total
    completed = latency[(due + latency > WINDOW[0]) & (due + latency <= WINDOW[1])]
    assert total.completed == len(completed)
    assert total.latency_s is not None
    assert total.latency_s.mean == pytest.approx(completed.mean(), rel=1e-6)
    assert total.latency_s.stdev == pytest.approx(completed.std(), rel=1e-6, abs=1e-6)
    for metric, q in QUANTILES.items():
        quantile = total.latency_s.quantiles[metric.key]
        exact = np.quantile(completed, q, method="inverted_cdf")
        assert quantile.lower < exact <= (quantile.upper or math.inf)
    if kind == "stalled":
        assert total.latency_s.p99.lower >= 1.0


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(6)), st.integers(min_value=0, max_value=1000))
def test_the_order_of_series_and_clients_makes_no_difference(order: list[int], seed: int) -> None:
    random = np.random.default_rng(5)
    clients = []
    for index in range(6):
        due = np.sort(random.uniform(1000, 1060, 300))
        scrapes = np.arange(1000.0, 1061.0) + random.uniform(0, 1)
        region = "us-east-1" if index % 2 else "eu-west-1"
        clients.append(client(f"c{index}", scrapes, due, random.exponential(0.3, 300), region=region))
    shuffled = [one for index in order for one in clients[index]]
    np.random.default_rng(seed).shuffle(shuffled)
    expected, found = of(*clients), of(shuffled)
    assert found.total == expected.total
    assert found.regions == expected.regions
    assert found.clients == expected.clients


def test_regions_add_up_to_the_total() -> None:
    measurement = of(*[steady(f"c{i}", rate=20 + i, region=f"r{i % 3}") for i in range(7)])
    regions = measurement.regions.values()
    assert sum(stats.completed for stats in regions) == measurement.total.completed
    assert sum(stats.completed_tps for stats in regions) == pytest.approx(measurement.total.completed_tps)


@pytest.mark.parametrize(("aggregation", "rate", "count"), [("sum", 598, 23920), ("median", 200, 8000)])
def test_the_throughput_of_replicas_is_their_sum_or_their_median(
    aggregation: Literal["sum", "median"], rate: float, count: float
) -> None:
    def replica(host: str, rate: float) -> list[Series]:
        due = np.arange(1000.0, 1060.0, 1 / rate)
        return client(host, np.arange(1000.0, 1061.0), due, np.full(len(due), 0.12), job="node")

    names = MetricNames(job="node", aggregation=aggregation)
    measurement = of(replica("a", 200), replica("b", 200), replica("c", 198), names=names)
    assert measurement.total.completed_tps == pytest.approx(rate)
    assert measurement.total.completed == pytest.approx(count)
    assert measurement.timeline is not None
    assert measurement.timeline.completed_tps.mean() == pytest.approx(measurement.total.completed_tps)


def test_metrics_of_another_name_are_used() -> None:
    made = [
        replace(one, metric=one.metric.replace("latency_s", "commit_latency").replace("latency_squared_s", "none"))
        for one in steady("a")
        if one.metric != "latency_squared_s"
    ]
    total = of(made, names=MetricNames(latency="commit_latency", squared=None)).total
    assert total.latency_s is not None
    assert total.latency_s.mean == pytest.approx(0.12)
    assert total.latency_s.stdev is None


def test_errors_are_counted_by_type_over_clients() -> None:
    def errors(host: str, kind: str, at_end: int) -> list[Series]:
        values = np.linspace(0, at_end, 61)
        return [series("errors", {**labels_of(host), "error_type": kind}, np.arange(1000.0, 1061.0), values)]

    measurement = of(
        steady("a") + errors("a", "timeout", 60) + errors("a", "none", 0), steady("b") + errors("b", "timeout", 120)
    )
    assert measurement.total.errors == {"timeout": 120}
    assert measurement.clients["a"].errors == {"timeout": 40}


def test_no_completed_transactions_mean_zero_throughput_and_no_latency() -> None:
    due = np.arange(1000.0, 1060.0, 0.1)
    measurement = of(client("a", np.arange(1000.0, 1061.0), due, np.full(len(due), 500.0)))
    assert measurement.total.completed_tps == 0
    assert measurement.total.latency_s is None
    assert measurement.total.backlog_tps == pytest.approx(10)


def test_no_samples_give_no_measurement() -> None:
    measurement = of()
    assert measurement.total.completed_tps is None
    assert (measurement.clients, measurement.timeline) == ({}, None)


def test_a_client_with_one_sample_has_no_statistics() -> None:
    due = np.arange(1000.0, 1060.0, 0.1)
    measurement = of(steady("a"), client("b", np.array([1020.0]), due, np.full(len(due), 0.1)))
    assert list(measurement.clients) == ["a"]
    assert set(measurement.hosts) == {"a", "b"}
    assert measurement.total.completed_tps == pytest.approx(100)


def test_restarts_of_clients_and_nodes_are_reported() -> None:
    times = np.arange(1000.0, 1061.0)
    node = series("process_start_time_seconds", labels_of("n", job="node"), times, np.where(times < 1030, 900, 1029.5))
    before = series("process_start_time_seconds", labels_of("m", job="node"), times, np.where(times < 1005, 900, 1004))
    restarted = [replace(s, values=np.where(s.times >= 1020, s.values / 9, s.values)) for s in steady("a")]
    measurement = of(restarted, [node, before], steady("b"))
    assert measurement.restarts == {"client a": [1020.0], "node n": [1030.0]}


def test_gaps_are_reported_with_their_client() -> None:
    due = np.arange(1000.0, 1060.0, 0.1)
    scrapes = np.concatenate([np.arange(1000.0, 1021.0), np.arange(1027.0, 1061.0)])
    measurement = of(steady("a"), client("b", scrapes, due, np.full(len(due), 0.1)))
    assert measurement.gaps == {"b": [(1020.0, 1027.0)]}


def test_a_client_that_completes_nothing_at_first_is_reported() -> None:
    due = np.arange(1012.5, 1060.0, 0.1)
    measurement = of(client("a", np.arange(1000.0, 1061.0), due, np.full(len(due), 0.1)), steady("b"))
    assert measurement.late_starts == {"a": 3.0}


def test_delays_behind_schedule_are_measured_per_client_and_per_host() -> None:
    times = np.arange(1000.0, 1061.0)
    labels = labels_of("h", job="host")
    when = np.arange(1000.0, 1060.0, 0.01)
    wan = histogram("wan_lateness_seconds", labels, times, when, np.full(len(when), 0.003), (0.001, 0.005, math.inf))
    measurement = of(steady("a"), wan)
    assert (measurement.client_delay_s["a"].lower, measurement.client_delay_s["a"].upper) == (0.0, 0.001)
    assert (measurement.wan_delay_s["h"].lower, measurement.wan_delay_s["h"].upper) == (0.001, 0.005)


@pytest.mark.parametrize(
    ("since", "seen"),
    [((900.0, 900.0), None), ((900.0, 1005.5), 1005.5), ((900.0, 1030.0), 1030.0), ((900.0, 1055.0), None)],
    ids=["unchanged", "in the warm-up", "in the window", "after the window"],
)
def test_a_change_of_the_emulated_network_during_the_run_is_found(
    since: tuple[float, float], seen: float | None
) -> None:
    times, labels = np.arange(1000.0, 1061.0), labels_of("h", job="host")
    wan = histogram("wan_lateness_seconds", labels, times, times, np.full(len(times), 0.0001), (0.001, math.inf))
    changed = np.where(times < since[1], *since)
    measurement = of(steady("a"), [*wan, series("wan_unchanged_since_seconds", labels, times, changed)])
    assert measurement.wan_changes == ({} if seen is None else {"h": seen})


def test_an_emulated_network_that_does_not_report_changes_has_none() -> None:
    times, labels = np.arange(1000.0, 1061.0), labels_of("h", job="host")
    wan = histogram("wan_lateness_seconds", labels, times, times, np.full(len(times), 0.0001), (0.001, math.inf))
    assert of(steady("a"), wan).wan_changes == {}

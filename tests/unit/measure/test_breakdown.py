"""Parts of the latency from the histograms of nodes, checked against what the nodes observed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from factories.sample_factory import Array, histogram, labels_of, series

from benchmark.measure.breakdown import MeasuredPart, measure_breakdown
from benchmark.metrics.breakdown import LatencyPart
from benchmark.metrics.samples import Series

BOUNDS = (0.001, 0.002, 0.004, 0.008, 0.016, math.inf)
SCRAPES = np.arange(1000.0, 1061.0)
FSYNC = LatencyPart(name="fsync", metric="fsync_seconds")
TRIP = LatencyPart(name="trip", metric="trip_seconds", label="To")
COMMITS = LatencyPart(name="commits", metric="commits_total", label="type", kind="counter")
START, END = 1010.0, 1050.0


def node(host: str, region: str) -> dict[str, str]:
    return labels_of(host, region, "node")


def answers(labels: dict[str, str], scrapes: Array = SCRAPES) -> Series:
    return series("up", labels, scrapes, 1.0)


def observed(
    metric: str, labels: dict[str, str], when: Array, latency: Array, scrapes: Array = SCRAPES
) -> list[Series]:
    return [
        answers({name: labels[name] for name in node("", "")}, scrapes),
        *histogram(metric, labels, scrapes, when, latency, BOUNDS),
    ]


def measured(part: LatencyPart, found: Sequence[Series], **readable: dict[str, str]) -> MeasuredPart:
    (result,) = measure_breakdown([part], found, START, END, readable)
    return result


def test_count_mean_and_quantiles_are_those_of_the_window() -> None:
    random = np.random.default_rng(1)
    when = np.sort(random.uniform(1000.5, 1059.5, 4000))
    latency = np.where(when < START, 0.015, random.uniform(0.0005, 0.007, len(when)))  # slow before the window
    half = len(when) // 2
    found = [
        *observed("fsync_seconds", node("a-0", "a"), when[::2], latency[::2]),
        *observed("fsync_seconds", node("b-0", "b"), when[1::2], latency[1::2]),
    ]
    part = measured(FSYNC, found)
    inside = (when > START) & (when <= END)
    stats = part.values[""]
    assert stats.count == inside.sum() < half * 2
    assert stats.sampled_seconds == END - START
    assert stats.latency_s is not None
    assert stats.latency_s.mean == pytest.approx(latency[inside].mean())
    for name, q in (("p50", 0.5), ("p99", 0.99)):
        quantile = stats.latency_s.quantiles[name]
        assert quantile.lower < np.quantile(latency[inside], q, method="inverted_cdf") <= (quantile.upper or 0)
    counts = [part.by_region[region][""].count for region in ("a", "b")]
    assert counts == [inside[::2].sum(), inside[1::2].sum()]


def test_values_of_the_label_are_separate_and_named() -> None:
    near, far = np.full(30, 0.0015), np.full(30, 0.012)
    when = np.linspace(1011.5, 1049.5, 30)
    labels = node("a-0", "a")
    found = [
        *observed("trip_seconds", {**labels, "To": "6ab"}, when, near),
        *observed("trip_seconds", {**labels, "To": "9cd"}, when, far)[1:],
        *observed("trip_seconds", {**node("b-0", "b"), "To": "6ab"}, when[:10], far[:10]),
    ]
    part = measured(TRIP, found, To={"6ab": "c-0"})
    means = {value: stats.latency_s.mean for value, stats in part.by_region["a"].items() if stats.latency_s}
    assert means == pytest.approx({"c-0": 0.0015, "9cd": 0.012})
    assert list(part.by_region["b"]) == ["c-0"], "a region without series of a value does not have it"
    assert part.values["c-0"].count == 40


def test_a_value_that_first_occurs_in_the_window_counts_in_full() -> None:
    """A label value gets its series with its first observation: what it shows at first sight was counted since zero."""
    labels = node("a-0", "a")
    late = SCRAPES[SCRAPES >= 1030]
    counted = series("commits_total", {**labels, "type": "indirect"}, late, 5.0)
    early = series("commits_total", {**labels, "type": "direct"}, SCRAPES, SCRAPES - 1000)
    part = measured(COMMITS, [answers(labels), counted, early])
    assert {value: stats.count for value, stats in part.values.items()} == {"indirect": 5.0, "direct": 40.0}
    assert part.values["direct"].latency_s is None


def test_a_restart_of_a_node_starts_its_counters_again() -> None:
    when = np.arange(1000.5, 1060.0)
    whole = observed("fsync_seconds", node("a-0", "a"), when, np.full(len(when), 0.0015))
    restarted = [
        one
        if one.metric == "up"
        else replace(one, values=np.where(SCRAPES >= 1030, one.values - one.values[30], one.values))
        for one in whole
    ]
    started = series("process_start_time_seconds", node("a-0", "a"), SCRAPES, np.where(SCRAPES >= 1030, 1029.5, 990.0))
    stats = measured(FSYNC, [*restarted, started]).values[""]
    assert stats.count == 39, "what was counted between the last scrape and the restart is lost"
    assert stats.latency_s is not None
    assert stats.latency_s.mean == pytest.approx(0.0015)


def test_units_and_label_matchers_are_those_of_the_part() -> None:
    when = np.linspace(1011.5, 1049.5, 30)
    labels = node("a-0", "a")
    put = observed("rpc_ms", {**labels, "method": "Put"}, when, np.full(30, 0.004))
    other = observed("rpc_ms", {**labels, "method": "Get"}, when, np.full(30, 0.016))[1:]
    part = LatencyPart(name="put", metric='rpc_ms{method="Put"}', unit="ms")
    stats = measured(part, [*put, *other]).values[""]
    assert stats.count == 30
    assert stats.latency_s is not None
    assert stats.latency_s.mean == pytest.approx(4e-6)


def test_unknown_stays_unknown() -> None:
    labels = node("a-0", "a")
    when = np.linspace(1011.5, 1049.5, 30)
    whole = observed("fsync_seconds", labels, when, np.full(30, 0.0015))
    assert measured(FSYNC, []).unknown == "no metrics of nodes were sampled"
    assert measured(FSYNC, whole[:1]).unknown == "no node exports `fsync_seconds` as a histogram"
    assert measured(TRIP, whole).values == {}
    client = [replace(one, labels=one.labels | {"job": "client"}) for one in whole]
    assert measured(FSYNC, client).unknown, "parts are those of nodes"
    without_sum = measured(FSYNC, [one for one in whole if one.metric != "fsync_seconds_sum"]).values[""]
    assert without_sum.count == 30
    assert without_sum.latency_s is not None
    assert without_sum.latency_s.mean is None
    assert "not exported" in without_sum.unknown["mean_s"]
    short = [replace(one, times=one.times[:1], values=one.values[:1]) for one in whole]
    assert measured(FSYNC, short).unknown == "no node was sampled twice in the measured window"
    idle = measured(FSYNC, observed("fsync_seconds", labels, np.zeros(0), np.zeros(0))).values[""]
    assert (idle.count, idle.latency_s) == (0, None)


def test_a_label_with_too_many_values_is_not_measured() -> None:
    labels = node("a-0", "a")
    found = [series("commits_total", {**labels, "type": str(index)}, SCRAPES, SCRAPES) for index in range(201)]
    assert measured(COMMITS, found).unknown == "label `type` has 201 values, more than 200"

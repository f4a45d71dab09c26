"""Samples with any values and labels give a summary: what is unknown is null, with a reason."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from factories.sample_factory import client, labels_of, series, steady
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.measure.histogram import Histogram
from benchmark.measure.host_usage import host_usage
from benchmark.measure.measurement import measure
from benchmark.measure.run_metrics import METRICS, QUANTILES
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import judge
from benchmark.measure.warm_up import find_window
from benchmark.metrics.names import MetricNames
from benchmark.metrics.samples import Series
from benchmark.results.summary import Identity, Summary, parse_summary, summarise

IDENTITY = Identity(run_id="r", protocol="etcd", commit="", nodes=3, clients=1, requested_tps=100)
TIMES = np.arange(1000.0, 1061.0)
NAMES = MetricNames(latency="lat", squared=None, errors=None)
VALUES = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e9, 2.0**60, 1e99, 1e150, 1.7e308])


def summary_of(made: list[Series], names: MetricNames = MetricNames()) -> Summary:  # noqa: B008 - it is immutable
    samples = RunSamples(made, names)
    start, end, warm_up = find_window(samples, 1000, 1010, 1050, scrape_interval=1, names=names)
    measurement = measure(samples, start, end, names=names, scrape_interval=1, began=995.0)
    usage = host_usage(samples, start, end)
    verdict = judge(measurement, requested_tps=100, usage=usage)
    return summarise(measurement, verdict, IDENTITY, usage, warm_up)


def exporting(buckets: dict[str, float], mean: float = 0.05, total: object = None) -> list[Series]:
    """A process that completes 100 tx/s, of which its buckets count `buckets` per second."""
    labels, elapsed = labels_of("a"), TIMES - 1000
    made = [series("lat_bucket", {**labels, "le": le}, TIMES, elapsed * rate) for le, rate in buckets.items()]
    made.append(series("lat_count", labels, TIMES, elapsed * 100))
    return [*made, series("lat_sum", labels, TIMES, elapsed * 100 * mean if total is None else total)]


def host() -> list[Series]:
    labels = labels_of("a", job="host")
    modes = [
        series("node_cpu_seconds_total", {**labels, "cpu": "0", "mode": mode}, TIMES, (TIMES - 1000) / 2)
        for mode in ("user", "idle")
    ]
    return [*modes, series("node_memory_MemTotal_bytes", labels, TIMES, 8e9), series("up", labels, TIMES, 1)]


@settings(derandomize=True, max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 999), st.sets(st.integers(0, 60), max_size=61), VALUES), max_size=5))
def test_any_values_give_a_summary_that_can_be_written(changes: list[tuple[int, set[int], float]]) -> None:
    errors = series("errors", {**labels_of("a"), "error_type": "timeout"}, TIMES, (TIMES - 1000) // 10)
    up = series("up", labels_of("n", job="node"), TIMES, 1)
    made = [*steady("a"), errors, up, *host()]
    for index, at, value in changes:
        values = made[index % len(made)].values
        values[sorted(at) or slice(None)] = value
    summary = summary_of(made)
    assert parse_summary(summary.to_json()) == summary
    for metric in METRICS:
        value = metric.of(summary)
        assert value is None or math.isfinite(value)
        assert value is None or summary.status == "invalid" or value >= 0
    if summary.completed_tps is None:
        assert summary.status == "invalid"


LABELS = st.dictionaries(
    st.sampled_from(["le", "job", "host", "instance", "region", "mode", "workload"]), st.text(max_size=3)
)


@settings(derandomize=True, max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 999), LABELS, st.booleans(), st.integers(0, 61)), max_size=6))
def test_any_labels_and_missing_samples_give_a_summary(changes: list[tuple[int, dict[str, str], bool, int]]) -> None:
    made = [*steady("a"), *host()]
    for index, labels, dropped, kept in changes:
        one = made[index % len(made)]
        remaining = {} if dropped else one.labels
        made[index % len(made)] = replace(
            one, labels=remaining | labels, times=one.times[:kept], values=one.values[:kept]
        )
    summary = summary_of(made)
    assert parse_summary(summary.to_json()) == summary


def test_a_sum_that_is_nan_leaves_throughput_and_quantiles() -> None:
    summary = summary_of(exporting({"0.01": 0, "0.1": 100, "+Inf": 100}, total=math.nan), NAMES)
    assert summary.status == "ok"
    assert summary.completed_tps == pytest.approx(100)
    assert summary.latency_s is not None
    assert summary.latency_s.mean is None
    assert summary.latency_s.p99 is not None
    assert (summary.latency_s.p99.lower, summary.latency_s.p99.upper) == (0.01, 0.1)
    assert summary.unknown == {"mean_s": "client a: `lat_sum` is NaN", "stdev_s": "client a: `lat_sum` is NaN"}
    text = "mean latency, standard deviation of the latency unknown: client a: `lat_sum` is NaN"
    assert text in summary.warnings


def test_a_sum_that_is_not_exported_is_unknown_and_not_zero() -> None:
    made = [one for one in exporting({"0.1": 100, "+Inf": 100}) if one.metric != "lat_sum"]
    assert summary_of(made, NAMES).unknown["mean_s"] == "client a: `lat_sum` is not exported"


@pytest.mark.parametrize(
    ("buckets", "reason"),
    [
        ({"+Inf": 100}, 'client a: `lat_bucket` has no bucket but le="+Inf"'),
        ({}, "client a: `lat_bucket` is not exported"),
        ({"x": 100, "+Inf": 100}, 'client a: a series of `lat_bucket` has le="x"'),
    ],
)
def test_quantiles_without_finite_buckets_are_unknown(buckets: dict[str, float], reason: str) -> None:
    summary = summary_of(exporting(buckets), NAMES)
    assert summary.status == "ok"
    assert summary.latency_s is not None
    assert summary.latency_s.mean == pytest.approx(0.05)
    assert summary.latency_s.quantiles == {}
    assert summary.unknown == {metric.name: reason for metric in QUANTILES}
    assert '"p99": null' in summary.to_json()
    assert (
        f"p50 latency, p90 latency, p99 latency, p99.9 latency, maximum latency unknown: {reason}" in summary.warnings
    )


def test_a_missing_infinite_bucket_is_the_count() -> None:
    summary = summary_of(exporting({"0.1": 90, "0.5": 95}, mean=0.6), NAMES)
    assert summary.latency_s is not None
    assert summary.latency_s.mean == pytest.approx(0.6)
    assert summary.latency_s.p99 is not None
    assert (summary.latency_s.p99.lower, summary.latency_s.p99.upper) == (0.5, None)


def test_a_bucket_that_cannot_be_used_is_named_and_the_others_are_used() -> None:
    made = exporting({"0.01": 0, "0.05": 50, "0.1": 100, "+Inf": 100})
    made[1] = replace(made[1], values=np.full(len(TIMES), math.nan))
    summary = summary_of(made, NAMES)
    assert summary.latency_s is not None
    assert summary.latency_s.p99 is not None
    assert (summary.latency_s.p99.lower, summary.latency_s.p99.upper) == (0.01, 0.1)
    text = 'client a: `lat_bucket{le="0.05"}` is NaN; quantiles are computed without it'
    assert text in summary.warnings


def test_throughput_from_a_damaged_counter_is_unknown_and_the_run_invalid() -> None:
    made = [
        replace(one, values=np.where(TIMES == 1030, math.nan, one.values)) if one.metric == "lat_count" else one
        for one in exporting({"0.1": 100, "+Inf": 100})
    ]
    summary = summary_of(made, NAMES)
    assert (summary.status, summary.completed_tps) == ("invalid", None)
    assert summary.reasons == ["throughput unknown: client a: `lat_count` is NaN"]


def test_errors_from_a_damaged_counter_are_unknown_and_not_zero() -> None:
    errors = series("errors", {**labels_of("a"), "error_type": "timeout"}, TIMES, math.inf)
    summary = summary_of([*steady("a"), errors])
    assert summary.errors is None
    assert summary.unknown == {"errors": "client a: `errors` is Inf"}


def test_a_run_that_completed_more_than_was_sent_is_invalid() -> None:
    due = np.arange(1000.0, 1060.0, 0.01)
    made = client("a", TIMES, due, np.full(len(due), 0.12))
    halved = [replace(one, values=one.values / 2) if one.metric == "submitted" else one for one in made]
    reasons = summary_of(halved).reasons
    assert any(text.startswith("completed 100.0 tx/s, but 50.0 tx/s were sent and") for text in reasons)


def test_figures_of_a_sum_that_jitters_are_right() -> None:
    total = 10000 + (TIMES - 1000) * 5 - np.where(TIMES >= 1030, 5.002, 0)
    summary = summary_of(exporting({"0.01": 0, "0.1": 100, "+Inf": 100}, total=total), NAMES)
    assert summary.latency_s is not None
    assert summary.latency_s.mean == pytest.approx(0.05, rel=1e-6)
    assert (summary.status, summary.reasons) == ("ok", [])


def test_figures_beside_a_start_time_that_jitters_are_right() -> None:
    started = series("process_start_time_seconds", labels_of("a"), TIMES, 990 + 0.01 * (TIMES // 4 % 2))
    summary = summary_of([*exporting({"0.01": 0, "0.1": 100, "+Inf": 100}), started], NAMES)
    assert (summary.status, summary.reasons) == ("ok", [])
    assert summary.completed_tps == pytest.approx(100)


def test_the_order_of_damaged_clients_does_not_change_a_reason() -> None:
    bad = [replace(one, values=one.values * math.nan) if one.metric == "latency_s_sum" else one for one in steady("b")]
    worse = [
        replace(one, values=np.full(len(TIMES), math.inf), labels={**one.labels, "host": "c", "instance": "c"})
        if one.metric == "latency_s_sum"
        else replace(one, labels={**one.labels, "host": "c", "instance": "c"})
        for one in steady("c")
    ]
    found = [summary_of(order).unknown for order in ([*bad, *worse], [*worse, *bad])]
    assert found[0] == found[1]
    assert found[0]["mean_s"] == "client b: `latency_s_sum` is NaN"


def test_an_empty_histogram_is_not_bounded() -> None:
    assert not Histogram(np.array([math.inf]), np.array([5.0])).bounded

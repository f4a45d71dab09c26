from __future__ import annotations

import json

import pytest
from factories.sample_factory import steady
from pydantic import ValidationError

from benchmark.measure import run_metrics
from benchmark.measure.measurement import Measurement, measure
from benchmark.measure.run_metrics import COMPARED, LATENCIES, METRICS, QUANTILES, Latency, Metric
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import Verdict
from benchmark.results.summary import Identity, not_measured, parse_summary, summarise

IDENTITY = Identity(run_id="r", protocol="etcd", commit="", nodes=3, clients=2, requested_tps=100)


def measured() -> Measurement:
    return measure(RunSamples(steady("a")), 1010, 1050, scrape_interval=1)


def test_names_are_unique_and_end_in_their_unit() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(metric.name.endswith({"s": "_s", "tx/s": "_tps"}[metric.unit]) for metric in METRICS)


def test_every_compared_metric_has_a_better_direction() -> None:
    assert [(metric.name, metric.better) for metric in COMPARED] == [
        ("completed_tps", "higher"),
        ("mean_s", "lower"),
        ("p50_s", "lower"),
        ("p99_s", "lower"),
    ]


def test_quantiles_are_named_by_their_percentage() -> None:
    assert [(metric.name, metric.short, metric.label, q) for metric, q in QUANTILES.items()] == [
        ("p50_s", "p50", "p50 latency", 0.5),
        ("p90_s", "p90", "p90 latency", 0.9),
        ("p99_s", "p99", "p99 latency", 0.99),
        ("p999_s", "p99.9", "p99.9 latency", 0.999),
        ("max_s", "max", "maximum latency", 1.0),
    ]


def test_every_metric_is_read_from_statistics_and_from_a_summary() -> None:
    measurement = measured()
    summary = summarise(measurement, Verdict(), IDENTITY)
    latency = measurement.total.latency_s
    assert latency is not None
    expected = {"mean_s": latency.mean, "stdev_s": latency.stdev, "completed_tps": measurement.total.completed_tps}
    for metric in METRICS:
        value = metric.of(measurement.total)
        assert value is not None
        assert value == expected.get(metric.name, value)
        assert metric.of(summary) == value


def test_no_metric_has_a_value_in_a_run_that_was_not_measured() -> None:
    summary = not_measured(IDENTITY, "failed", "a node died")
    assert [metric.of(summary) for metric in METRICS] == [None] * len(METRICS)


def test_a_new_quantile_is_measured_over_the_window_and_over_time_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    new = Metric("p95_s", "p95", "p95 latency", "s", "lower", quantile=0.95, over_time=True)
    monkeypatch.setitem(run_metrics.QUANTILES, new, 0.95)
    measurement = measured()
    summary = summarise(measurement, Verdict(), IDENTITY)
    assert new.of(parse_summary(summary.to_json())) == pytest.approx(0.15, abs=0.05)
    assert measurement.timeline is not None
    assert "p95_s" in measurement.timeline.columns()


def test_quantiles_are_stored_beside_mean_and_deviation_in_json() -> None:
    latency = measured().total.latency_s
    assert latency is not None
    document = json.loads(latency.model_dump_json())
    assert list(document) == [metric.key for metric in LATENCIES]
    assert set(document["p999"]) == {"estimate", "lower", "upper"}
    assert Latency.model_validate_json(latency.model_dump_json()) == latency


def test_quantiles_of_another_version_are_read_and_anything_else_is_rejected() -> None:
    moments = {"mean": 1.0, "stdev": None}
    other = Latency.model_validate(moments | {"p95": {"estimate": 1.0, "lower": 0.5, "upper": 2.0}})
    assert other.quantiles["p95"].upper == 2.0
    with pytest.raises(ValidationError, match="p95"):
        Latency.model_validate(moments | {"p95": 1.0})


def test_quantile_missing_in_a_summary_has_no_value() -> None:
    p99 = next(metric for metric in METRICS if metric.name == "p99_s")
    latency = Latency.model_validate({"mean": 1.0, "stdev": None})
    total = measured().total.model_copy(update={"latency_s": latency})
    assert p99.of(total) is None

"""Metrics of other systems, converted to what a measurement reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
from factories.sample_factory import Array, client, series, steady

from benchmark.measure.measurement import measure
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.window_stats import WindowStats
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames, Unit
from benchmark.metrics.samples import Series

UNITS: dict[Unit, float] = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}


def exported(made: list[Series], factor: float, labels: Mapping[str, str] | None = None) -> list[Series]:
    """The series of a client whose latencies are in another unit: `factor` of it are a second."""
    scales = {"latency_s_sum": factor, "latency_s_bucket": 1.0, "latency_s_count": 1.0, "latency_squared_s": factor**2}
    converted = []
    for one in made:
        if one.metric in scales:
            own = one.labels | dict(labels or {})
            if "le" in own:
                own["le"] = f"{float(own['le']) * factor:g}"
            one = dataclasses.replace(one, labels=own, values=one.values * scales[one.metric])
        converted.append(one)
    return converted


def total(made: list[Series], names: MetricNames) -> WindowStats:
    return measure(RunSamples(made, names), 1010, 1050, names=names, scrape_interval=1).total


@pytest.mark.parametrize("unit", UNITS)
def test_latencies_in_any_unit_give_the_same_numbers(unit: Unit) -> None:
    found = total(exported(steady("a"), UNITS[unit]), MetricNames(unit=unit))
    expected = total(steady("a"), LOAD_GENERATOR)
    assert found.completed == expected.completed
    assert found.latency_s is not None
    assert expected.latency_s is not None
    assert found.latency_s.mean == pytest.approx(0.12)
    assert found.latency_s.stdev == pytest.approx(0.0, abs=1e-6)
    assert found.latency_s.p99 == expected.latency_s.p99


def test_only_series_with_matching_labels_are_measured() -> None:
    puts, gets = steady("a", rate=100, latency=0.12), steady("a", rate=40, latency=0.4)
    made = exported(puts, 1.0, {"method": "Put"}) + exported(gets, 1.0, {"method": "Get"})
    names = MetricNames(latency='latency_s{method="Get"}', squared=None)
    found = total(made, names)
    assert found.completed_tps == pytest.approx(40, rel=0.01)
    assert found.latency_s is not None
    assert found.latency_s.mean == pytest.approx(0.4)
    both = total(made, MetricNames('latency_s{method="Put"}', None, throughput='latency_s_count{method=~"Put|Get"}'))
    assert both.completed_tps == pytest.approx(140, rel=0.01)


def test_a_unit_applies_to_the_processes_that_export_the_metrics() -> None:
    times: Array = np.arange(3.0)
    node, own = ({"job": job, "host": "a", "instance": "a:1"} for job in ("node", "client"))
    made = [series("lat_sum", each, times, 1000.0) for each in (node, own)]
    found = MetricNames("lat", job="node", unit="ms").select(made)
    assert [one.values[0] for one in found] == [1.0, 1000.0]


def test_a_bucket_without_a_bound_is_passed_on() -> None:
    labels = {"job": "client", "host": "a", "instance": "a:1"}
    made = [series("latency_s_bucket", own, np.arange(3.0), 1.0) for own in (labels, labels | {"le": "?"})]
    assert [one.labels for one in MetricNames(unit="ms").select(made)] == [one.labels for one in made]


def test_errors_are_counted_by_their_own_label() -> None:
    labels = {"job": "client", "host": "a", "instance": "a:9200", "region": "us-east-1"}
    times: Array = np.arange(1000.0, 1061.0)
    lost = series("failures_total", labels | {"reason": "lost"}, times, times - 1000.0)
    names = MetricNames(errors="failures_total", error_label="reason")
    assert total([*steady("a"), lost], names).errors == {"lost": 40}


def test_errors_that_no_process_exports_are_unknown() -> None:
    assert total(steady("a"), LOAD_GENERATOR).errors == {}
    found = total(steady("a"), MetricNames(errors="failures_total"))
    assert found.errors is None
    assert found.failed is None
    assert found.latency_s == total(steady("a"), MetricNames(errors=None)).latency_s


@pytest.mark.parametrize("field", ["latency", "squared", "throughput", "errors"])
def test_a_text_that_is_no_selector_is_rejected_before_anything_is_measured(field: str) -> None:
    with pytest.raises(ValueError, match="found 'rate\\(x\\)', expected NAME"):
        MetricNames(**{field: "rate(x)"})


def test_series_that_need_no_conversion_are_the_same_objects() -> None:
    made = client("a", np.arange(3.0), np.arange(3.0), np.full(3, 0.1))
    assert all(one is other for one, other in zip(LOAD_GENERATOR.select(made), made, strict=True))


def test_all_names_that_a_measurement_needs_are_known() -> None:
    names = MetricNames('op{method="Put"}', None, throughput="done_total", errors="failures_total")
    assert {"op_bucket", "op_sum", "op_count", "done_total", "failures_total", "due"} <= set(names.exported)

"""Histograms, and the names and types of the metrics in the Prometheus text format."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmark.host_scripts.load_generator.hdr import Recorder
from benchmark.host_scripts.load_generator.metrics import BOUNDS, Metrics, exposition, merge


def test_buckets_are_ten_per_decade_and_evenly_spaced() -> None:
    ratios = [upper / lower for lower, upper in pairwise(BOUNDS)]
    assert (BOUNDS[0], BOUNDS[-1], len(BOUNDS)) == (0.0001, 100.0, 61)
    assert 1.2 < min(ratios) <= max(ratios) < 1.3


def test_value_is_counted_in_its_bucket_and_all_larger_ones() -> None:
    metrics = Metrics(["put"], 2.0, Recorder(None))
    for value in (0.0, 0.0001, 0.00011, 0.09, 0.1, 99.0, 101.0):
        metrics.latency["put"].observe(value)
    text = exposition(metrics.samples()).decode()
    (family,) = [family for family in text_string_to_metric_families(text) if family.name == "latency_s"]
    counts = {s.labels["le"]: s.value for s in family.samples if s.name == "latency_s_bucket"}
    found = [counts[edge] for edge in ("0.0001", "0.000125", "0.08", "0.1", "80.0", "100.0", "+Inf")]
    assert found == [2, 3, 3, 5, 5, 6, 7]
    assert list(counts.values()) == sorted(counts.values())
    assert all(s.labels["workload"] == "put" for s in family.samples)


def test_all_metrics_are_exported_before_anything_is_sent() -> None:
    text = exposition(Metrics(["put"], 2.0, Recorder(None)).samples()).decode()
    families = {f.name: f for f in text_string_to_metric_families(text)}
    assert {name: family.type for name, family in families.items()} == {
        "latency_s": "histogram",
        "lateness_s": "histogram",
        "latency_squared_s": "counter",
        "errors": "counter",
        "benchmark_duration": "counter",
        "due": "counter",
        "submitted": "counter",
        "inflight": "gauge",
        "oldest_inflight_s": "gauge",
        "timeout_s": "gauge",
        "start_time_s": "gauge",
        "processes": "gauge",
        "process_cpu_seconds": "counter",
    }
    assert {sample.labels["error_type"] for sample in families["errors"].samples} >= {"timeout", "connection"}
    others = families.keys() - {"process_cpu_seconds"}
    assert {sample.value for name in others for sample in families[name].samples} == {0.0}


def test_metrics_of_processes_add_up_but_the_oldest_request_is_that_of_one() -> None:
    first, second = (Metrics(["get", "put"], 2.0, Recorder(None)) for _ in range(2))
    now = time.monotonic()
    for metrics, age in ((first, 3.0), (second, 5.0)):
        metrics.due = 4
        metrics.oldest_due.append(lambda age=age: now - age)  # type: ignore[misc]
        metrics.sent(now - 0.001, now)
        metrics.succeeded("put", now - age, now)
        metrics.failed("get", "timeout", now - 2.5, now)
    total = merge([first.samples(), second.samples()])
    assert total["due"] == {"": 8}
    assert total["latency_s"]['_sum{workload="put"}'] == pytest.approx(8.0)
    assert total["latency_s"]['_bucket{workload="put",le="4.0"}'] == 1
    assert total["latency_s"]['_count{workload="get"}'] == 0
    assert total["latency_squared_s"]['{workload="put"}'] == pytest.approx(34.0)
    assert total["errors"]['{error_type="timeout"}'] == total["lateness_s"]["_count"] == 2
    assert 5.0 <= total["oldest_inflight_s"][""] < 6.0

"""Summaries of the runs of one load."""

from __future__ import annotations

import pytest
from factories.result_factory import failed, summary

from benchmark.compare.repeats import over_repeats
from benchmark.measure.run_metrics import Quantile


def test_loads_are_summarised_separately_and_in_order() -> None:
    low, high = over_repeats([summary("b", 200), summary("a", 100), summary("c", 200)])
    assert (low.requested_tps, low.run_ids) == (100, ["a"])
    assert (high.requested_tps, high.run_ids) == (200, ["b", "c"])
    assert high.metrics["completed_tps"].median.estimate == 200


def test_the_median_has_an_interval_of_stated_confidence() -> None:
    latencies = [0.1, 0.3, 0.2]
    (load,) = over_repeats([summary(f"r{index}", latency=each) for index, each in enumerate(latencies)])
    median = load.metrics["p99_s"].median
    assert (median.estimate, median.lower, median.upper) == pytest.approx((0.2, 0.1, 0.3))
    assert median.confidence == pytest.approx(0.75)
    assert load.metrics["p99_s"].values == latencies


def test_outliers_are_named_and_counted() -> None:
    latencies = [0.1, 0.101, 0.102, 0.103, 0.9]
    (load,) = over_repeats([summary(f"r{index}", latency=each) for index, each in enumerate(latencies)])
    assert load.metrics["p50_s"].outliers == ["r4"]
    assert load.metrics["p50_s"].median.upper == pytest.approx(0.9)


def test_failed_runs_are_excluded_with_their_reason() -> None:
    (load,) = over_repeats([summary("a"), failed("b")])
    assert load.run_ids == ["a"]
    assert load.set_aside == {"b": "failed (system): node-0 ended"}
    (nothing,) = over_repeats([failed("b")])
    assert nothing.metrics == {}


def test_a_metric_without_a_value_in_one_run_is_left_out() -> None:
    silent = summary("b").model_copy(update={"latency_s": None})
    (load,) = over_repeats([summary("a"), silent])
    assert set(load.metrics) == {"completed_tps"}


def test_failed_requests_and_values_that_are_lower_bounds_are_counted() -> None:
    run = summary("a")
    assert run.latency_s
    unbounded = run.latency_s.model_copy(update={"p99": Quantile(estimate=10.0, lower=10.0, upper=None)})
    slow = run.model_copy(update={"run_id": "b", "latency_s": unbounded, "errors": {"timeout": 3}})
    (load,) = over_repeats([run, slow])
    assert (load.failed, load.metrics["p99_s"].at_least, load.metrics["p50_s"].at_least) == (3, 1, 0)
    assert [load.metrics[name].prefix for name in ("p99_s", "p50_s")] == ["> ", ""]
    (unknown,) = over_repeats([run, slow.model_copy(update={"errors": None})])
    assert unknown.failed is None

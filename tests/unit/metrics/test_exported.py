"""Metrics that systems export under other names, and what a user is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from benchmark.metrics.exported import check_exported
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.metrics.prometheus import Answer, Prometheus

HISTOGRAM = {"lat_bucket", "lat_sum", "lat_count", "up"}


class Exporting(Prometheus):
    """A Prometheus that knows these metric names, and the answers of queries that begin with a text."""

    def __init__(self, names: set[str], answers: Mapping[str, list[Answer]] | None = None) -> None:
        self.names, self.answers = names, dict(answers or {})

    def exported(self, job: str) -> set[str]:
        return self.names

    def query(self, query: str, timeout: timedelta | None = None) -> list[Answer]:
        return next((answer for text, answer in self.answers.items() if query.startswith(text)), [])


def node(latency: str = "lat", throughput: str | None = None, **others: object) -> MetricNames:
    fields = {"squared": None, "errors": None, "job": "node"} | others
    return MetricNames(latency, throughput=throughput, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("exported", "names", "problem"),
    [
        (HISTOGRAM, node(), None),
        (HISTOGRAM | {"tx_total"}, node(throughput="tx_total"), None),
        (
            HISTOGRAM | {"tx_total"},
            node(throughput="tx"),
            "metrics.throughput: no node exports `tx`; did you mean `tx_total`?",
        ),
        (
            HISTOGRAM | {"tx"},
            node(throughput="tx_total"),
            "metrics.throughput: no node exports `tx_total`; did you mean `tx`?",
        ),
        (HISTOGRAM, node(throughput="tx"), "metrics.throughput: no node exports `tx`"),
        (HISTOGRAM, node("latt"), "metrics.latency: no node exports `latt`; did you mean `lat`?"),
        (HISTOGRAM, node("lat_bucket"), "metrics.latency: no node exports `lat_bucket`; did you mean `lat`?"),
        (HISTOGRAM, node("commit_seconds"), "metrics.latency: no node exports `commit_seconds`"),
        (set(), node(), "metrics.latency: no node exports `lat`"),
        (
            {"lat", "lat_sum", "lat_count"},
            node(),
            "metrics.latency: `lat` has no buckets (a summary?); expected a histogram",
        ),
        (
            {"lat"},
            node(),
            "metrics.latency: `lat` has no buckets (a gauge or native histogram?); expected a histogram",
        ),
        (set(LOAD_GENERATOR.exported), LOAD_GENERATOR, None),
    ],
)
def test_names_that_nobody_exports_are_problems_with_the_nearest_name(
    exported: set[str], names: MetricNames, problem: str | None
) -> None:
    problems, _ = check_exported(Exporting(exported), names, 10.0)
    assert problems == ([problem] if problem else [])


def test_missing_errors_and_squares_are_unknown_and_no_problem() -> None:
    names = node(errors="failurs_total", squared="lat_squared")
    problems, unknown = check_exported(Exporting(HISTOGRAM | {"failures_total"}), names, 10.0)
    assert problems == []
    assert unknown == [
        "metrics.squared: no node exports `lat_squared`",
        "metrics.errors: no node exports `failurs_total`; did you mean `failures_total`?",
    ]


def test_metrics_that_a_load_generator_need_not_have_are_silently_unknown() -> None:
    assert check_exported(Exporting({"latency_s_bucket"}), MetricNames(), 10.0) == ([], [])


def test_a_leader_metric_that_no_node_exports_is_unknown() -> None:
    problems, unknown = check_exported(Exporting(HISTOGRAM | {"is_leader"}), node(), 10.0, "is_leade")
    assert (problems, unknown) == ([], ["leader_metric: no node exports `is_leade`; did you mean `is_leader`?"])
    assert check_exported(Exporting(HISTOGRAM | {"is_leader"}), node(), 10.0, "is_leader") == ([], [])


def test_label_matchers_without_a_series_are_a_problem_with_the_values_that_exist() -> None:
    values = [Answer({"method": value}, (0.0, 1.0)) for value in ("put", "get")]
    prometheus = Exporting(HISTOGRAM, {"count by (method) (lat_bucket{job": values})
    problems, _ = check_exported(prometheus, node('lat{method="Put",code="200"}'), 10.0)
    assert problems == [
        "metrics.latency: no series matches lat{method=\"Put\",code=\"200\"}; `method` is 'get', 'put'; "
        "`code` is missing"
    ]
    found = Exporting(HISTOGRAM, {"count(lat_bucket{": [Answer({}, (0.0, 3.0))]})
    assert check_exported(found, node('lat{method="Put",code="200"}'), 10.0) == ([], [])


@pytest.mark.parametrize(
    ("unit", "mean", "possible"), [("s", 0.05, True), ("s", 5e7, False), ("ns", 5e7, True), ("s", float("nan"), True)]
)
def test_a_latency_longer_than_the_process_is_up_is_a_problem(unit: str, mean: float, possible: bool) -> None:
    prometheus = Exporting(HISTOGRAM, {"sum(lat_sum": [Answer({}, (0.0, mean))]})
    problems, _ = check_exported(prometheus, node(unit=unit), 12.0)
    assert (
        not problems if possible else "metrics.unit: a mean latency of 5e+07 s after 12.0 s of running" in problems[0]
    )

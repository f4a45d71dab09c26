from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from benchmark.measure.live_stats import HostStats, LiveStats, host_query, live_query, read_details, read_live_stats
from benchmark.measure.run_metrics import METRICS
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.metrics.prometheus import Answer, Prometheus

WINDOW = timedelta(seconds=20)


class Answering(Prometheus):
    """A Prometheus that gives one answer to every query."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.answer: list[Answer] = [Answer({"quantity": name}, (1.0, float(value))) for name, value in values.items()]

    def query(self, query: str, timeout: timedelta | None = None) -> list[Answer]:
        return self.answer


def test_values_that_are_not_numbers_are_omitted() -> None:
    values = {"scheduled_tps": "12.5", "mean_s": "0.25", "p99_s": "NaN", "p50_s": "+Inf"}
    found = read_live_stats(Answering(values), WINDOW)
    assert found == LiveStats(scheduled_tps=12.5, latencies_s={"mean_s": 0.25})


def test_details_are_by_region_and_by_host() -> None:
    class Labelled(Prometheus):
        def __init__(self) -> None:
            pass

        def query(self, query: str, timeout: timedelta | None = None) -> list[Answer]:
            if "node_cpu" in query:
                found = [("host", "a-0", "cpu_busy", 0.5), ("host", "a-0", "made_up", 1.0)]
            else:
                found = [("region", "b", "p99_s", 0.25), ("region", "a", "completed_tps", 9.0), ("", "", "mean_s", 1.0)]
            return [Answer({label: name, "quantity": what}, (1.0, value)) for label, name, what, value in found]

    regions, hosts = read_details(Labelled(), WINDOW)
    assert regions == {"a": LiveStats(completed_tps=9.0), "b": LiveStats(latencies_s={"p99_s": 0.25})}
    assert hosts == {"a-0": HostStats(cpu_busy=0.5)}


def test_failed_requests_of_a_region_count_as_slowest_in_its_quantiles() -> None:
    query = live_query(WINDOW, LOAD_GENERATOR, by="region")
    assert "sum by (region, le) (rate(latency_s_bucket" in query
    assert "+ on (region, le) label_replace((sum by (region)(rate(errors" in query.replace(
        "by (region) (", "by (region)("
    )


def test_values_before_the_first_scrape_are_unknown() -> None:
    assert read_live_stats(Answering({}), WINDOW) == LiveStats()


def test_every_rate_and_latency_that_is_shown_over_time_is_queried() -> None:
    query = live_query(WINDOW, LOAD_GENERATOR)
    for metric in METRICS:
        if metric.over_time:
            assert f'"quantity", "{metric.name}"' in query
    assert "histogram_quantile(0.99, sum by (le) (rate(latency_s_bucket" in query
    assert query.count("[20000ms]") == 14


def test_the_throughput_of_replicas_that_all_count_every_transaction_is_their_median() -> None:
    replicas = MetricNames(job="node", aggregation="median", throughput="commits")
    assert 'quantile(0.5, rate(commits{job="node"}[20000ms]))' in live_query(WINDOW, replicas)
    assert 'sum(rate(latency_s_count{job="client"}[20000ms]))' in live_query(WINDOW, LOAD_GENERATOR)


def test_prometheus_accepts_the_query_of_any_system(tmp_path: Path) -> None:
    systems = [
        LOAD_GENERATOR,
        MetricNames(
            'rpc{path=~"/a%2F.*",m!="x\\"y"}', unit="us", errors='lost{a="b"}', job="node", aggregation="median"
        ),
        MetricNames("lat", squared=None, throughput='tx_total{code=~"2.."}', unit="ns", errors=None),
    ]
    queries = [host_query(WINDOW), *(live_query(WINDOW, names, by) for names in systems for by in ("", "region"))]
    rules = [{"record": "r", "expr": query} for query in queries]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}), encoding="utf-8")
    checked = subprocess.run(
        ["promtool", "check", "rules", "--lint=none", file], capture_output=True, text=True, timeout=30
    )
    assert checked.returncode == 0, checked.stderr


def test_label_matchers_may_contain_any_character() -> None:
    query = live_query(WINDOW, MetricNames('rpc{path="/a%2F%s{}"}'))
    assert 'sum(rate(rpc_count{job="client",path="/a%2F%s{}"}[20000ms]))' in query


def test_units_and_label_matchers_are_part_of_the_query() -> None:
    query = live_query(WINDOW, MetricNames('rpc{method="Put"}', unit="ms", errors=None))
    assert (
        'histogram_quantile(0.99, sum by (le) (rate(rpc_bucket{job="client",method="Put"}[20000ms]))) / 1000' in query
    )
    assert 'sum(rate(rpc_count{job="client",method="Put"}[20000ms]))' in query
    assert "errors_tps" not in query

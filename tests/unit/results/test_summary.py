"""Summaries: fields, round trip, and the upgrade from schema 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from factories.sample_factory import client, steady
from pydantic import ValidationError

from benchmark.measure.measurement import measure
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import judge
from benchmark.results.summary import Identity, Summary, not_measured, parse_summary, summarise

SCHEMA_1 = Path(__file__).parents[2] / "data/run/summary.json"
IDENTITY = Identity(run_id="r1", protocol="etcd", commit="", nodes=3, clients=2, requested_tps=200)


def measured(latency: float = 0.12) -> Summary:
    due = np.arange(1000.0, 1060.0, 0.01)
    made = [
        *steady("a", region="eu-west-1"),
        *client("b", np.arange(1000.0, 1061.0), due, np.full(len(due), latency)),
    ]
    measurement = measure(RunSamples(made), 1010, 1050, scrape_interval=1)
    return summarise(measurement, judge(measurement, requested_tps=200), IDENTITY)


def test_summary_has_the_documented_fields() -> None:
    document = json.loads(measured().to_json())
    documented = (
        "schema run_id status protocol commit nodes clients requested_tps window scheduled_tps sent_tps completed_tps "
        "latency_s errors saturated warnings"
    )
    assert set(documented.split()) <= set(document)
    assert set(document["latency_s"]) == {"mean", "stdev", "p50", "p90", "p99", "p999", "max"}
    assert set(document["latency_s"]["p99"]) == {"estimate", "lower", "upper"}
    assert document["window"] == {"start": 1010.0, "end": 1050.0, "seconds": 40.0}
    assert document["schema"] == 2
    assert document["completed_tps"] == pytest.approx(200)
    assert set(document["by_region"]) == {"eu-west-1", "us-east-1"}
    assert set(document["by_client"]) == {"a", "b"}


def test_a_run_in_which_no_client_was_sampled_has_no_numbers() -> None:
    measurement = measure(RunSamples(steady("a")), 2000, 2040, scrape_interval=1)
    verdict = judge(measurement, requested_tps=200, expected_clients=["a"])
    document = json.loads(summarise(measurement, verdict, IDENTITY).to_json())
    assert document["status"] == "invalid"
    numbers = ("sampled_seconds", "scheduled_tps", "sent_tps", "completed_tps", "latency_s", "errors")
    assert [document[name] for name in numbers] == [None] * len(numbers)


@pytest.mark.parametrize("latency", [0.12, 30.0, 500.0])
def test_summary_survives_a_round_trip_without_nan(latency: float) -> None:
    summary = measured(latency)
    text = summary.to_json()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert parse_summary(text) == summary


def test_summary_of_an_unmeasured_run_states_the_reason() -> None:
    summary = not_measured(IDENTITY, "failed", "node us-east-1-0 died")
    assert (summary.status, summary.reasons, summary.completed_tps) == ("failed", ["node us-east-1-0 died"], None)
    assert parse_summary(summary.to_json()) == summary


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"throughput": 1.0}, "throughput"),
        ({"schema": 3}, "schema"),
        ({"nodes": "3"}, "nodes"),
        ({"nodes": -1}, "nodes"),
    ],
)
def test_invalid_summary_is_rejected(change: dict[str, object], field: str) -> None:
    document = json.loads(measured().to_json()) | change
    with pytest.raises(ValidationError, match=field):
        parse_summary(json.dumps(document))


def test_rates_of_a_schema_1_summary_are_upgraded() -> None:
    stored = json.loads(SCHEMA_1.read_text(encoding="utf-8"))
    assert stored["schema"] == 1, "the sample must stay as it was written"
    summary = parse_summary(SCHEMA_1.read_text(encoding="utf-8"))
    assert summary.schema_version == 2
    former = [stored[name] for name in ("load_tps", "due_tps", "offered_tps", "throughput_tps")]
    assert [summary.requested_tps, summary.scheduled_tps, summary.sent_tps, summary.completed_tps] == former
    for found, groups in ((summary.by_region, stored["by_region"]), (summary.by_client, stored["by_client"])):
        assert {name: [group.scheduled_tps, group.sent_tps, group.completed_tps] for name, group in found.items()} == {
            name: [group["due_tps"], group["submitted_tps"], group["throughput_tps"]] for name, group in groups.items()
        }


def test_upgraded_summary_is_written_in_schema_2() -> None:
    summary = parse_summary(SCHEMA_1.read_text(encoding="utf-8"))
    document = json.loads(summary.to_json())
    assert document["schema"] == 2
    assert not {"load_tps", "offered_tps", "due_tps", "throughput_tps", "submitted_tps"} & set(document)
    assert parse_summary(summary.to_json()) == summary


def test_schema_1_names_are_rejected_in_schema_2() -> None:
    document = json.loads(measured().to_json()) | {"load_tps": 200.0}
    with pytest.raises(ValidationError, match="load_tps"):
        parse_summary(json.dumps(document))

"""Manifests of both schemas are read, and damaged ones rejected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from factories.result_factory import manifest
from paths import DATA
from pydantic import ValidationError

from benchmark.errors import UsageError
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.protocols.registry import find_protocol, protocol_names
from benchmark.results.manifest import Manifest, parse_manifest, read_manifest

SCHEMA_1 = (DATA / "run" / "manifest.json").read_text(encoding="utf-8")


def schema_1(**changes: Any) -> str:
    return json.dumps(json.loads(SCHEMA_1) | changes)


def test_manifest_survives_a_round_trip() -> None:
    written = manifest(name="two words", times={"load": 1.0, "start": 2.0, "end": 3.0})
    assert parse_manifest(written.to_json(), "x") == written


@pytest.mark.parametrize("name", protocol_names())
def test_metrics_of_each_protocol_survive_a_round_trip(name: str) -> None:
    written = manifest().model_copy(update={"metrics": find_protocol(name).metrics})
    assert parse_manifest(written.to_json(), "x").metrics == find_protocol(name).metrics


def test_metrics_of_a_declared_system_survive_a_round_trip() -> None:
    metrics = MetricNames("commit_s", squared=None, job="node", aggregation="median", throughput="commits")
    assert parse_manifest(manifest().model_copy(update={"metrics": metrics}).to_json(), "x").metrics == metrics


def test_schema_1_manifest_is_upgraded() -> None:
    read = read_manifest(DATA / "run")
    parameters = read.parameters
    assert (parameters.requested_tps, parameters.scheduled_tps, sum(parameters.shares_tps)) == (200, 200, 200)
    assert (parameters.scrape_interval_s, parameters.load_shape) == (1.0, "constant")
    assert read.metrics == LOAD_GENERATOR
    assert read.artifact is None
    assert read.hosts["us-east-1-0"].stale_processes == 0
    assert read.times is not None
    assert read.times.end - read.times.start == 20
    assert read.round_trips["us-east-1", "eu-west-1"] == 73.953
    assert parse_manifest(read.to_json(), "x") == read


def test_round_trips_keep_their_direction() -> None:
    assert manifest().round_trips == {("a", "b"): 70.0, ("b", "a"): 70.2}


@pytest.mark.parametrize(("counted_by", "aggregation"), [("one", "sum"), ("every", "median")])
def test_schema_1_counted_by_becomes_the_aggregation(counted_by: str, aggregation: str) -> None:
    read = parse_manifest(schema_1(metrics={"job": "node", "counted_by": counted_by}), "x")
    assert read.metrics == MetricNames(job="node", aggregation="median" if aggregation == "median" else "sum")


def test_schema_1_artifact_is_upgraded() -> None:
    variant = {"sha256": "a" * 64, "files": {"node": {"sha256": "b" * 64, "size": 7}}, "given_to": ["x"]}
    variant |= {"builder": "x", "build_seconds": 2.5, "changed": []}
    artifact = {"from": "repository", "repository": "https://x.org/a", "requested": "main", "folder": None}
    artifact |= {"commit": "c", "previous_commit": None, "build": None, "variants": {"x86_64": variant}}
    read = parse_manifest(schema_1(artifact=artifact), "x").artifact
    assert read is not None
    assert (read.source, read.variants["x86_64"].copied_to) == ("repository", ("x",))
    assert read.variants["x86_64"].files["node"].sha256 == "b" * 64


def test_schema_1_profile_becomes_the_load_shape() -> None:
    parameters = json.loads(SCHEMA_1)["parameters"]
    changed = parameters | {"profile": "ramp", "settings": parameters["settings"] | {"profile": "ramp"}}
    read = parse_manifest(schema_1(parameters=changed), "x").parameters
    assert (read.load_shape, read.settings["load_shape"]) == ("ramp", "ramp")


def test_schema_1_run_that_never_started_has_no_times() -> None:
    assert parse_manifest(schema_1(times={}), "x").times is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{}", "run_id: Field required"),
        (b"[]", "Input should be an object"),
        (b"null", "Input should be an object"),
        (b"\xff\xfe", "expected value"),
        (b"[" * 100_000, "recursion limit"),
        (SCHEMA_1[:500].encode(), "EOF while parsing"),
        (b'{"schema": 3}', "schema: Input should be 2"),
        (b'{"schema": 1}', "parameters: expected an object"),
        (schema_1(hosts={"a": 3}).encode(), "a: expected an object"),
        (schema_1(hosts=7).encode(), "hosts: expected an object"),
        (schema_1(artifact={"variants": []}).encode(), "variants: expected an object"),
        (schema_1(parameters={"settings": {"scrape_interval": "often"}}).encode(), "often"),
        (schema_1(commit=7).encode(), "commit: Input should be a valid string"),
        (schema_1(commit="\ud800").encode(), "not a manifest"),
        (schema_1(rtt_ms={"a/b": float("nan")}).encode(), "finite"),
        (schema_1(shell="rm -rf /").encode(), "shell: Extra inputs"),
        (schema_1(metrics={"counted": "every"}).encode(), "counted"),
    ],
)
def test_damaged_manifest_is_a_usage_error_with_the_file_name(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_manifest(tmp_path)
    assert str(tmp_path / "manifest.json") in str(caught.value)


def test_folder_without_a_manifest_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected the folder of a run"):
        read_manifest(tmp_path)


def test_unknown_manifest_key_is_rejected() -> None:
    with pytest.raises(ValidationError, match="sha256"):
        Manifest.model_validate({**dict(manifest()), "sha256": "a"})

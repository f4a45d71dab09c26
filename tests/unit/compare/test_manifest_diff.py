"""Differences of manifests are reported once, without their consequences and irrelevant fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from factories.result_factory import host, inventory, manifest

from benchmark.artifacts.install import Installed, Variant
from benchmark.artifacts.store import File
from benchmark.compare.manifest_diff import differences
from benchmark.results.manifest import ArtifactRecord, FileRecord, VariantRecord, parse_manifest

PROBE = {"host": "a-1", "argv": ["python3"], "environment": {}, "prepare": [], "ready": "", "user": "", "files": {}}


def names(**changed: Any) -> list[str]:
    return [each.name for each in differences(manifest(), manifest(**changed))]


def test_a_manifest_does_not_differ_from_itself() -> None:
    assert names() == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"commit": "3.5", "packages": {"etcd-server": "3.5"}}, ["commit"]),
        ({"packages": {"etcd-server": "3.4-2"}}, ["package etcd-server"]),
        ({"protocol": "other", "commit": "x"}, ["protocol"]),
        ({"parameters": {"requested_tps": 7}}, []),
        ({"parameters": {"duration_s": 30.0}}, ["duration_s"]),
        ({"parameters": {"node_parameters": {"heartbeat_ms": 50}}}, ["node_parameters.heartbeat_ms"]),
        ({"parameters": {"settings": {"scrape_interval": "5s"}}}, ["scrape_interval"]),
        ({"versions": {"geobench": "0.2.0"}}, ["version of geobench"]),
        ({"hosts": {"a-1": {"kernel": "6.9"}}}, ["kernel"]),
        ({"hosts": {"a-1": {"cpu_model": "Neoverse-N1"}}}, ["cpu_model"]),
        ({"hosts": {"a-1": {"os": "Debian GNU/Linux 13"}}}, ["os"]),
        ({"hosts": {name: {"os": ""} for name in ("a-1", "b-0")}}, []),
        ({"placement": {"processes": {"probe": PROBE}}}, ["probe workload (--verify)"]),
        ({"rtt_ms": {"a/b": 90.0, "b/a": 70.3}}, ["round trip a/b"]),
    ],
)
def test_one_change_is_one_difference(changed: dict[str, Any], expected: list[str]) -> None:
    assert names(**changed) == expected


@pytest.mark.parametrize(
    ("provider", "expected"), [("local", ["disk.durable: False against True"]), ("aws", []), ("machines", [])]
)
def test_local_hosts_of_earlier_versions_had_no_durable_disk(provider: str, expected: list[str]) -> None:
    found = [
        manifest(
            inventory=inventory("t", [host("a-1", "a", provider)]).model_dump(mode="json"),
            parameters={"settings": {"regions": ["a", "b"], **more}},
        )
        for more in ({}, {"disk": {"durable": True, "size": "20GB", "bandwidth": None}})
    ]
    before, after = (parse_manifest(each.to_json(), "x") for each in found)
    assert [str(each) for each in differences(before, after)] == expected


def test_faults_differ_by_their_schedule_not_by_their_outcome() -> None:
    def crash(**changed: Any) -> dict[str, Any]:
        observed = dict.fromkeys(("injected", "in_force", "healing", "healed"))
        known = {"kind": "crash", "target": "one", "nodes": [], "hosts": [], "parameters": {}, "seed": 1}
        return known | observed | {"scheduled_start_s": 10.0, "scheduled_end_s": None, **changed}

    before = manifest(faults=[crash()])
    assert differences(before, manifest(faults=[crash(nodes=["node-1"], seed=2, injected=12.0)])) == []
    loss = crash(kind="loss", parameters={"share": 0.3}, scheduled_end_s=20.5)
    assert [str(each) for each in differences(before, manifest(faults=[loss]))] == [
        "faults: crash:one@10s against loss:one,share=0.3@10s-20.5s"
    ]
    assert [str(each) for each in differences(manifest(), before)] == ["faults: none against crash:one@10s"]
    [without] = differences(manifest(parameters={"settings": {"faults": []}}), before)  # earlier settings have no field
    assert without.name == "faults"


def test_links_and_traces_from_files_of_the_same_name_are_a_difference() -> None:
    def network(loss: str, name: str = "m.yaml") -> dict[str, Any]:
        return {
            "parameters": {"settings": {"network": {"links": name}}},
            "inventory": {"round_trips": {"a/b": {"rtt_ms": 80.0, "impairments": f"loss {loss}"}}},
        }

    same, other = manifest(**network("0.1")), manifest(**network("0.2"))
    assert [str(each) for each in differences(same, other)] == ["emulated network: a/b loss 0.1 against a/b loss 0.2"]
    assert [each.name for each in differences(same, manifest(**network("0.2", "n.yaml")))] == ["network.links"]


def described(command: str = "run", conf: str = "x = 1\ny = 2\n", **more: Any) -> dict[str, Any]:
    return {"sha256": "", "content": {"node": {"command": command, "files": {"a.conf": conf}}, **more}}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"command": "run --fast"}, ["definition node.command: run against run --fast"]),
        ({"conf": "x = 1\ny = 3\n"}, ["definition node.files.a.conf: line 2: 'y = 2' against 'y = 3'"]),
        (
            {"conf": "x = 1\ny = 2"},
            [r"definition node.files.a.conf: line 1: 'x = 1\ny = 2\n' against 'x = 1\ny = 2'"],
        ),
        ({"load": {"url": "u"}}, ["definition load.url: none against u"]),
    ],
)
def test_what_differs_in_a_described_system_is_named(changed: dict[str, Any], expected: list[str]) -> None:
    found = differences(manifest(definition=described()), manifest(definition=described(**changed)))
    assert [str(each) for each in found] == expected


def test_a_described_system_differs_from_one_of_the_same_name_that_is_built_in() -> None:
    assert names(definition=described()) == ["definition"]


def test_a_smaller_committee_is_named_without_the_hosts_it_implies() -> None:
    smaller = {"nodes": ["a-1"], "clients": ["a-1"]}
    found = differences(manifest(), manifest(placement=smaller))
    assert [str(each) for each in found] == ["nodes: 2 against 1", "clients: 2 against 1"]


def test_the_same_number_of_nodes_on_other_hosts_is_a_difference() -> None:
    moved = {"nodes": ["a-1", "c-0"], "clients": ["a-1", "b-0"]}
    assert names(placement=moved) == ["hosts of the nodes"]


def test_another_testbed_is_named_with_its_hosts() -> None:
    other = inventory("u", [host("a-1", "a", specs="m5.large")])
    assert names(inventory=other) == ["testbed", "hosts"]


def artifact(**sha256: str) -> ArtifactRecord:
    files = {name: FileRecord(sha256=digest * 16, size=1) for name, digest in sha256.items()}
    variant = VariantRecord(sha256="f" * 64, files=files, copied_to=(), builder=None, build_seconds=0.0, changed=())
    return ArtifactRecord(
        source="binaries",
        repository=None,
        requested=None,
        folder="/bin",
        commit="3.4",
        previous_commit=None,
        build=None,
        variants={"x86_64": variant},
    )


def test_different_binaries_of_the_same_commit_are_named() -> None:
    a, b = (
        manifest(artifact=artifact(node="aa11", client="cc33")),
        manifest(artifact=artifact(node="bb22", client="cc33")),
    )
    (found,) = differences(a, b)
    assert (found.name, found.a[:11], found.b[:11]) == ("binary node (x86_64)", "sha256 aa11", "sha256 bb22")


def test_binaries_of_another_commit_are_not_a_second_difference() -> None:
    a, b = manifest(artifact=artifact(node="aa11")), manifest(artifact=artifact(node="bb22"), commit="3.5")
    assert [each.name for each in differences(a, b)] == ["commit"]


def test_different_binaries_are_named_as_the_runner_records_them() -> None:
    a, b = (
        Installed("3.4", {"x86_64": Variant(digest * 64, {"node": File(digest * 64, 7)})}, {}, folder=Path("/binaries"))
        for digest in "ab"
    )
    found = differences(manifest(artifact=a.to_record()), manifest(artifact=b.to_record()))
    assert [each.name for each in found] == ["binary node (x86_64)"]

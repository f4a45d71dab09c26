"""What differs between two runs: named once, without what follows from it and without what cannot matter."""

from __future__ import annotations

from typing import Any

import pytest
from factories.result_factory import manifest

from benchmark.compare.manifest_diff import differences


def names(**changed: Any) -> list[str]:
    return [each.name for each in differences(manifest(), manifest(**changed))]


def parameters(**changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = manifest()["parameters"] | changed
    return found


def test_nothing_differs_from_itself() -> None:
    assert names() == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"commit": "3.5", "packages": {"etcd-server": "3.5"}}, ["commit"]),
        ({"packages": {"etcd-server": "3.4-2"}}, ["package etcd-server"]),
        ({"protocol": "other", "commit": "x"}, ["protocol"]),
        ({"parameters": parameters(load_tps=7)}, []),
        ({"parameters": parameters(duration_s=30.0)}, ["duration_s"]),
        ({"parameters": parameters(node_parameters={"heartbeat_ms": 50})}, ["node_parameters.heartbeat_ms"]),
        ({"parameters": parameters(settings={"scrape_interval": "5s", "regions": ["a", "b"]})}, ["scrape_interval"]),
        ({"versions": {"geobench": "0.2.0"}}, ["version of geobench"]),
        ({"hosts": {"a-1": {"kernel": "6.9", "cpus": 2, "memory_mb": 4000}}}, ["kernel"]),
        ({"rtt_ms": {"a/b": 90.0, "b/a": 70.3}}, ["round trip a/b"]),
    ],
)
def test_one_change_is_one_difference(changed: dict[str, Any], expected: list[str]) -> None:
    assert names(**changed) == expected


def test_another_committee_has_other_clients_too() -> None:
    smaller = {"nodes": ["a-1"], "clients": ["a-1"]}
    found = differences(manifest(), manifest(placement=smaller))
    assert [str(each) for each in found] == ["nodes: 2 against 1", "clients: 2 against 1"]


def test_the_same_number_of_nodes_elsewhere_is_a_difference() -> None:
    moved = {"nodes": ["a-1", "c-0"], "clients": ["a-1", "b-0"]}
    assert names(placement=moved) == ["hosts of the nodes"]


def test_another_testbed_is_named_with_its_hosts() -> None:
    other = {"testbed_id": "u", "hosts": [{"provider": "aws", "region": "a", "specs": "m5.large"}]}
    assert names(inventory=other) == ["testbed", "hosts"]

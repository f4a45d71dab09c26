"""Deployments: a plan and its processes, made once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from factories.hosts import inventory

from benchmark.errors import UsageError
from benchmark.plan.deployment import deploy, make_plan
from benchmark.plan.placement import endpoints
from benchmark.plan.request import Request
from benchmark.protocols.base import Protocol
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.settings import Settings

HOSTS = inventory(a=2, b=1, c=1)


def request(**fields: object) -> Request:
    known: dict[str, object] = {"loads": (100,), "duration_s": 30.0, "warm_up_s": 10.0}
    known |= {"protocol": Etcd(EtcdNode(), EtcdClient()), "settings": Settings(regions=("a", "b", "c"))}
    return Request(**(known | fields))  # type: ignore[arg-type]


def test_plan_combines_the_request_and_the_hosts() -> None:
    rtt_ms = {("a", "b"): 70.0}
    plan = make_plan(HOSTS, request(committee=2, dedicated_clients=1), 100, rtt_ms)
    assert [host.name for host in plan.nodes] == ["a-1", "b-0"]
    assert [host.name for host in plan.clients] == ["c-0"]
    assert (plan.load, plan.shares, plan.duration_s, plan.rate_segments) == (100, (100,), 40.0, ())
    assert plan.rtt_ms == rtt_ms


def test_processes_list_nodes_before_clients() -> None:
    deployment = deploy(HOSTS, request(), 100)
    assert [process.name for process in deployment.processes] == [
        *(f"node-{index}" for index in range(3)),
        *(f"client-{index}" for index in range(3)),
    ]
    by_host = deployment.by_host()
    assert {host: [process.name for process in each] for host, each in by_host.items()} == {
        "a-1": ["node-0", "client-0"],
        "b-0": ["node-1", "client-1"],
        "c-0": ["node-2", "client-2"],
    }


def test_processes_depend_on_the_round_trip_times() -> None:
    near, far = (deploy(HOSTS, request(), 100, {("a", "b"): ms, ("b", "a"): ms}) for ms in (10.0, 300.0))
    assert near.plan.rtt_ms != far.plan.rtt_ms
    assert near.nodes[0].argv != far.nodes[0].argv
    assert [process.ports for process in near.processes] == [process.ports for process in far.processes]


def test_load_shape_starts_after_the_warm_up(tmp_path: Path) -> None:
    plan = make_plan(HOSTS, request(load_shape="ramp"), 100)
    assert plan.rate_segments == ((0.0, 0.1, 0.1), (10.0, 0.1, 1.0), (40.0, 1.0, 1.0))


def test_load_shape_is_rejected_if_the_protocol_does_not_support_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Etcd, "load_shapes", False)
    with pytest.raises(UsageError, match="etcd supports a constant load only, found load shape 'ramp'"):
        make_plan(HOSTS, request(load_shape="ramp"), 100)


def test_verify_adds_a_probe_of_all_nodes_on_the_host_of_the_first_client() -> None:
    deployment = deploy(HOSTS, request(verify=True), 100)
    assert deployment.processes[-1] is deployment.probe
    assert deployment.probe is not None
    assert deployment.probe.host == deployment.plan.clients[0]
    config = json.loads(deployment.probe.files["config.json"])
    ends = ["127.0.0.1:2379", *(host.endpoint(2379) for host in deployment.plan.nodes[1:])]
    assert [each["read"]["url"] for each in config["replicas"]] == [f"http://{end}/v3/kv/range" for end in ends]
    assert [each["node"] for each in config["replicas"]] == [node.name for node in deployment.nodes]
    assert config["clients"] <= 8
    assert config["keys"] <= 10
    assert config["rate"] <= 200
    assert endpoints(deployment.processes) == endpoints((*deployment.nodes, *deployment.clients))


def test_verify_is_rejected_for_a_system_without_key_value_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Etcd, "checks", Protocol.checks)
    with pytest.raises(UsageError, match="--verify: etcd has no key-value interface to check"):
        deploy(HOSTS, request(verify=True), 100)

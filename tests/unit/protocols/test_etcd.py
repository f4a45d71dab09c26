"""Processes of etcd."""

from __future__ import annotations

import json

import pytest
from factories.hosts import inventory

from benchmark.errors import UsageError
from benchmark.plan.placement import place
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.protocols.process import Plan
from benchmark.protocols.registry import find_protocol

PLAN = place(inventory(a=2, b=2), Etcd, load=10)
RTT = {("a", "b"): 80.2, ("b", "a"): 81.0}


def flags(plan: Plan, node: EtcdNode = EtcdNode()) -> list[dict[str, str]]:  # noqa: B008 (frozen)
    processes = Etcd(node, EtcdClient()).nodes(plan)
    return [dict(part.removeprefix("--").split("=", 1) for part in process.argv[1:]) for process in processes]


def with_rtt(rtt: dict[tuple[str, str], float]) -> Plan:
    return Plan(PLAN.nodes, PLAN.clients, PLAN.load, PLAN.shares, rtt)


def test_members_have_the_addresses_of_all_members() -> None:
    found = flags(PLAN)
    expected = "node-0=http://198.18.0.3:2380,node-1=http://198.18.0.4:2380,node-2=http://198.18.0.5:2380"
    assert {each["initial-cluster"] for each in found} == {expected}
    assert [each["name"] for each in found] == ["node-0", "node-1", "node-2"]
    assert found[1]["advertise-client-urls"] == "http://198.18.0.4:2379"


def test_timeouts_follow_the_largest_round_trip() -> None:
    assert [(f["heartbeat-interval"], f["election-timeout"]) for f in flags(with_rtt(RTT))] == [("100", "1000")] * 3
    far = with_rtt({("a", "b"): 312.4})
    assert [(f["heartbeat-interval"], f["election-timeout"]) for f in flags(far)] == [("313", "3130")] * 3


def test_parameters_override_timeouts_within_the_limit_of_etcd() -> None:
    assert flags(PLAN, EtcdNode(heartbeat_ms=10_000))[0]["election-timeout"] == "50000"
    assert flags(PLAN, EtcdNode(heartbeat_ms=50, election_ms=600))[0]["election-timeout"] == "600"


def test_data_is_removed_with_the_process() -> None:
    node = Etcd(EtcdNode(), EtcdClient()).nodes(PLAN)[0]
    assert "--data-dir=data" in node.argv  # relative to the folder of the process, which is removed
    assert node.ready == "run lead"


def test_leader_is_fixed_unless_left_to_the_election() -> None:
    members = "198.18.0.3:2379,198.18.0.4:2379,198.18.0.5:2379"
    processes = Etcd(EtcdNode(leader=1), EtcdClient()).nodes(PLAN)
    assert [process.ready for process in processes] == ["http 2379 /health", "run lead", "http 2379 /health"]
    assert processes[1].files["lead"].startswith(f"ENDPOINTS={members}\n")
    elected = Etcd(EtcdNode(leader=None), EtcdClient()).nodes(PLAN)
    assert {process.ready for process in elected} == {"http 2379 /health"}
    with pytest.raises(UsageError, match="leader: found 3, expected the index of a node, 0 to 2"):
        Etcd(EtcdNode(leader=3), EtcdClient()).nodes(PLAN)


def test_each_client_writes_to_the_member_on_its_host() -> None:
    clients = Etcd(EtcdNode(), EtcdClient(keys=5, value_bytes=9)).clients(PLAN)
    configs = [json.loads(client.files["config.json"]) for client in clients]
    # Not its public address: clouds would route that out of the region and back.
    assert [each["requests"]["url"] for each in configs] == ["http://127.0.0.1:2379/v3/kv/put"] * 3
    assert [client.host for client in clients] == list(PLAN.nodes)
    assert [each["rate"] for each in configs] == [4, 3, 3]
    assert configs[0]["requests"]["body"] == '{"key":"{{key:5:base64}}","value":"{{value:9:base64}}"}'


def test_dedicated_clients_write_to_a_member_of_their_region() -> None:
    plan = place(inventory(a=3, b=3), Etcd, load=10, committee=2, dedicated_clients=2)
    clients = Etcd(EtcdNode(), EtcdClient()).clients(plan)
    region = {host.address: host.region for host in plan.nodes}
    urls = [json.loads(client.files["config.json"])["requests"]["url"] for client in clients]
    assert [region[url.split("/")[2].split(":")[0]] for url in urls] == [client.host.region for client in clients]


def test_members_are_known_by_the_ids_that_etcd_gives_them() -> None:
    """The id is what etcd 3.4.23 gave a member at this address."""
    node = PLAN.nodes[0].model_copy(update={"address": "127.0.0.1"})
    plan = Plan(nodes=(node,), clients=(), load=1, shares=())
    assert "--initial-cluster=node-0=http://127.0.0.1:2380" in Etcd(EtcdNode(), EtcdClient()).nodes(plan)[0].argv
    assert Etcd(EtcdNode(), EtcdClient()).label_values(plan) == {"To": {"b71f75320dc06a6c": node.name}}


@pytest.mark.parametrize(("nodes", "faults"), [(1, 0), (3, 1), (4, 1), (5, 2), (7, 3)])
def test_majority_remains_after_the_tolerated_faults(nodes: int, faults: int) -> None:
    assert Etcd(EtcdNode(), EtcdClient()).tolerated_faults(nodes) == faults


def test_unknown_protocol_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no protocol named 'etc'; known are: .*etcd"):
        find_protocol("etc")

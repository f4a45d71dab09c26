"""Processes of etcd."""

from __future__ import annotations

import dataclasses
import json

import pytest
from factories.hosts import inventory

from benchmark.errors import SettingsError, UsageError
from benchmark.host_scripts.load_generator.config import Config
from benchmark.plan.placement import place
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.protocols.parameters import read_parameters
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


@pytest.mark.parametrize(
    ("parameters", "key", "value"),
    [
        ({}, "{{key:10000:base64}}", "{{value:128:base64}}"),
        ({"popularity": "zipf", "value_bytes": {"uniform": [16, 1024]}},
         "{{key:10000:zipf=0.990000:base64}}", "{{value:uniform=16-1024:base64}}"),
        ({"keys": 7, "popularity": {"zipf": 0.5}, "value_bytes": {"zipf": 64}},
         "{{key:7:zipf=0.500000:base64}}", "{{value:zipf=64:base64}}"),
    ],
)  # fmt: skip
def test_keys_and_values_follow_the_parameters(parameters: dict[str, object], key: str, value: str) -> None:
    client = Etcd(EtcdNode(), EtcdClient.model_validate(parameters)).clients(PLAN)[0]
    config = json.loads(client.files["config.json"])
    assert config["requests"]["body"] == f'{{"key":"{key}","value":"{value}"}}'
    assert Config(config).workloads[0].body.render(0)


@pytest.mark.parametrize(("reads", "workloads"), [(0, ["put"]), (0.8, ["get", "put"]), (1, ["get", "put"])])
def test_reads_are_a_share_of_the_requests(reads: float, workloads: list[str]) -> None:
    client = Etcd(EtcdNode(), EtcdClient(reads=reads)).clients(PLAN)[0]
    found = Config(json.loads(client.files["config.json"])).workloads
    assert [workload.name for workload in found] == workloads
    if len(found) == 2:
        assert [workload.weight for workload in found] == pytest.approx([reads, 1 - reads])
        assert [workload.targets[0][2].split()[1] for workload in found] == [b"/v3/kv/range", b"/v3/kv/put"]


def test_clients_share_the_keys_that_they_write_before_reads() -> None:
    clients = Etcd(EtcdNode(), EtcdClient(reads=0.5, keys=10)).clients(PLAN)
    written = [Config(json.loads(client.files["config.json"])).workloads[1].preload for client in clients]
    assert sorted(key for found in written if found for key in found[1]) == list(range(10))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"reads": 1.5}, "reads: expected at most 1"),
        ({"value_bytes": {"uniform": [9, 3]}}, "value_bytes: expected `uniform: \\[LEAST, LARGEST\\]`"),
        ({"value_bytes": {}}, "value_bytes: expected either `uniform` or `zipf`"),
        ({"value_bytes": "large"}, "value_bytes: expected a whole number, found 'large'"),
        ({"popularity": "hot"}, "popularity: expected 'uniform' or 'zipf', found 'hot'"),
        ({"popularity": {"zipf": 0}}, "popularity.zipf: expected more than 0"),
    ],
)
def test_invalid_workloads_are_errors_that_name_the_parameter(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_parameters("client_parameters", parameters, EtcdClient)


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


def test_progress_is_due_after_ten_election_timeouts() -> None:
    near = place(inventory(a=4), Etcd, load=10, committee=3)
    assert Etcd(EtcdNode(heartbeat_ms=100), EtcdClient()).progress_within_s(near) == 15.0
    assert Etcd(EtcdNode(election_ms=3000), EtcdClient()).progress_within_s(near) == 30.0
    far = dataclasses.replace(near, rtt_ms={("a", "a"): 250.0})
    assert Etcd(EtcdNode(), EtcdClient()).progress_within_s(far) == 25.0

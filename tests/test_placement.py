"""Nodes and clients are spread over regions, and errors do the sum."""

from __future__ import annotations

import pytest
from hosts import inventory

from benchmark.errors import UsageError
from benchmark.placement import endpoints, interleave, place, ports
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode


def names(hosts: object) -> list[str]:
    return [host.name for host in hosts]  # type: ignore[attr-defined]


def test_every_region_gives_one_before_any_gives_its_second() -> None:
    assert names(interleave(inventory(a=3, b=1, c=2).hosts)) == ["a-0", "b-0", "c-0", "a-1", "c-1", "a-2"]


def test_all_instances_carry_a_node_and_a_client_beside_it() -> None:
    plan = place(inventory(a=2, b=2), Etcd, load=10)
    assert names(plan.nodes) == ["a-1", "b-0", "b-1"]
    assert plan.clients == plan.nodes
    assert plan.shares == (4, 3, 3)


def test_the_default_committee_ends_at_what_the_system_advises() -> None:
    assert len(place(inventory(a=10, b=10), Etcd, load=100).nodes) == 7
    assert len(place(inventory(a=10, b=10), Etcd, load=100, committee=19).nodes) == 19


def test_dedicated_clients_have_hosts_of_their_own() -> None:
    plan = place(inventory(a=3, b=3), Etcd, load=10, dedicated_clients=2)
    assert len(plan.nodes) == 3
    assert len(plan.clients) == 2
    assert not set(names(plan.nodes)) & set(names(plan.clients))


def test_clients_without_a_share_are_left_out() -> None:
    plan = place(inventory(a=4, b=4), Etcd, load=2)
    assert plan.shares == (1, 1)


def test_stopped_hosts_carry_nothing() -> None:
    assert names(place(inventory(a=3, stopped=frozenset({"a-1"})), Etcd, load=1).nodes) == ["a-2"]


def test_an_error_does_the_sum() -> None:
    with pytest.raises(UsageError) as error:
        place(inventory(a=2, b=2), Etcd, load=200, committee=99, dedicated_clients=2)
    text = str(error.value)
    assert "need 102 hosts (99 nodes + 2 dedicated clients + 1 monitoring)" in text
    assert "found 4 running in testbed t" in text
    assert "--committee 1" in text
    assert "instances=51" in text


def test_ports_and_endpoints_are_those_of_the_processes() -> None:
    protocol = Etcd(EtcdNode(), EtcdClient())
    plan = place(inventory(a=2), Etcd, load=1)
    processes = [*protocol.nodes(plan), *protocol.clients(plan)]
    assert ports(processes) == {"a-1": [2380, 2379, 18600]}
    assert [(each.host, each.port, each.job) for each in endpoints(processes)] == [
        ("a-1", 2379, "node"),
        ("a-1", 18600, "client"),
    ]

"""Nodes and clients are spread over regions, and errors say which hosts are missing."""

from __future__ import annotations

import pytest
from factories.hosts import inventory, of_provider

from benchmark.errors import UsageError
from benchmark.inventory import Inventory, Provider
from benchmark.plan.placement import endpoints, interleave, place, ports
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode


def names(hosts: object) -> list[str]:
    return [host.name for host in hosts]  # type: ignore[attr-defined]


def test_interleave_orders_hosts_round_robin_over_regions() -> None:
    assert names(interleave(inventory(a=3, b=1, c=2).hosts)) == ["a-0", "b-0", "c-0", "a-1", "c-1", "a-2"]


def test_each_instance_runs_a_node_and_a_client_by_default() -> None:
    plan = place(inventory(a=2, b=2), Etcd, load=10)
    assert names(plan.nodes) == ["a-1", "b-0", "b-1"]
    assert plan.clients == plan.nodes
    assert plan.shares == (4, 3, 3)


def test_default_committee_is_capped_at_the_recommended_size() -> None:
    assert len(place(inventory(a=10, b=10), Etcd, load=100).nodes) == 7
    assert len(place(inventory(a=10, b=10), Etcd, load=100, committee=19).nodes) == 19


def test_dedicated_clients_do_not_share_hosts_with_nodes() -> None:
    plan = place(inventory(a=3, b=3), Etcd, load=10, dedicated_clients=2)
    assert len(plan.nodes) == 3
    assert len(plan.clients) == 2
    assert not set(names(plan.nodes)) & set(names(plan.clients))


def test_clients_without_a_share_are_omitted() -> None:
    plan = place(inventory(a=4, b=4), Etcd, load=2)
    assert plan.shares == (1, 1)


def test_stopped_hosts_are_not_used() -> None:
    assert names(place(inventory(a=3, stopped=frozenset({"a-1"})), Etcd, load=1).nodes) == ["a-2"]


def test_error_lists_the_needed_and_the_found_hosts() -> None:
    with pytest.raises(UsageError) as error:
        place(inventory(a=2, b=2), Etcd, load=200, committee=99, dedicated_clients=2)
    text = str(error.value)
    assert "need 102 hosts (99 nodes + 2 dedicated clients + 1 monitoring)" in text
    assert "found 4 running in testbed t" in text
    assert text.endswith("; `--committee 1` or less or `pulumi up -c instances=51`")


def advice(found: Inventory, committee: int | None = None) -> str:
    with pytest.raises(UsageError) as error:
        place(found, Etcd, load=200, committee=committee)
    return str(error.value).partition("found ")[2]


def test_error_advises_to_start_stopped_hosts() -> None:
    stopped = inventory(a=2, b=2, stopped=frozenset({"a-0", "a-1", "b-0", "b-1"}))
    started = "`pulumi up -c state=running`"
    assert advice(stopped) == f"0 running and 4 stopped in testbed t; {started}"
    assert advice(stopped, committee=3) == f"0 running and 4 stopped in testbed t; {started}"
    assert advice(stopped, committee=9).endswith("; `pulumi up -c state=running -c instances=5`")
    partly = inventory(a=2, b=2, stopped=frozenset({"b-1"}))
    assert advice(partly, 3) == f"3 running and 1 stopped in testbed t; `--committee 2` or less or {started}"


def provided(found: Inventory, **providers: Provider) -> Inventory:
    """Return an inventory whose regions are of the providers given, as in `a="machines"`."""
    hosts = [of_provider(host, providers.get(host.region, host.provider)) for host in found.hosts]
    return found.model_copy(update={"hosts": tuple(hosts)})


def test_error_advises_to_list_more_machines() -> None:
    own = provided(inventory(a=2, b=1), a="machines", b="machines")
    listed = "list more `machines` in the settings and `pulumi up`"
    assert advice(own, 5) == f"3 running in testbed t; `--committee 2` or less or {listed}"


def test_error_advises_more_instances_only_for_cloud_regions() -> None:
    mixed = provided(inventory(a=2, b=2, c=2), a="machines", b="aws", c="vultr")
    assert advice(mixed, 7).endswith("`pulumi up -c instances=3`"), "2 machines and 3 hosts in each of 2 regions"
    assert len(place(provided(inventory(a=2, b=3, c=3), a="machines"), Etcd, 1, committee=7).nodes) == 7


def test_ports_and_endpoints_are_collected_from_the_processes() -> None:
    protocol = Etcd(EtcdNode(), EtcdClient())
    plan = place(inventory(a=2), Etcd, load=1)
    processes = [*protocol.nodes(plan), *protocol.clients(plan)]
    assert ports(processes) == {"a-1": [2380, 2379, 18600]}
    assert [(each.host, each.port, each.job) for each in endpoints(processes)] == [
        ("a-1", 2379, "node"),
        ("a-1", 18600, "client"),
    ]

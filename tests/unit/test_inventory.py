"""The inventory: addresses of its hosts."""

from __future__ import annotations

import json

import pytest
from factories.hosts import inventory

from benchmark.inventory import Host
from benchmark.metrics.targets import Endpoint, identities, targets
from benchmark.plan.placement import place
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode


def with_addresses(*addresses: str) -> list[Host]:
    hosts = inventory(**{f"r{index}": 1 for index in range(len(addresses))}).hosts
    return [host.model_copy(update={"address": each}) for host, each in zip(hosts, addresses, strict=True)]


@pytest.mark.parametrize(("address", "expected"), [("192.0.2.1", "192.0.2.1:22"), ("2001:db8::1", "[2001:db8::1]:22")])
def test_an_endpoint_puts_an_ipv6_address_in_brackets(address: str, expected: str) -> None:
    (host,) = with_addresses(address)
    assert host.endpoint(22) == expected


def test_prometheus_scrapes_ipv6_hosts_by_their_endpoint() -> None:
    (host,) = with_addresses("2001:db8::1")
    endpoint = Endpoint(host.name, 2379, "node")
    (group,) = json.loads(targets([host], [endpoint])["node.json"])
    assert group["targets"] == ["[2001:db8::1]:2379"]
    assert ("node", host.name, "[2001:db8::1]:2379") in identities([host], [endpoint])


def test_etcd_reaches_ipv6_members_by_their_endpoint() -> None:
    hosts = inventory(a=3, monitoring=False).hosts
    addressed = tuple(host.model_copy(update={"address": f"2001:db8::{n}"}) for n, host in enumerate(hosts))
    found = inventory(a=3).model_copy(update={"hosts": addressed})
    plan = place(found, Etcd, load=30, committee=2, dedicated_clients=1)
    etcd = Etcd(EtcdNode(), EtcdClient())
    flags = dict(word.removeprefix("--").split("=", 1) for word in etcd.nodes(plan)[0].argv[1:])
    assert flags["initial-advertise-peer-urls"] == "http://[2001:db8::0]:2380"
    assert flags["advertise-client-urls"] == "http://[2001:db8::0]:2379"
    assert "node-1=http://[2001:db8::1]:2380" in flags["initial-cluster"]
    assert "ENDPOINTS=[2001:db8::0]:2379,[2001:db8::1]:2379\n" in str(etcd.nodes(plan)[0].files["lead"])
    assert "http://[2001:db8::0]:2379/" in str(etcd.clients(plan)[0].files["config.json"])

"""The inventory: addresses and capabilities of its hosts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from factories.hosts import inventory, of_provider

from benchmark.errors import UsageError
from benchmark.inventory import Host, HostCapabilities, Inventory, parse_inventory, read_inventory
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


def test_capabilities_of_a_provider_survive_the_inventory_file() -> None:
    found = inventory(a=1)
    stated = HostCapabilities(ephemeral=True, boot_timeout_s=7.0)
    found = found.model_copy(update={"hosts": (of_provider(found.hosts[0], "aws", capabilities=stated),)})
    assert parse_inventory(found.model_dump_json(), "test").hosts[0].capabilities == stated


@pytest.mark.parametrize(
    ("provider", "specs", "ephemeral", "user_owned", "boot_timeout_s", "stop_keeps_cost"),
    [
        ("aws", "m5d.2xlarge", True, False, 60.0, False),
        ("aws", "m5.metal", True, False, 600.0, False),
        ("aws", "c7g.metal-48xl", True, False, 600.0, False),
        ("vultr", "vc2-4c-8gb", True, False, 60.0, True),
        ("vultr", "vbm-4c-32gb", True, False, 600.0, True),
        ("machines", "machine", False, True, 0.0, False),
        ("local", "namespace", False, False, 0.0, False),
    ],
)
def test_inventories_of_earlier_releases_get_the_capabilities_of_their_providers(
    provider: str, specs: str, ephemeral: bool, user_owned: bool, boot_timeout_s: float, stop_keeps_cost: bool
) -> None:
    document = inventory(a=1).model_dump(mode="json")
    document["hosts"][0] |= {"provider": provider, "specs": specs}
    del document["hosts"][0]["capabilities"]
    found = Inventory.model_validate(document).hosts[0].capabilities
    assert (found.ephemeral, found.user_owned) == (ephemeral, user_owned)
    assert (found.boot_timeout_s, found.stop_keeps_cost) == (boot_timeout_s, stop_keeps_cost)


def test_an_unknown_provider_is_a_usage_error() -> None:
    document = inventory(a=1).model_dump(mode="json")
    document["hosts"][0]["provider"] = "azure"
    del document["hosts"][0]["capabilities"]
    with pytest.raises(UsageError, match=r"hosts\.0\.provider"):
        parse_inventory(json.dumps(document), "test")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("testbed_id",), "../../x", "testbed_id: found '../../x', expected up to 31 lower-case letters"),
        (("hosts", 0, "name"), "../x", "hosts.0.name: found '../x', expected letters, digits"),
        (("hosts", 0, "name"), "-x", "hosts.0.name: found '-x'"),
        (("hosts", 0, "name"), "r0-1", "several hosts are called r0-1"),
        (("hosts", 0, "region"), "\x1b[2J", r"hosts.0.region: found '\x1b[2J'"),
        (("hosts", 0, "address"), "-oProxyCommand=x", "hosts.0.address: found '-oProxyCommand=x', expected an IP"),
        (("hosts", 0, "address"), "a b", "hosts.0.address: found 'a b'"),
        (("hosts", 0, "ssh_port"), 0, "hosts.0.ssh_port"),
        (("hosts", 0, "ssh_user"), "-x", "hosts.0.ssh_user: found '-x', expected the name of a user"),
        (("hosts", 0, "host_key"), "a\nb", r"hosts.0.host_key: found 'a\nb', expected a text without control"),
        (("hosts", 1, "role"), "monitoring", "several hosts with the role monitoring"),
        (("hosts", 0, "cpus"), -1, "hosts.0.cpus"),
        (("hosts", 0, "capabilities", "boot_timeout_s"), "inf", "boot_timeout_s"),
        (("created_at",), "2026-11-28T18:34:54", "created_at: Input should have timezone info"),
        (("expires_at",), "9999-12-31T23:59:59Z", "expires_at: Input should be less than"),
        (("hourly_cost_usd",), -1, "hourly_cost_usd"),
        (("\x1b[2J",), 1, r"'\x1b[2J': Extra inputs are not permitted"),
    ],
)
def test_values_that_could_do_harm_are_rejected(path: tuple[str | int, ...], value: object, message: str) -> None:
    document = inventory(r0=2).model_dump(mode="json")
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(UsageError) as error:
        parse_inventory(json.dumps(document), "x.json")
    assert message in str(error.value)
    assert str(error.value).isprintable()


def test_endless_inventory_is_not_read() -> None:
    with pytest.raises(UsageError, match="cannot read the inventory /dev/zero: it has more than"):
        read_inventory(Path("/dev/zero"))

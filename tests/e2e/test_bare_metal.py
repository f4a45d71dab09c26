"""Vultr bare metal, which firewall groups do not protect, under the real pulumi."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fakes.emulated_clouds import Clouds, emulated_clouds, reaches

pytestmark = pytest.mark.e2e

SETTINGS = """\
cloud_provider: vultr
regions: [ewr]
specs: vbm-4c-32gb
instances: 1
monitoring: false
operator_cidrs: [{operator}]
"""


@pytest.fixture(scope="module")
def metal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with emulated_clouds(tmp_path_factory.mktemp("metal"), "metal", SETTINGS) as clouds:
        clouds.stack.up()
        clouds.wait_until_ready()
        yield clouds


def test_bare_metal_server_works_like_any_host(metal: Clouds) -> None:
    host = metal.only_host
    assert (host.provider, host.specs, host.cpus, host.memory_mb) == ("vultr", "vbm-4c-32gb", 4, 32768)
    found = json.loads(metal.benchmark("status", "--json"))
    assert found["hosts"] == {host.name: "ready"}
    assert found["hourly_cost_usd"] == pytest.approx(120 / 672, abs=1e-5)
    assert sorted(thing.kind for thing in metal.site.vultr.things.values()) == ["BareMetalServer", "SSHKey"]


def test_bare_metal_server_has_a_host_firewall(metal: Clouds) -> None:
    host = metal.only_host
    assert "policy drop" in metal.ssh(host, "sudo nft list chain inet geobench input")
    assert not reaches(host.address, 9100)


def test_bare_metal_server_keeps_its_address_over_stop_and_start(metal: Clouds) -> None:
    metal.stack.up("-c", "state=running")
    metal.wait_until_ready()
    before = metal.only_host
    metal.stack.up("-c", "state=stopped")
    assert metal.only_host.state == "stopped"
    assert [machine.running for machine in metal.machines.values()] == [False]
    assert json.loads(metal.benchmark("status", "--json"))["hosts"] == {before.name: "stopped"}
    metal.stack.up("-c", "state=running")
    metal.wait_until_ready()
    assert metal.only_host == before
    assert json.loads(metal.benchmark("status", "--json"))["hosts"] == {before.name: "ready"}


def test_destroy_removes_a_bare_metal_testbed(metal: Clouds) -> None:
    metal.stack.destroy()
    assert (metal.machines, metal.site.vultr.things) == ({}, {})

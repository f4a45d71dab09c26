"""Resources that a Vultr region declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pytest
from fakes.cloud_mocks import OPERATOR, OPERATOR_KEY, Cloud, Declared, args_of, declare
from pulumi.runtime.mocks import MockMonitor

from benchmark.errors import SettingsError
from benchmark.settings import Settings
from stacks.vultr.region import VultrRegion, await_servers, hourly, provider


def settings(**fields: Any) -> Settings:
    """Return settings for two servers in New Jersey, changed by `fields`."""
    given = {
        "testbed_id": "bed",
        "cloud_provider": "vultr",
        "regions": ["ewr"],
        "specs": "vc2-4c-8gb",
        "instances": 2,
        "operator_cidrs": [OPERATOR],
    }
    return Settings.model_validate({**given, **fields})


def region(wanted: Settings, peers: int = 0, cloud: Cloud | None = None, **args: Any) -> Declared:
    """Declare the region, and allow inbound traffic from its own hosts and `peers` hosts of other regions."""

    def program() -> pulumi.Output[Any]:
        made = VultrRegion("ewr", args_of(wanted, **args))
        await_servers(wanted, [made])
        own = {f"ewr-{n}": host.apply(lambda found: found.address) for n, host in enumerate(made.hosts)}
        made.authorize_ingress({**own, **{f"away-{n}": f"192.0.2.{n}" for n in range(100, 100 + peers)}})
        return pulumi.Output.all(hosts=pulumi.Output.all(*made.hosts), cost=made.hourly_cost_usd)

    return declare(program, cloud)


def rules(declared: Declared) -> list[tuple[str, str, str]]:
    """Return the rules of the firewall group as (protocol, port, network)."""
    return [(one["protocol"], one["port"], one["network"]) for one in declared.of_type("VultrFirewallRule").values()]


def test_a_region_is_servers_behind_a_firewall_group() -> None:
    declared = region(settings())
    numbers = {"SSHKey": 1, "FirewallGroup": 1, "VultrServer": 2, "VultrPower": 2, "VultrCensus": 1}
    assert {name: len(declared.of_type(name)) for name in numbers} == numbers
    server = declared.of_type("VultrServer")["ewr-1"]
    assert (server["kind"], server["plan"], server["region"]) == ("instances", "vc2-4c-8gb", "ewr")
    assert (server["os_id"], server["hostname"], server["label"]) == (2284, "ewr-1", "bed-ewr-1")
    assert server["firewall_group_id"] == "ewr-firewall-id"
    assert server["ssh_key_ids"] == ["ewr-key-id"]
    assert "ssh-ed25519 AAAAewr-1-host-key" in server["user_data"]["value"]


def test_servers_are_tagged_with_owner_and_expiry() -> None:
    tags = region(settings()).of_type("VultrServer")["ewr-0"]["tags"]
    assert tags == ["testbed_id=bed", "owner=ada", "expiry=2030-01-01T00:00:00+00:00", "role=monitoring"]


def test_operators_reach_ssh_and_peers_every_port() -> None:
    found = rules(region(settings(operator_cidrs=[OPERATOR, "2001:db8::/48"])))
    ssh = [("tcp", "22", OPERATOR), ("tcp", "22", "2001:db8::/48")]
    assert sorted(found) == sorted(
        ssh
        + [
            (protocol, port, f"{address}/32")
            for address in ("203.0.113.1", "203.0.113.2")
            for protocol, port in (("tcp", "1:65535"), ("udp", "1:65535"), ("icmp", ""))
        ]
    )


def test_a_firewall_group_names_fifteen_hosts_and_has_room_for_the_change_to_more() -> None:
    named, open_to_all = (set(region(settings(), peers=peers).of_type("VultrFirewallRule")) for peers in (13, 14))
    assert len(named) == 1 + 3 * 15
    # An update from one to the other, in either direction, has both for a while.
    assert len(named | open_to_all) == 50


def test_with_more_hosts_the_group_restricts_only_ssh(caplog: pytest.LogCaptureFixture) -> None:
    found = rules(region(settings(), peers=14))
    assert "has no room for 16 hosts" in caplog.text
    open_to_all = [("tcp", "1:21"), ("tcp", "23:65535"), ("udp", "1:65535"), ("icmp", "")]
    assert sorted(found) == sorted([("tcp", "22", OPERATOR), *((*rule, "0.0.0.0/0") for rule in open_to_all)])


def test_more_operators_than_a_group_has_rules_are_rejected() -> None:
    networks = [f"198.51.100.{number}/32" for number in range(47)]
    assert len(region(settings(operator_cidrs=networks[:46])).of_type("VultrFirewallRule")) == 50
    with pytest.raises(SettingsError, match=r"found 47 networks, expected at most 46: .* wider"):
        region(settings(operator_cidrs=networks))
    public = settings(operator_cidrs=networks[:24], grafana_public=True)
    with pytest.raises(SettingsError, match=r"found 24 networks, expected at most 23: "):
        region(public)
    region(public, monitoring=False)
    region(settings(operator_cidrs=networks, specs="vbm-4c-32gb"))  # bare metal has no group


def test_no_server_is_waited_for_until_all_are_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    after: dict[str, set[str]] = {}
    register = MockMonitor.RegisterResource

    def noted(monitor: MockMonitor, request: Any) -> Any:
        after[request.name] = {urn.rpartition("::")[2] for urn in request.dependencies}
        return register(monitor, request)

    monkeypatch.setattr(MockMonitor, "RegisterResource", noted)

    def program() -> pulumi.Output[Any]:
        both = [VultrRegion(name, args_of(settings(regions=[name]))) for name in ("ewr", "fra")]
        await_servers(settings(), both)
        return pulumi.Output.all(*both[0].hosts, *both[1].hosts)

    declare(program)
    assert {"ewr-0", "ewr-1", "fra-0", "fra-1"} <= after["vultr-census"]
    assert all("vultr-census" in after[f"{name}-state"] for name in ("ewr-0", "ewr-1", "fra-0", "fra-1"))


def test_servers_of_an_interrupted_update_are_named_with_the_command_that_removes_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    region(settings(), cloud=Cloud(strays=["vultr 4f0f (bed-ewr-7, ewr, 203.0.113.9)"]))
    assert "an interrupted update has left vultr 4f0f (bed-ewr-7, ewr, 203.0.113.9)" in caplog.text
    assert "python -m stacks.strays" in caplog.text
    caplog.clear()
    region(settings())
    assert "interrupted" not in caplog.text


def test_rules_for_stopped_peers_use_an_unused_address() -> None:
    def program() -> pulumi.Output[Any]:
        made = VultrRegion("ewr", args_of(settings()))
        await_servers(settings(), [made])
        made.authorize_ingress({"stopped": "", "away": "198.51.100.9"})
        return pulumi.Output.all(*made.hosts)

    networks = {network for _, port, network in rules(declare(program)) if port != "22"}
    assert networks == {"192.0.2.0/32", "198.51.100.9/32"}


def test_rules_of_a_host_keep_their_names_when_hosts_are_added() -> None:
    few, many = (set(region(settings(), peers=count).of_type("VultrFirewallRule")) for count in (0, 2))
    assert few < many
    assert "ewr-tcp-from-ewr-1" in few


def test_bare_metal_has_no_firewall_group() -> None:
    declared = region(settings(specs="vbm-8c-132gb"))
    server = declared.of_type("VultrServer")["ewr-0"]
    assert (server["kind"], server["plan"], server["os_id"]) == ("bare-metals", "vbm-8c-132gb", 2284)
    assert (server["ssh_key_ids"], server["firewall_group_id"]) == (["ewr-key-id"], "")
    assert declared.of_type("FirewallGroup") == {}
    assert {power["kind"] for power in declared.of_type("VultrPower").values()} == {"bare-metals"}


def test_a_public_grafana_is_open_to_operators_in_its_region_only() -> None:
    public = settings(grafana_public=True)
    assert ("tcp", "3000", OPERATOR) in rules(region(public))
    assert not [rule for rule in rules(region(public, monitoring=False)) if rule[1] == "3000"]


def test_region_exports_the_inventory_of_its_hosts() -> None:
    first, second = region(settings()).value["hosts"]
    assert (first.name, first.role, first.address) == ("ewr-0", "monitoring", "203.0.113.1")
    assert (second.provider, second.region, second.specs) == ("vultr", "ewr", "vc2-4c-8gb")
    assert (second.cpus, second.memory_mb, second.ssh_user, second.state) == (4, 8192, "ubuntu", "running")
    assert second.host_key == "ssh-ed25519 AAAAewr-1-host-key"


def test_stopped_servers_keep_their_address_and_price() -> None:
    declared = region(settings(state="stopped"))
    assert {power["state"] for power in declared.of_type("VultrPower").values()} == {"stopped"}
    assert [(host.state, host.address) for host in declared.value["hosts"]] == [
        ("stopped", "203.0.113.1"),
        ("stopped", "203.0.113.2"),
    ]
    assert declared.value["cost"] == region(settings()).value["cost"] == pytest.approx(2 * 40 / 672, abs=1e-6)


@pytest.mark.parametrize("plan", ["vc2-4c-8gb", "vbm-4c-32gb"])
def test_a_change_of_role_replaces_a_server(plan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    triggers: list[dict[str, Any]] = []
    register = MockMonitor.RegisterResource

    def noted(monitor: MockMonitor, request: Any) -> Any:
        if request.type.endswith(":VultrServer"):
            triggers[-1][request.name] = request.replacement_trigger
        return register(monitor, request)

    monkeypatch.setattr(MockMonitor, "RegisterResource", noted)
    changes: list[dict[str, Any]] = [{}, {"monitoring": False}, {"peers": 3}]
    for change in changes:
        triggers.append({})
        region(settings(specs=plan), **change)
    before, without, among_more = triggers
    assert [name for name in sorted(before) if without[name] != before[name]] == ["ewr-0"]
    assert among_more == before


def test_a_price_of_zero_is_unknown() -> None:
    assert region(settings(), cloud=Cloud(prices={"vc2-4c-8gb": 0.0})).value["cost"] is None
    assert hourly(None) is hourly(0) is None
    assert hourly(672) == 1.0


@pytest.mark.parametrize(
    ("plan", "function", "listed"),
    [("vc2-9c-9gb", "getPlan", "v2/plans"), ("vbm-9c-99gb", "getBareMetalPlan", "v2/plans-metal")],
)
def test_servers_of_a_withdrawn_plan_are_declared_and_their_price_is_unknown(
    plan: str, function: str, listed: str, caplog: pytest.LogCaptureFixture
) -> None:
    declared = region(settings(specs=plan), cloud=Cloud(silent=function))
    assert declared.value["cost"] is None
    assert {server["plan"] for server in declared.of_type("VultrServer").values()} == {plan}
    assert f"the price of {plan} (see https://api.vultr.com/{listed}) is unknown: " in caplog.text
    assert caplog.text.count("no results were found") == 1


def test_a_missing_operating_system_ends_the_program_with_a_plain_message() -> None:
    with pytest.raises(pulumi.RunError, match=r"its Ubuntu 24\.04 LTS x64: .*no results.*; https://my\.vultr\.com"):
        region(settings(), cloud=Cloud(silent="getOs"))


def test_the_operators_key_is_uploaded() -> None:
    assert region(settings()).of_type("SSHKey") == {"ewr-key": {"name": "bed-ewr", "sshKey": OPERATOR_KEY}}


def test_the_token_is_a_secret_of_the_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".vultr").write_text("T0KEN\n")
    (made,) = declare(lambda: provider(settings()).urn).resources
    assert made.inputs["apiKey"]["value"] == "T0KEN"
    assert (made.inputs["rateLimit"], made.inputs["retryLimit"]) == ("4000", "15")
    assert len(made.inputs["apiKey"]) == 2, "the value is wrapped with the mark of a secret"
    assert [key for key, value in made.inputs.items() if value == "T0KEN"] == []


def test_a_missing_token_is_reported_with_the_place_to_create_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SettingsError, match=r"cannot read Vultr's token from ~/.vultr: No such file.*settingsapi"):
        declare(lambda: provider(settings()).urn)

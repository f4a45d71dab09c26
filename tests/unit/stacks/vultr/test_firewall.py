"""Vultr firewall rules as resources on an emulated account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.vultr_account import IdleVultr

from benchmark.errors import InfrastructureError
from stacks.vultr.firewall import VultrFirewallRuleProvider

both_years = pytest.mark.parametrize("vultr", [2025, 2026], indirect=True)


def rule(vultr: IdleVultr, token: Path, **changed: Any) -> dict[str, Any]:
    usual = {
        "token_file": str(token),
        "firewall_group_id": vultr.add("FirewallGroup", {}),
        "protocol": "tcp",
        "network": "203.0.113.0/24",
        "port": "22",
        "notes": "ssh",
    }
    return usual | changed


@both_years
@pytest.mark.parametrize(
    "changed",
    [{}, {"protocol": "icmp", "port": ""}, {"network": "2001:db8::/48", "port": "1:65535"}, {"network": "0.0.0.0/0"}],
)
def test_a_rule_is_created_read_and_deleted(vultr: IdleVultr, token: Path, changed: dict[str, str]) -> None:
    provider, props = VultrFirewallRuleProvider(), rule(vultr, token, **changed)
    made = provider.create(props)
    found = provider.read(made.id, props)
    assert (found.id, found.outs) == (made.id, props)
    assert provider.diff(made.id, found.outs, props).changes is False
    provider.delete(made.id, props)
    assert vultr.rules(props["firewall_group_id"]) == []
    assert provider.read(made.id, props).id is None
    provider.delete(made.id, props)  # it is gone: nothing to do


def test_a_rule_is_imported_from_its_id_and_group(vultr: IdleVultr, token: Path) -> None:
    props = rule(vultr, token)
    made = VultrFirewallRuleProvider().create(props)
    assert VultrFirewallRuleProvider().read(made.id, props | {"port": "", "notes": ""}).outs == props


def test_a_rule_changed_elsewhere_and_one_in_a_deleted_group_are_replaced(vultr: IdleVultr, token: Path) -> None:
    provider, props = VultrFirewallRuleProvider(), rule(vultr, token)
    made = provider.create(props)
    vultr.put(made.id, vultr.things[made.id].properties | {"subnet": "198.51.100.0"})
    outs = provider.read(made.id, props).outs
    found = provider.diff(made.id, outs, props)
    assert (found.replaces, found.delete_before_replace) == (["network"], True)
    assert provider.read(made.id, props | {"firewall_group_id": "gone"}).id is None


@pytest.mark.parametrize("name", ["firewall_group_id", "protocol", "network", "port", "notes"])
def test_a_changed_rule_is_deleted_before_its_replacement_is_created(vultr: IdleVultr, token: Path, name: str) -> None:
    props = rule(vultr, token)
    found = VultrFirewallRuleProvider().diff("1", props, props | {name: "other"})
    assert (found.replaces, found.delete_before_replace) == ([name], True)


def test_a_rule_that_an_interrupted_update_has_left_is_adopted(vultr: IdleVultr, token: Path) -> None:
    provider, props = VultrFirewallRuleProvider(), rule(vultr, token)
    left = provider.create(props).id
    assert provider.create(props).id == left
    with pytest.raises(InfrastructureError, match="This rule is already defined"):
        provider.create(props | {"notes": "of somebody else"})


def test_a_rejected_rule_is_an_error(vultr: IdleVultr, token: Path) -> None:
    with pytest.raises(InfrastructureError, match="404 Invalid firewall group"):
        VultrFirewallRuleProvider().create(rule(vultr, token, firewall_group_id="gone"))

"""Vultr firewall rules as resources on the API: Vultr's Pulumi provider recreates them at every update.

It takes the `source` that the API reports since April 2026, the network itself, for a change:
https://github.com/vultr/terraform-provider-vultr/issues/722
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from ipaddress import ip_network
from typing import TypedDict

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider

from benchmark.errors import InfrastructureError
from stacks.errors import hide_traceback
from stacks.vultr.api import Rule, UnclearError, VultrApi

_DEFINED = "already defined"


class RuleProps(TypedDict):
    """Properties of the resource; a change of any of them but `token_file` replaces the rule."""

    token_file: str
    firewall_group_id: str
    protocol: str
    network: str
    """Source of the traffic that is admitted, such as 203.0.113.0/24."""
    port: str
    """A port, a range such as 1:65535, or empty for protocols without ports."""
    notes: str


class VultrFirewallRule(Resource, module="geobench", name="VultrFirewallRule"):
    """A rule of a firewall group, which admits inbound traffic."""

    def __init__(self, name: str, props: Mapping[str, object], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(VultrFirewallRuleProvider(), name, props, opts)


class VultrFirewallRuleProvider(ResourceProvider):
    """Creates, reads and deletes a rule."""

    serialize_as_secret_always = False

    @hide_traceback
    def create(self, props: RuleProps) -> CreateResult:
        api, group = VultrApi(props["token_file"]), props["firewall_group_id"]
        network = ip_network(props["network"])
        body = {
            "ip_type": f"v{network.version}",
            "protocol": props["protocol"],
            "subnet": str(network.network_address),
            "subnet_size": network.prefixlen,
            "notes": props["notes"],
        } | ({"port": props["port"]} if props["port"] else {})
        try:
            reply = api.request("POST", f"/firewalls/{group}/rules", body)
        except InfrastructureError as error:
            # An interrupted update, or an answer that was lost, may have left the rule.
            if not isinstance(error, UnclearError) and _DEFINED not in str(error):
                raise
            left = [rule for rule in api.rules(group) if _observed(rule) == _compared(props)]
            if not left:
                raise
            return CreateResult(str(left[0]["id"]), {**props})
        made = (reply or {}).get("firewall_rule", {})
        if "id" not in made:
            raise InfrastructureError(f"Vultr: POST /firewalls/{group}/rules: the answer has no rule; try again")
        return CreateResult(str(made["id"]), {**props})

    @hide_traceback
    def read(self, id_: str, props: RuleProps) -> ReadResult:
        reply = VultrApi(props["token_file"]).request("GET", f"/firewalls/{props['firewall_group_id']}/rules/{id_}")
        found = (reply or {}).get("firewall_rule")
        return ReadResult(id_, {**props, **_observed(found)}) if found else ReadResult(None, {**props})

    @hide_traceback
    def diff(self, _id: str, olds: RuleProps, news: RuleProps) -> DiffResult:
        compared = ("firewall_group_id", "protocol", "network", "port", "notes")
        replaces = [name for name in compared if olds.get(name) != news.get(name)]
        changed = bool(replaces) or olds.get("token_file") != news.get("token_file")
        # The group may be full, without room for a changed rule beside its former self.
        return DiffResult(changes=changed, replaces=replaces, delete_before_replace=True)

    @hide_traceback
    def delete(self, id_: str, props: RuleProps) -> None:
        VultrApi(props["token_file"]).request("DELETE", f"/firewalls/{props['firewall_group_id']}/rules/{id_}")


def _observed(rule: Rule) -> dict[str, str]:
    """Return the properties that the API reports, in the form of RuleProps."""
    network = f"{rule.get('subnet', '')}/{rule.get('subnet_size', '')}"
    with contextlib.suppress(ValueError):  # else shown as a change
        network = str(ip_network(network))
    return {
        "protocol": rule.get("protocol", ""),
        "network": network,
        "port": rule.get("port") or "",
        "notes": rule.get("notes") or "",
    }


def _compared(props: RuleProps) -> dict[str, str]:
    return {name: props[name] for name in ("protocol", "network", "port", "notes")}

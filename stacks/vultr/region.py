"""A Vultr region: servers of a plan, cloud compute or bare metal (plans that start with `vbm-`).

Firewall. A firewall group of Vultr holds 50 rules and names sources only by address: a rule for each network of the
operators, three (TCP, UDP, ICMP) for each host of the testbed. With more than about 15 hosts these do not fit; then the
group restricts SSH to the operators and leaves the other ports to the hosts' own firewall (stacks/cloud/bootstrap.sh),
which knows every host, and a warning is printed. Bare metal has no firewall groups: there the hosts' own firewall is
the only one. https://docs.vultr.com/products/network/firewall

Resources. Servers and firewall rules are resources of this project, as Vultr's Pulumi provider cannot handle the API's
answers (stacks/vultr/server.py, firewall.py); groups, keys, prices and systems are the provider's.

Expiry. A host halts itself when its time_to_live is over, but a halted Vultr server is still billed: only
`pulumi destroy` ends the cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypedDict

import ediri_vultr as vultr
import pulumi

from benchmark.errors import SettingsError
from benchmark.inventory import EmulatedRoundTrip, Host, HostCapabilities
from benchmark.settings import Settings
from stacks.cloud.region_args import (
    CloudHost,
    CloudRegionArgs,
    cloud_regions,
    credentials_file,
    look_up,
    look_up_price,
    spec_of,
    total_cost,
)
from stacks.region import Plan
from stacks.vultr.api import DEFAULT_TOKEN_FILE, Kind, read_token
from stacks.vultr.firewall import VultrFirewallRule
from stacks.vultr.power import VultrPower
from stacks.vultr.server import VultrCensus, VultrServer

UBUNTU = "Ubuntu 24.04 LTS x64"
RULES_PER_GROUP = 50
SPARE_RULES = 4
"""Left unused: an update creates new rules before it removes old ones, for changed networks of the operators and when
hosts become too many to be named, or few enough."""
BILLED_HOURS = 672.0
"""A monthly price covers this many hours: https://docs.vultr.com/support/platform/billing"""

# Vultr answers thirty requests per second, a large update needs more; by default the provider gives up in two seconds.
# Its option `rate_limit` is the longest wait between two attempts.
_RETRY_MS, _RETRIES = 4000, 15
_PEER_PORTS = {"tcp": "1:65535", "udp": "1:65535", "icmp": ""}


class _System(TypedDict):
    id: str


class _Plan(TypedDict):
    monthlyCost: float


def regions(plan: Plan, names: Sequence[str]) -> list[VultrRegion]:
    """Declare the regions `names`; see `stacks`."""
    declared = cloud_regions(plan, "vultr", names, VultrRegion, provider(plan.settings))
    await_servers(plan.settings, declared)
    return declared


def await_servers(settings: Settings, declared: Sequence[VultrRegion]) -> None:
    """Declare the census of the servers of all regions and, after it, their power state, which is waited for.

    Pulumi runs four operations of these resources at once: no server is waited for until all are ordered.
    """
    servers = [server.id for region in declared for server in region.servers]
    census = VultrCensus("vultr-census", servers, kind_of(settings), settings.testbed_id, _token_file(settings))
    census.strays.apply(_warn_about_strays)
    for region in declared:
        region.await_servers(census)


def provider(settings: Settings) -> vultr.Provider:
    """Declare the provider of all Vultr regions; the token is a secret of the state. Raises SettingsError."""
    token = read_token(_token_file(settings) or DEFAULT_TOKEN_FILE)
    return vultr.Provider("vultr", api_key=pulumi.Output.secret(token), rate_limit=_RETRY_MS, retry_limit=_RETRIES)


class VultrRegion(pulumi.ComponentResource):
    """The servers of one region, the SSH key for their login, and their firewall group.

    Raises SettingsError for more operator_cidrs than a group has rules.
    """

    round_trips: Mapping[str, EmulatedRoundTrip] = {}

    def __init__(self, name: str, args: CloudRegionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("geobench:vultr:Region", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        invoke = pulumi.InvokeOptions(parent=self)
        self._plan = spec_of(args.settings, "vultr")
        self._metal = kind_of(args.settings) == "bare-metals"
        self._token_file = str(_token_file(args.settings) or DEFAULT_TOKEN_FILE)
        self.capabilities = HostCapabilities(
            ephemeral=True, boot_timeout_s=600.0 if self._metal else 60.0, stop_keeps_cost=True
        )
        self._group = None if self._metal else self._firewall_group()
        self._key = vultr.SSHKey(
            f"{name}-key", name=f"{args.settings.testbed_id}-{name}", ssh_key=args.public_key, opts=self._child
        )
        system = look_up(
            _System,
            "vultr:index/getOs:getOs",
            {"filters": [{"name": "name", "values": [UBUNTU]}]},
            invoke,
            f"Vultr did not return the number of its {UBUNTU}",
            "https://my.vultr.com/settings/#settingsapi shows the token and the addresses that may use it",
        )
        self._os = system.apply(lambda found: int(found["id"]))
        self.servers = [self._server(host) for host in args.hosts]
        self.hosts: list[pulumi.Output[Host]] = []
        """Filled by `await_servers`."""
        function, listed = ("getBareMetalPlan", "plans-metal") if self._metal else ("getPlan", "plans")
        price = look_up_price(
            _Plan,
            f"vultr:index/{function}:{function}",
            {"filters": [{"name": "id", "values": [self._plan]}]},
            invoke,
            f"{self._plan} (see https://api.vultr.com/v2/{listed})",
        ).apply(lambda found: hourly(found["monthlyCost"]) if found else None)
        self.hourly_cost_usd = total_cost([price] * len(args.hosts))
        self.grafana_password = args.grafana_password

    def await_servers(self, census: VultrCensus) -> None:
        """Declare the power state of the servers, to be waited for once the `census` is taken, and set `hosts`."""
        opts = pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=[census]))
        for host, server in zip(self._args.hosts, self.servers, strict=True):
            power = VultrPower(
                f"{host.name}-state",
                server.id,
                kind_of(self._args.settings),
                self._args.settings.state,
                self._plan,
                _token_file(self._args.settings),
                opts=opts,
            )
            facts = pulumi.Output.all(
                host_key=host.host_key,
                address=power.address,
                state=power.state,
                cpus=power.cpus,
                memory_mb=power.memory_mb,
            )
            self.hosts.append(facts.apply(partial(self._describe, host)))
        hosts = [host.apply(Host.model_dump) for host in self.hosts]
        self.register_outputs({"hosts": hosts, "hourly_cost_usd": self.hourly_cost_usd})

    def _describe(self, host: CloudHost, known: Mapping[str, Any]) -> Host:
        return host.describe("vultr", self._args.region, self._plan, self.capabilities, **known)

    def authorize_ingress(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Allow inbound traffic from every host of the testbed; see `stacks.region.Region`."""
        if self._group is None:
            return
        args = self._args
        rules_left = RULES_PER_GROUP - SPARE_RULES - len(args.operator_ports) * len(args.settings.operator_cidrs)
        if rules_left < len(_PEER_PORTS) * len(addresses):
            pulumi.log.warn(
                f"{args.region}: a Vultr firewall group has no room for {len(addresses)} hosts; it restricts SSH to "
                "operator_cidrs, all other ports are protected by the hosts' own firewall alone"
            )
            self._rule(self._group, "lower-ports", "0.0.0.0/0", "tcp", "1:21")
            self._rule(self._group, "upper-ports", "0.0.0.0/0", "tcp", "23:65535")
            self._rule(self._group, "udp", "0.0.0.0/0", "udp", "1:65535")
            self._rule(self._group, "icmp", "0.0.0.0/0", "icmp", "")
            return
        for index, (name, address) in enumerate(addresses.items()):
            network: pulumi.Output[str] = pulumi.Output.from_input(address).apply(partial(peer_network, index))
            for protocol, port in _PEER_PORTS.items():
                self._rule(self._group, f"{protocol}-from-{name}", network, protocol, port)

    def _firewall_group(self) -> vultr.FirewallGroup:
        """Declare the group with the rules for the operators; `authorize_ingress` adds those for the hosts."""
        ports, networks = self._args.operator_ports, self._args.settings.operator_cidrs
        most = (RULES_PER_GROUP - SPARE_RULES) // len(ports)
        if len(networks) > most:
            raise SettingsError(
                f"operator_cidrs: found {len(networks)} networks, expected at most {most}: Vultr takes "
                f"{RULES_PER_GROUP} rules in a firewall group, one for each network and open service; use wider "
                "networks, such as 203.0.113.0/24"
            )
        description = f"testbed {self._args.settings.testbed_id}, {self._args.region}"
        group = vultr.FirewallGroup(f"{self._name}-firewall", description=description, opts=self._child)
        for service, port in ports.items():
            for network in networks:
                self._rule(group, f"{service}-from-{network}", network, "tcp", str(port))
        return group

    def _rule(
        self, group: vultr.FirewallGroup, purpose: str, network: pulumi.Input[str], protocol: str, port: str
    ) -> None:
        VultrFirewallRule(
            f"{self._name}-{purpose}",
            {
                "token_file": self._token_file,
                "firewall_group_id": group.id,
                "protocol": protocol,
                "network": pulumi.Output.from_input(network).apply(lambda found: str(ip_network(found))),
                "port": port,
                "notes": purpose,
            },
            opts=self._child,
        )

    def _server(self, host: CloudHost) -> VultrServer:
        settings = self._args.settings
        tags = {**self._args.tags, "role": host.role}
        # A newer system or first-boot script is for new hosts. Existing ones stay as they are, except for another role,
        # as Prometheus is installed by the first boot alone.
        lifecycle = pulumi.ResourceOptions(ignore_changes=["os_id", "user_data"], replacement_trigger=host.role)
        return VultrServer(
            host.name,
            {
                "kind": kind_of(settings),
                "token_file": self._token_file,
                "plan": self._plan,
                "region": self._args.region,
                "os_id": self._os,
                "hostname": host.name,
                "label": f"{settings.testbed_id}-{host.name}",
                "tags": [pulumi.Output.concat(name, "=", value) for name, value in tags.items()],  # Vultr's are words
                "user_data": host.user_data,
                "ssh_key_ids": [self._key.id],
                "firewall_group_id": self._group.id if self._group else "",
            },
            opts=pulumi.ResourceOptions.merge(self._child, lifecycle),
        )


def kind_of(settings: Settings) -> Kind:
    """Return the kind of the settings' servers, as the API names it."""
    return "bare-metals" if spec_of(settings, "vultr").startswith("vbm-") else "instances"


def _token_file(settings: Settings) -> Path | None:
    return credentials_file(settings, "vultr")


def _warn_about_strays(strays: Sequence[str]) -> None:
    if strays:
        pulumi.log.warn(
            f"an interrupted update has left {', '.join(strays)}, which this stack does not use and you pay "
            "for; `python -m stacks.strays` shows them and removes them with --remove"
        )


def hourly(monthly_usd: float | None) -> float | None:
    """Return the price of an hour; a missing or zero price is unknown."""
    return float(monthly_usd) / BILLED_HOURS if monthly_usd else None


def peer_network(index: int, address: str) -> str:
    """Return the network of one peer; for a stopped one, without address, one reserved for documentation (RFC 5737)."""
    try:
        return str(ip_network(ip_address(address)))
    except ValueError:
        return f"192.0.2.{index}/32"

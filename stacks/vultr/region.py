"""A region of Vultr: servers of a plan, cloud compute or bare metal (plans that begin with `vbm-`).

Who gets in. A firewall group of Vultr holds 50 rules and names sources only by address: a rule for each operator's
network, three (TCP, UDP, ICMP) for each host of the testbed. Where these do not fit, with more than about 15 hosts, the
group keeps SSH to the operators and leaves the other ports to the hosts' own firewall (cloud/bootstrap.sh), which
knows the hosts one by one; a warning says so. Bare metal has no firewall of Vultr's at all: there, too, the host's own
is the only one. https://docs.vultr.com/products/network/firewall

The life time. A host halts itself when its time is over, but a halted server of Vultr costs as much as a running one:
only `pulumi destroy` ends the costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypedDict

import ediri_vultr as vultr
import pulumi

from benchmark.errors import SettingsError
from benchmark.settings import Settings
from stacks.cloud.cloud_init import LOGIN
from stacks.cloud.region_args import (
    CloudHost,
    CloudRegionArgs,
    credentials_file,
    look_up,
    look_up_price,
    spec_of,
    total_cost,
)
from stacks.vultr.power import DEFAULT_TOKEN_FILE, VultrPower, read_token

UBUNTU = "Ubuntu 24.04 LTS x64"
RULES_PER_GROUP = 50
SPARE_RULES = 4
"""Left unused: when hosts become too many to be named, or few enough, an update makes the new rules before it removes
the old ones, as it does for a changed network of the operators'."""
BILLED_HOURS = 672.0
"""A month's price is that of so many hours: https://docs.vultr.com/support/platform/billing"""

# Vultr answers thirty requests a second, a large update asks for more; the provider by itself gives up in two seconds.
# What it calls its rate limit is the longest wait between two tries.
_RETRY_MS, _RETRIES = 4000, 15
_PEER_PORTS = {"tcp": "1:65535", "udp": "1:65535", "icmp": ""}


def provider(settings: Settings) -> vultr.Provider:
    """Declare the one provider of all Vultr regions; the token is a secret of the state. Raises SettingsError."""
    token = read_token(credentials_file(settings, "vultr") or DEFAULT_TOKEN_FILE)
    return vultr.Provider("vultr", api_key=pulumi.Output.secret(token), rate_limit=_RETRY_MS, retry_limit=_RETRIES)


class VultrRegion(pulumi.ComponentResource):
    """The servers of one region, the key they are logged in to with, and their firewall group.

    Raises SettingsError for more operator_cidrs than a group has rules.
    """

    def __init__(self, name: str, args: CloudRegionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("geobench:vultr:Region", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._invoke = pulumi.InvokeOptions(parent=self)
        self._plan = spec_of(args.settings, "vultr")
        self._metal = self._plan.startswith("vbm-")
        self._check_operators()
        self._group = None if self._metal else self._firewall_group()
        self._key = vultr.SSHKey(
            f"{name}-key", name=f"{args.settings.testbed_id}-{name}", ssh_key=args.public_key, opts=self._child
        )
        self._os = self._system()
        self.hosts: list[pulumi.Output[dict[str, Any]]] = [
            self._metal_server(host) if self._metal else self._instance(host) for host in args.hosts
        ]
        self.hourly_cost_usd = total_cost([self._hourly_price()] * len(args.hosts))
        self.grafana_password = args.grafana_password
        self.register_outputs({"hosts": self.hosts, "hourly_cost_usd": self.hourly_cost_usd})

    def admit(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Let in every host of the testbed by its address; see `stacks.Region`."""
        if self._group is None:
            return
        if self._rules_left() < len(_PEER_PORTS) * len(addresses):
            pulumi.log.warn(
                f"{self._args.region}: a firewall group of Vultr cannot name {len(addresses)} hosts; it keeps SSH to "
                "operator_cidrs, all other ports are guarded by the hosts' own firewall alone"
            )
            self._rule("lower-ports", "0.0.0.0/0", "tcp", "1:21")
            self._rule("upper-ports", "0.0.0.0/0", "tcp", "23:65535")
            self._rule("udp", "0.0.0.0/0", "udp", "1:65535")
            self._rule("icmp", "0.0.0.0/0", "icmp", "")
            return
        for index, (name, address) in enumerate(addresses.items()):
            network: pulumi.Output[str] = pulumi.Output.from_input(address).apply(partial(_peer, index))
            for protocol, port in _PEER_PORTS.items():
                self._rule(f"{protocol}-from-{name}", network, protocol, port)

    def _rules_left(self) -> int:
        return RULES_PER_GROUP - SPARE_RULES - len(self._args.operator_ports) * len(self._args.settings.operator_cidrs)

    def _check_operators(self) -> None:
        found = len(self._args.settings.operator_cidrs)
        most = (RULES_PER_GROUP - SPARE_RULES) // len(self._args.operator_ports)
        if not self._metal and found > most:
            raise SettingsError(
                f"operator_cidrs: found {found} networks, expected at most {most}: Vultr "
                f"takes {RULES_PER_GROUP} rules in a firewall group, one for each network and open service; write "
                "wider networks, such as 203.0.113.0/24"
            )

    def _firewall_group(self) -> vultr.FirewallGroup:
        description = f"testbed {self._args.settings.testbed_id}, {self._args.region}"
        self._group = group = vultr.FirewallGroup(f"{self._name}-firewall", description=description, opts=self._child)
        for service, port in self._args.operator_ports.items():
            for network in self._args.settings.operator_cidrs:
                self._rule(f"{service}-from-{network}", network, "tcp", str(port))
        return group

    def _rule(self, purpose: str, network: pulumi.Input[str], protocol: str, port: str) -> None:
        assert self._group is not None
        source: pulumi.Output[IPv4Network | IPv6Network] = pulumi.Output.from_input(network).apply(ip_network)
        vultr.FirewallRule(
            f"{self._name}-{purpose}",
            firewall_group_id=self._group.id,
            ip_type=source.apply(lambda found: f"v{found.version}"),
            protocol=protocol,
            subnet=source.apply(lambda found: str(found.network_address)),
            subnet_size=source.apply(lambda found: found.prefixlen),
            port=port or None,
            notes=purpose,
            # A changed one may not exist beside its former self: all the group's rules can be taken.
            opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(delete_before_replace=True)),
        )

    def _instance(self, host: CloudHost) -> pulumi.Output[dict[str, Any]]:
        group = self._group.id if self._group else None
        # Whoever has the link to the server's console, which is an output, needs no password.
        secret = pulumi.ResourceOptions(additional_secret_outputs=["kvm"])
        opts = pulumi.ResourceOptions.merge(self._kept(host), secret)
        server = vultr.Instance(
            host.name, **self._ordered(host), firewall_group_id=group, backups="disabled", opts=opts
        )
        power = self._power(host, server)
        facts = pulumi.Output.all(server.main_ip, host.host_key, power.state, server.vcpu_count, server.ram)
        return facts.apply(lambda known: self._host(host, *known))

    def _metal_server(self, host: CloudHost) -> pulumi.Output[dict[str, Any]]:
        server = vultr.BareMetalServer(host.name, **self._ordered(host), opts=self._kept(host))
        power = self._power(host, server)
        memory = server.ram.apply(_megabytes)
        facts = pulumi.Output.all(server.main_ip, host.host_key, power.state, server.cpu_count, memory)
        return facts.apply(lambda known: self._host(host, *known))

    def _ordered(self, host: CloudHost) -> _Order:
        """What servers of both kinds are ordered with."""
        return _Order(
            plan=self._plan,
            region=self._args.region,
            os_id=self._os,
            hostname=host.name,
            label=f"{self._args.settings.testbed_id}-{host.name}",
            tags=self._tags(host),
            user_data=host.user_data,
            ssh_key_ids=[self._key.id],
            enable_ipv6=False,
            activation_email=False,
        )

    def _kept(self, host: CloudHost) -> pulumi.ResourceOptions:
        """A newer system or first-start script is for new hosts; running ones stay as they are, but for another role.

        Prometheus is what a first start alone installs.
        """
        kept = pulumi.ResourceOptions(ignore_changes=["os_id", "user_data"], replacement_trigger=host.role)
        return pulumi.ResourceOptions.merge(self._child, kept)

    def _power(self, host: CloudHost, server: pulumi.CustomResource) -> VultrPower:
        return VultrPower(
            f"{host.name}-state",
            server.id,
            "bare-metals" if self._metal else "instances",
            self._args.settings.state,
            credentials_file(self._args.settings, "vultr"),
            opts=self._child,
        )

    def _tags(self, host: CloudHost) -> list[pulumi.Input[str]]:
        """Vultr's tags are words: each is written as name=value."""
        tags = {**self._args.tags, "role": host.role}
        return [pulumi.Output.concat(name, "=", value) for name, value in tags.items()]

    def _host(
        self, host: CloudHost, address: str, host_key: str, state: str, cpus: int, memory_mb: int | None
    ) -> dict[str, Any]:
        return {
            "name": host.name,
            "provider": "vultr",
            "region": self._args.region,
            "specs": self._plan,
            "address": address,
            "ssh_user": LOGIN,
            "host_key": host_key,
            "role": host.role,
            "state": state,
            "cpus": cpus,
            "memory_mb": memory_mb,
        }

    def _system(self) -> pulumi.Output[int]:
        asked = {"filters": [{"name": "name", "values": [UBUNTU]}]}
        problem = f"Vultr did not tell the number of its {UBUNTU}"
        remedy = "https://my.vultr.com/settings/#settingsapi shows the token and the addresses that may use it"
        return look_up("vultr:index/getOs:getOs", asked, self._invoke, problem, remedy).apply(lambda os: int(os["id"]))

    def _hourly_price(self) -> pulumi.Output[float | None]:
        asked = {"filters": [{"name": "id", "values": [self._plan]}]}
        function, listed = ("getBareMetalPlan", "plans-metal") if self._metal else ("getPlan", "plans")
        what = f"{self._plan} (see https://api.vultr.com/v2/{listed})"
        answer = look_up_price(f"vultr:index/{function}:{function}", asked, self._invoke, what)
        return answer.apply(lambda plan: hourly(plan["monthlyCost"]) if plan else None)


class _Order(TypedDict):
    """For the arguments of two classes of the SDK, which checks them by these types."""

    plan: str
    region: str
    os_id: pulumi.Output[int]
    hostname: str
    label: str
    tags: list[pulumi.Input[str]]
    user_data: pulumi.Output[str]
    ssh_key_ids: list[pulumi.Input[str]]
    enable_ipv6: bool
    activation_email: bool


def hourly(monthly_usd: float | None) -> float | None:
    """Return the price of an hour; a price that is missing or zero is unknown."""
    return float(monthly_usd) / BILLED_HOURS if monthly_usd else None


def _peer(index: int, address: str) -> str:
    """Return the network of one peer; a stopped one has no address, and its rules lead to nobody's (RFC 5737)."""
    try:
        return str(ip_network(ip_address(address)))
    except ValueError:
        return f"192.0.2.{index}/32"


def _megabytes(text: str) -> int | None:
    """Read bare metal's memory, such as `32768 MB`."""
    number = text.split()[0] if text.split() else ""
    return int(number) if number.isdecimal() else None

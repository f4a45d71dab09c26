"""A Vultr region: servers of a plan, cloud compute or bare metal (plans that start with `vbm-`).

Firewall. A firewall group of Vultr holds 50 rules and names sources only by address: a rule for each network of the
operators, three (TCP, UDP, ICMP) for each host of the testbed. With more than about 15 hosts these do not fit; then the
group restricts SSH to the operators and leaves the other ports to the hosts' own firewall (stacks/cloud/bootstrap.sh),
which knows every host, and a warning is printed. Bare metal has no firewall groups: there the hosts' own firewall is
the only one. https://docs.vultr.com/products/network/firewall

Expiry. A host halts itself when its time_to_live is over, but a halted Vultr server is still billed: only
`pulumi destroy` ends the cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypedDict

import ediri_vultr as vultr
import pulumi

from benchmark.errors import SettingsError
from benchmark.inventory import Host, HostCapabilities, HostHelp
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
from stacks.region import Plan, Region
from stacks.vultr.power import DEFAULT_TOKEN_FILE, VultrPower, read_token

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


_HELP = HostHelp(
    unreachable=f"{HostHelp().unreachable}. If that fails with `instance not found`, see docs/clouds.md, section "
    "`A server that Vultr no longer has`"
)


def regions(plan: Plan, names: Sequence[str]) -> list[Region]:
    """Declare the regions `names`; see `stacks`."""
    return cloud_regions(plan, "vultr", names, VultrRegion, provider(plan.settings))


def provider(settings: Settings) -> vultr.Provider:
    """Declare the provider of all Vultr regions; the token is a secret of the state. Raises SettingsError."""
    token = read_token(credentials_file(settings, "vultr") or DEFAULT_TOKEN_FILE)
    return vultr.Provider("vultr", api_key=pulumi.Output.secret(token), rate_limit=_RETRY_MS, retry_limit=_RETRIES)


class VultrRegion(pulumi.ComponentResource):
    """The servers of one region, the SSH key for their login, and their firewall group.

    Raises SettingsError for more operator_cidrs than a group has rules.
    """

    def __init__(self, name: str, args: CloudRegionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("geobench:vultr:Region", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        invoke = pulumi.InvokeOptions(parent=self)
        self._plan = spec_of(args.settings, "vultr")
        self._metal = self._plan.startswith("vbm-")
        self.capabilities = HostCapabilities(
            ephemeral=True, boot_timeout_s=600.0 if self._metal else 60.0, stop_keeps_cost=True, help=_HELP
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
        self.hosts = [self._server(host) for host in args.hosts]
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
        hosts = [host.apply(Host.model_dump) for host in self.hosts]
        self.register_outputs({"hosts": hosts, "hourly_cost_usd": self.hourly_cost_usd})

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
        source: pulumi.Output[IPv4Network | IPv6Network] = pulumi.Output.from_input(network).apply(ip_network)
        vultr.FirewallRule(
            f"{self._name}-{purpose}",
            firewall_group_id=group.id,
            ip_type=source.apply(lambda found: f"v{found.version}"),
            protocol=protocol,
            subnet=source.apply(lambda found: str(found.network_address)),
            subnet_size=source.apply(lambda found: found.prefixlen),
            port=port or None,
            notes=purpose,
            # The group may be full, without room for a changed rule beside its former self.
            opts=pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(delete_before_replace=True)),
        )

    def _server(self, host: CloudHost) -> pulumi.Output[Host]:
        settings, region = self._args.settings, self._args.region
        tags = {**self._args.tags, "role": host.role}
        order = _Order(
            plan=self._plan,
            region=region,
            os_id=self._os,
            hostname=host.name,
            label=f"{settings.testbed_id}-{host.name}",
            tags=[pulumi.Output.concat(name, "=", value) for name, value in tags.items()],  # Vultr's tags are words
            user_data=host.user_data,
            ssh_key_ids=[self._key.id],
            enable_ipv6=False,
            activation_email=False,
        )
        # A newer system or first-boot script is for new hosts. Existing ones stay as they are, except for another role,
        # as Prometheus is installed by the first boot alone.
        lifecycle = pulumi.ResourceOptions(ignore_changes=["os_id", "user_data"], replacement_trigger=host.role)
        opts = pulumi.ResourceOptions.merge(self._child, lifecycle)

        def megabytes(text: str) -> int | None:  # bare metal has text, such as `32768 MB`
            number = text.partition(" ")[0]
            return int(number) if number.isdecimal() else None

        if self._group is None:
            metal = vultr.BareMetalServer(host.name, **order, opts=opts)
            server: pulumi.CustomResource = metal
            memory: pulumi.Output[int] | pulumi.Output[int | None]
            address, cpus, memory = metal.main_ip, metal.cpu_count, metal.ram.apply(megabytes)
        else:
            # The link to the server's console, an output, works without a password.
            opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(additional_secret_outputs=["kvm"]))
            compute = vultr.Instance(
                host.name, **order, firewall_group_id=self._group.id, backups="disabled", opts=opts
            )
            server = compute
            address, cpus, memory = compute.main_ip, compute.vcpu_count, compute.ram
        power = VultrPower(
            f"{host.name}-state",
            server.id,
            "bare-metals" if self._metal else "instances",
            settings.state,
            credentials_file(settings, "vultr"),
            opts=self._child,
        )

        facts = pulumi.Output.all(
            host_key=host.host_key, address=address, state=power.state, cpus=cpus, memory_mb=memory
        )
        return facts.apply(lambda known: host.describe("vultr", region, self._plan, self.capabilities, **known))


class _Order(TypedDict):
    """Inputs of servers of both kinds."""

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
    """Return the price of an hour; a missing or zero price is unknown."""
    return float(monthly_usd) / BILLED_HOURS if monthly_usd else None


def peer_network(index: int, address: str) -> str:
    """Return the network of one peer; for a stopped one, without address, one reserved for documentation (RFC 5737)."""
    try:
        return str(ip_network(ip_address(address)))
    except ValueError:
        return f"192.0.2.{index}/32"

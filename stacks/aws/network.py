"""The network of one AWS region and its firewall.

A security group can name another group only within its region, and hosts use public addresses, which no group matches
even within one. So each region keeps the addresses of all the testbed's hosts in managed prefix lists: these are
changed in place when hosts come or change their addresses, where a rule for each pair of hosts would be a resource for
each pair. A list counts with its full size against the 60 rules of a group, so each list has 60 entries and its own
group; with the group for the operators that makes 240 hosts in AWS's default of five groups for each instance. The
hosts' own firewall (stacks/cloud/bootstrap.sh) is closed as well.
https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from benchmark.errors import SettingsError
from stacks.cloud.region_args import CloudRegionArgs

RULES_PER_GROUP = 60
DEFAULT_GROUPS = 5
NOBODY = "192.0.2.0/32"
"""The entry of a list without hosts, from a network for documentation (RFC 5737): for the provider, no entries mean to
keep the present ones. https://github.com/hashicorp/terraform-provider-aws/issues/34682"""


class AwsNetwork:
    """A VPC with a subnet in each of `zones` and the security groups of its hosts; children of `parent`.

    Raises SettingsError for more operator_cidrs than a group has rules.
    """

    def __init__(self, name: str, args: CloudRegionArgs, zones: Sequence[str], parent: pulumi.Resource) -> None:
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=parent)
        self._check_operators()
        self._vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block="10.0.0.0/16",
            enable_dns_support=True,
            enable_dns_hostnames=True,
            region=args.region,
            tags=self.tags("vpc"),
            opts=self._child,
        )
        self.subnets = []
        for zone in zones:
            letter = zone.removeprefix(args.region)
            subnet = aws.ec2.Subnet(
                f"{name}-subnet-{letter}",
                vpc_id=self._vpc.id,
                # Derived from the zone's letter, so that a new zone does not move the others.
                cidr_block=f"10.0.{16 * (ord(letter) - ord('a'))}.0/20",
                availability_zone=zone,
                map_public_ip_on_launch=True,
                region=args.region,
                tags=self.tags(f"subnet-{letter}"),
                opts=self._child,
            )
            self.subnets.append(subnet)
        self.groups = self._security_groups()
        self.uplink = self._uplink()
        """Resources that a host needs at its first boot to download packages."""

    def tags(self, purpose: str) -> Mapping[str, pulumi.Input[str]]:
        """Return the testbed's tags and a name that ends with the resource's purpose."""
        return {**self._args.tags, "Name": f"{self._args.settings.testbed_id}-{self._args.region}-{purpose}"}

    def authorize_ingress(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Allow inbound traffic from every host of the testbed; see `stacks.region.Region`."""

        def entries(found: Sequence[str]) -> list[aws.ec2.ManagedPrefixListEntryArgs]:
            networks: list[ipaddress.IPv4Network] = []
            for address in dict.fromkeys(found):
                with contextlib.suppress(ValueError):  # a stopped host has no address
                    networks.append(ipaddress.IPv4Network(address))
            cidrs = [str(network) for network in networks] or [NOBODY]
            return [aws.ec2.ManagedPrefixListEntryArgs(cidr=cidr) for cidr in cidrs]

        every = list(addresses.values())
        for index, group in enumerate(self.groups[1:]):
            some = every[index * RULES_PER_GROUP : (index + 1) * RULES_PER_GROUP]
            peers = aws.ec2.ManagedPrefixList(
                f"{self._name}-peers-{index}",
                address_family="IPv4",
                max_entries=RULES_PER_GROUP,
                entries=pulumi.Output.all(*some).apply(entries),
                region=self._args.region,
                tags=self.tags(f"peers-{index}"),
                opts=self._child,
            )
            aws.vpc.SecurityGroupIngressRule(
                f"{self._name}-from-peers-{index}",
                security_group_id=group.id,
                ip_protocol="-1",
                prefix_list_id=peers.id,
                region=self._args.region,
                tags=self.tags(f"peers-{index}"),
                opts=self._child,
            )

    def _uplink(self) -> list[pulumi.Resource]:
        """Declare the route to the internet and the rule that allows outbound traffic."""
        gateway = aws.ec2.InternetGateway(
            f"{self._name}-gateway",
            vpc_id=self._vpc.id,
            region=self._args.region,
            tags=self.tags("gateway"),
            opts=self._child,
        )
        routes = aws.ec2.DefaultRouteTable(
            f"{self._name}-routes",
            default_route_table_id=self._vpc.default_route_table_id,
            routes=[aws.ec2.DefaultRouteTableRouteArgs(cidr_block="0.0.0.0/0", gateway_id=gateway.id)],
            region=self._args.region,
            tags=self.tags("routes"),
            opts=self._child,
        )
        egress = aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-egress",
            security_group_id=self.groups[0].id,
            ip_protocol="-1",
            cidr_ipv4="0.0.0.0/0",
            region=self._args.region,
            tags=self.tags("egress"),
            opts=self._child,
        )
        return [routes, egress]

    def _check_operators(self) -> None:
        versions = [ipaddress.ip_network(network).version for network in self._args.settings.operator_cidrs]
        most = RULES_PER_GROUP // len(self._args.operator_ports)
        for version in (4, 6):  # a group takes as many rules for each
            found = versions.count(version)
            if found > most:
                raise SettingsError(
                    f"operator_cidrs: found {found} IPv{version} networks, expected at most {most}: AWS takes "
                    f"{RULES_PER_GROUP} rules in a security group, one for each network and each service open to it; "
                    "use wider networks, such as 203.0.113.0/24"
                )

    def _security_groups(self) -> list[aws.ec2.SecurityGroup]:
        """Declare a group for the operators, then those for the peers, which `authorize_ingress` fills."""
        peers = math.ceil(self._args.peers / RULES_PER_GROUP)
        if 1 + peers > DEFAULT_GROUPS:
            pulumi.log.warn(
                f"{self._args.region}: {self._args.peers} hosts need {1 + peers} security groups for each instance, "
                f"AWS allows {DEFAULT_GROUPS} unless the quota 'Security groups per network interface' is raised"
            )
        groups = [
            aws.ec2.SecurityGroup(
                f"{self._name}-{purpose}",
                description=f"{purpose} of testbed {self._args.settings.testbed_id}",
                vpc_id=self._vpc.id,
                region=self._args.region,
                tags=self.tags(purpose),
                opts=self._child,
            )
            for purpose in ("operators", *(f"peers-{index}" for index in range(peers)))
        ]
        for service, port in self._args.operator_ports.items():
            for cidr in self._args.settings.operator_cidrs:
                version = ipaddress.ip_network(cidr).version
                aws.vpc.SecurityGroupIngressRule(
                    f"{self._name}-{service}-from-{cidr}",
                    security_group_id=groups[0].id,
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    cidr_ipv4=cidr if version == 4 else None,
                    cidr_ipv6=cidr if version == 6 else None,
                    region=self._args.region,
                    tags=self.tags(f"{service}-{cidr}"),
                    opts=self._child,
                )
        return groups

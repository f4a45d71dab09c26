"""An AWS region: its network (`stacks/aws/network.py`) and instances spread over its zones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from benchmark.errors import InfrastructureError, SettingsError, TestbedError
from benchmark.inventory import EmulatedRoundTrip, Host, HostCapabilities, HostState
from benchmark.settings import Settings
from stacks.aws.capacity import shortage_hook, zones_without_capacity
from stacks.aws.network import AwsNetwork
from stacks.aws.prices import hourly_price
from stacks.cloud.region_args import (
    CloudHost,
    CloudRegionArgs,
    cloud_regions,
    credentials_file,
    look_up,
    provider_reason,
    spec_of,
    total_cost,
)
from stacks.region import Plan, Region
from stacks.strays import state_ids

HOME_REGION = "us-east-1"
"""Where the provider itself is configured and prices are queried; every resource names its own region."""
CANONICAL = "099720109477"
"""The account that publishes Ubuntu's images: https://documentation.ubuntu.com/aws/"""

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")
"""Variables of the environment that name credentials."""
_ARCHITECTURES = ("i386", "x86_64", "arm64")
_STATES: Mapping[str, HostState] = {"running": "running", "pending": "booting", "stopped": "stopped"}


class _InstanceType(TypedDict, total=False):
    supportedArchitectures: list[str]
    burstablePerformanceSupported: bool
    defaultVcpus: int
    memorySize: int


class _Image(TypedDict):
    id: str


class _Instance(TypedDict, total=False):
    publicIp: str
    instanceState: str


class _Instances(TypedDict):
    ids: list[str]
    publicIps: list[str]
    """Without those that have none."""


def regions(plan: Plan, names: Sequence[str]) -> list[Region]:
    """Declare the regions `names`; see `stacks`."""
    unknown = [zone for zone in plan.settings.excluded_zones if not any(zone[:-1] == name for name in names)]
    if unknown:
        raise SettingsError(
            f"excluded_zones: {', '.join(unknown)} is in none of the regions {', '.join(names)}; write the region and "
            f"a letter, such as {names[0]}a"
        )
    return cloud_regions(plan, "aws", names, AwsRegion, provider(plan.settings))


def provider(settings: Settings) -> aws.Provider:
    """Declare the provider of all AWS regions; credentials come from token_file or AWS's default locations."""
    file = credentials_file(settings, "aws")
    if file is None:
        return aws.Provider("aws", region=HOME_REGION)
    if stale := [name for name in _KEYS if os.environ.get(name)]:
        pulumi.log.warn(
            f"token_file: the environment has {', '.join(stale)} too; {file} is used, but the provider checks the keys "
            f"of the environment first and fails if they are invalid: run `unset {' '.join(stale)}`"
        )
    # Keys in the environment win over a file, and may belong to another account, unless the profile is named.
    return aws.Provider("aws", region=HOME_REGION, shared_credentials_files=[str(file)], profile="default")


def importable(public_key: str) -> str:
    """Return a key that EC2 can import; RunError for other kinds, which EC2 would call wrongly formatted."""
    kind = public_key.partition(" ")[0]
    if kind not in ("ssh-ed25519", "ssh-rsa"):
        raise pulumi.RunError(
            f"ssh_public_key_file: found a key of type {kind}, AWS accepts ssh-ed25519 and ssh-rsa; generate one with "
            "`ssh-keygen -t ed25519`, or remove both key fields to have a pair generated"
        )
    return public_key


class AwsRegion(pulumi.ComponentResource):
    """The network, firewall and instances of one region. Raises SettingsError for what the region does not offer."""

    round_trips: Mapping[str, EmulatedRoundTrip] = {}

    def __init__(self, name: str, args: CloudRegionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("geobench:aws:Region", name, None, opts)
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        self._invoke = pulumi.InvokeOptions(parent=self)
        self._type = spec_of(args.settings, "aws")
        self.capabilities = HostCapabilities(ephemeral=True, boot_timeout_s=600.0 if ".metal" in self._type else 60.0)
        if args.settings.spot and args.settings.state == "stopped":
            raise SettingsError(
                "state: AWS spot instances cannot be stopped; run `pulumi destroy`, or set spot: false, which replaces "
                "all hosts by on-demand ones with empty disks"
            )
        zones = self._offering_zones()
        self._network = AwsNetwork(name, args, zones, self)
        self._kind = look_up(
            _InstanceType,
            "aws:ec2/getInstanceType:getInstanceType",
            {"instanceType": self._type, "region": args.region},
            self._invoke,
            f"AWS did not describe {self._type} in {args.region}",
            "its keys must allow ec2:DescribeInstanceTypes",
        )
        _: pulumi.Output[None] = self._kind.apply(self._warn_of_replacement)
        if args.region == next(spec.name for spec in args.settings.region_specs if spec.provider == "aws"):
            self._kind.apply(self._warn_of_credits)  # once for all regions
        key = aws.ec2.KeyPair(
            f"{name}-key",
            public_key=args.public_key.apply(importable),
            region=args.region,
            tags=self._network.tags("key"),
            opts=self._child,
        )
        image: pulumi.Output[str] = self._kind.apply(lambda kind: self._image(kind["supportedArchitectures"]))
        subnets = dict(zip(zones, self._network.subnets, strict=True))
        open_zones = self._open_zones(zones)
        placed = {host.name: open_zones[index % len(open_zones)] for index, host in enumerate(args.hosts)}
        self._hooks = shortage_hook(name, self._type, placed)
        instances = [self._instance(host, image, key.key_name, subnets[placed[host.name]]) for host in args.hosts]
        settled = [self._settle(host, instance) for host, instance in zip(args.hosts, instances, strict=True)]
        listed = self._list(instances, settled)
        self.hosts = [
            self._describe(host, instance, listed) for host, instance in zip(args.hosts, instances, strict=True)
        ]
        price = hourly_price(
            args.region,
            self._type,
            args.settings.disk_gb,
            zones[0],
            spot=args.settings.spot,
            running=args.settings.state == "running",
            opts=self._invoke,
        )
        self.hourly_cost_usd = total_cost([price] * len(args.hosts))
        self.grafana_password = args.grafana_password
        hosts = [host.apply(Host.model_dump) for host in self.hosts]
        self.register_outputs({"hosts": hosts, "hourly_cost_usd": self.hourly_cost_usd})

    def authorize_ingress(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Allow inbound traffic from every host of the testbed; see `stacks.region.Region`."""
        self._network.authorize_ingress(addresses)

    def _offering_zones(self) -> list[str]:
        """Return the region's zones that offer the instance type, without local zones."""
        region = self._args.region
        try:
            offered = aws.ec2.get_instance_type_offerings(
                filters=[aws.ec2.GetInstanceTypeOfferingsFilterArgs(name="instance-type", values=[self._type])],
                location_type="availability-zone",
                region=region,
                opts=self._invoke,
            )
        except Exception as error:  # the SDK raises no narrower one; this first query fails if the keys are wrong
            raise InfrastructureError(
                f"AWS did not list the zones of {region} that offer {self._type}: {provider_reason(str(error))}; "
                f"check the credentials with `AWS_REGION={region} aws sts get-caller-identity`"
            ) from None
        zones = sorted(zone for zone in offered.locations if len(zone) == len(region) + 1)
        if not zones:
            raise SettingsError(
                f"specs: {self._type} is not offered in {region}; `aws ec2 describe-instance-type-offerings "
                f"--region {region} --query 'InstanceTypeOfferings[].InstanceType'` lists the types that are"
            )
        return zones

    def _open_zones(self, zones: Sequence[str]) -> list[str]:
        """Return the zones for new hosts: neither excluded by the settings nor without capacity lately."""
        allowed = [zone for zone in zones if zone not in self._args.settings.excluded_zones]
        if not allowed:
            raise SettingsError(
                f"excluded_zones: found all zones of {self._args.region} that offer {self._type} "
                f"({', '.join(zones)}); remove one, or choose another type or region"
            )
        full = zones_without_capacity(self._type)
        return [zone for zone in allowed if zone not in full] or allowed

    def _warn_of_credits(self, kind: _InstanceType) -> None:
        if kind.get("burstablePerformanceSupported"):
            pulumi.log.warn(
                f"specs: {self._type} has burstable processors, which are throttled under load or billed extra, about "
                "$0.05 per vCPU and hour that hourly_cost_usd does not include; for publishable numbers use a type "
                "such as m5d.2xlarge"
            )

    def _warn_of_replacement(self, kind: _InstanceType) -> pulumi.Output[None]:
        """Warn if hosts cannot be resized to the type, as they have processors of another architecture."""
        others = [name for name in _ARCHITECTURES if name not in kind["supportedArchitectures"]]

        def warn(found: _Instances) -> None:
            if found["ids"]:
                pulumi.log.warn(
                    f"specs: {self._type} has {'ARM' if 'x86_64' in others else 'x86'} processors, and "
                    f"{len(found['ids'])} hosts in {self._args.region} have others: they are recreated and lose their "
                    "disks"
                )

        return self._query(["pending", "running", "stopping", "stopped"], others).apply(warn)

    def _image(self, architectures: list[str]) -> pulumi.Output[str]:
        """Return the newest image of Ubuntu 24.04 LTS for the processor."""
        processor = "arm64" if "arm64" in architectures else "amd64"
        name = f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{processor}-server-*"
        query = {
            "owners": [CANONICAL],
            "mostRecent": True,
            "filters": [{"name": "name", "values": [name]}],
            "region": self._args.region,
        }
        problem = f"AWS found no image named {name} in {self._args.region}"
        remedy = "its keys must allow ec2:DescribeImages"
        return look_up(_Image, "aws:ec2/getAmi:getAmi", query, self._invoke, problem, remedy).apply(
            lambda image: image["id"]
        )

    def _instance(
        self, host: CloudHost, image: pulumi.Output[str], key_name: pulumi.Output[str], subnet: aws.ec2.Subnet
    ) -> aws.ec2.Instance:
        settings = self._args.settings
        tags = {**self._args.tags, "Name": f"{settings.testbed_id}-{host.name}", "role": host.role}
        return aws.ec2.Instance(
            host.name,
            ami=image,
            instance_type=self._type,
            subnet_id=subnet.id,
            vpc_security_group_ids=[group.id for group in self._network.groups],
            key_name=key_name,
            user_data=host.user_data,
            # The host shuts itself down when its time_to_live is over, which terminates it.
            instance_initiated_shutdown_behavior="terminate",
            instance_market_options=_SPOT if settings.spot else None,
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(
                volume_type="gp3", volume_size=settings.disk_gb, encrypted=True, delete_on_termination=True, tags=tags
            ),
            region=self._args.region,
            tags=tags,
            opts=pulumi.ResourceOptions.merge(self._child, self._lifecycle_options(host)),
        )

    def _lifecycle_options(self, host: CloudHost) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            # A newer image or script, a zone that now offers the type, another operator key: all for new hosts only.
            # The public address follows from the subnet: a stopped instance has none, which a refresh would read as
            # a request for none: https://github.com/hashicorp/terraform-provider-aws/issues/33775
            ignore_changes=["ami", "user_data", "subnet_id", "key_name"],
            # Prometheus is installed by the first boot alone; the provider does not detect the change from spot to on
            # demand: https://github.com/hashicorp/terraform-provider-aws/issues/38141
            replacement_trigger=[host.role, self._args.settings.spot],
            hooks=self._hooks,
            # All subnets: the host may be in another one than a new host would be.
            depends_on=[*self._network.uplink, *self._network.subnets],
        )

    def _settle(self, host: CloudHost, instance: aws.ec2.Instance) -> pulumi.CustomResource:
        """Start or stop the instance as the settings say; return the resource after which it is so."""
        settings = self._args.settings
        if settings.spot:
            return instance
        # A change of the type starts even a stopped instance; only a new state resource stops it again.
        trigger = pulumi.ResourceOptions(replacement_trigger=self._type)
        return aws.ec2transitgateway.InstanceState(
            f"{host.name}-state",
            instance_id=instance.id,
            state=settings.state,
            region=self._args.region,
            opts=pulumi.ResourceOptions.merge(self._child, trigger),
        )

    def _list(
        self, instances: Sequence[aws.ec2.Instance], settled: Sequence[pulumi.CustomResource]
    ) -> pulumi.Output[dict[str, _Instance]]:
        """Return those instances that are running or stopped as the settings say, by id, in one query.

        They are read after they were started or stopped: a start changes the address.
        """
        state = self._args.settings.state

        def by_id(answer: _Instances) -> dict[str, _Instance]:
            ids = answer["ids"]
            addresses = answer["publicIps"] if state == "running" else [""] * len(ids)
            if len(addresses) != len(ids):  # it is unknown whose address is missing
                return {}
            return {
                identity: _Instance(publicIp=address, instanceState=state)
                for identity, address in zip(ids, addresses, strict=True)
            }

        ids = pulumi.Output.all(*[one.id for one in instances])
        known = pulumi.Output.all(ids, *[one.id for one in settled])
        answer: pulumi.Output[_Instances] = known.apply(lambda _: self._query([state]))
        pulumi.Output.all(ids, answer).apply(lambda pair: self._warn_of_strays({*pair[1]["ids"]} - {*pair[0]}))
        return answer.apply(by_id)

    def _warn_of_strays(self, others: set[str]) -> None:
        """Warn about instances with the testbed's tag that are not in the state; those being replaced are."""
        try:
            strays = others - state_ids(pulumi.get_stack()) if others else set()
        except TestbedError as error:
            pulumi.log.warn(f"could not look for AWS instances that the stack does not know: {error}")
            return
        if strays:
            pulumi.log.warn(
                f"AWS: {', '.join(sorted(strays))} in {self._args.region} have the tag of this testbed, are billed and "
                "are not in the stack: an interrupted update has left them; `python -m stacks.strays` shows them and "
                "removes them with --remove"
            )

    def _query(self, states: Sequence[str], architectures: Sequence[str] = ()) -> pulumi.Output[_Instances]:
        """List the testbed's instances in the region by their state and architecture."""
        query = {
            "instanceTags": {"testbed_id": self._args.settings.testbed_id},
            "instanceStateNames": list(states),
            "filters": [{"name": "architecture", "values": list(architectures)}] if architectures else [],
            "region": self._args.region,
        }
        problem, remedy = f"AWS did not list the hosts in {self._args.region}", "run `pulumi up` again"
        return look_up(_Instances, "aws:ec2/getInstances:getInstances", query, self._invoke, problem, remedy)

    def _describe(
        self, host: CloudHost, instance: aws.ec2.Instance, listed: pulumi.Output[dict[str, _Instance]]
    ) -> pulumi.Output[Host]:
        """Return the host for the inventory; one that is not `listed` is queried by itself."""

        def describe(now: _Instance, host_key: str, kind: _InstanceType) -> Host:
            return host.describe(
                "aws",
                self._args.region,
                self._type,
                self.capabilities,
                host_key=host_key,
                address=now.get("publicIp") or "",
                state=_STATES.get(now.get("instanceState", ""), "unknown"),
                cpus=kind["defaultVcpus"],
                memory_mb=kind["memorySize"],
            )

        def read(found: dict[str, _Instance], identity: str) -> pulumi.Output[_Instance]:
            return pulumi.Output.from_input(found[identity]) if identity in found else self._read(host, identity)

        now: pulumi.Output[_Instance] = pulumi.Output.all(listed, instance.id).apply(lambda known: read(*known))
        return pulumi.Output.all(now, host.host_key, self._kind).apply(lambda known: describe(*known))

    def _read(self, host: CloudHost, identity: str) -> pulumi.Output[_Instance]:
        query = {"instanceId": identity, "region": self._args.region}
        problem = f"{host.name}: AWS did not describe {identity}"
        remedy = "if it was terminated, run `pulumi refresh`, then `pulumi up` to replace it"
        return look_up(_Instance, "aws:ec2/getInstance:getInstance", query, self._invoke, problem, remedy)


_SPOT = aws.ec2.InstanceInstanceMarketOptionsArgs(
    market_type="spot",
    spot_options=aws.ec2.InstanceInstanceMarketOptionsSpotOptionsArgs(
        spot_instance_type="one-time", instance_interruption_behavior="terminate"
    ),
)

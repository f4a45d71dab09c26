"""A region of AWS: a network of its own (`stacks/aws/network.py`) and instances spread over its zones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from benchmark.errors import InfrastructureError, SettingsError
from benchmark.settings import Settings
from stacks.aws.network import AwsNetwork
from stacks.aws.prices import hourly_price
from stacks.cloud.cloud_init import LOGIN
from stacks.cloud.region_args import CloudHost, CloudRegionArgs, credentials_file, look_up, spec_of, total_cost

HOME_REGION = "us-east-1"
"""Where the provider itself is configured; every resource names its own region. Prices are told here."""
CANONICAL = "099720109477"
"""The account that publishes Ubuntu's images: https://documentation.ubuntu.com/aws/"""


def provider(settings: Settings) -> aws.Provider:
    """Declare the one provider of all AWS regions; credentials come from token_file or AWS's usual places."""
    file = credentials_file(settings, "aws")
    if file is None:
        return aws.Provider("aws", region=HOME_REGION)
    # Keys in the environment win over a file, and lead to another account, unless the profile is named.
    return aws.Provider("aws", region=HOME_REGION, shared_credentials_files=[str(file)], profile="default")


def importable(public_key: str) -> str:
    """Return a key that EC2 imports; RunError for other kinds, which EC2 says are of the wrong format."""
    kind = public_key.partition(" ")[0]
    if kind not in ("ssh-ed25519", "ssh-rsa"):
        raise pulumi.RunError(
            f"ssh_public_key_file: found a key of the kind {kind}, AWS takes ssh-ed25519 and ssh-rsa; "
            "`ssh-keygen -t ed25519` makes one, or leave both fields of the key out to have a pair made"
        )
    return public_key


class AwsRegion(pulumi.ComponentResource):
    """The network, firewall and instances of one region. Raises SettingsError for what the region does not offer."""

    def __init__(self, name: str, args: CloudRegionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("geobench:aws:Region", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._invoke = pulumi.InvokeOptions(parent=self)
        self._type = spec_of(args.settings, "aws")
        if args.settings.spot and args.settings.state == "stopped":
            raise SettingsError(
                "state: spot instances of AWS cannot be stopped; use `pulumi destroy`, or spot: false, which makes all "
                "hosts anew, on demand and with empty disks"
            )
        self._zones = self._offering_zones()
        self._network = AwsNetwork(name, args, self._zones, self)
        instances = self._instances()
        self.hosts: list[pulumi.Output[dict[str, Any]]] = [
            self._describe(host, instance) for host, instance in zip(args.hosts, instances, strict=True)
        ]
        price = hourly_price(
            args.region,
            self._type,
            args.settings.disk_gb,
            self._zones[0],
            spot=args.settings.spot,
            running=args.settings.state == "running",
            opts=self._invoke,
        )
        self.hourly_cost_usd = total_cost([price] * len(args.hosts))
        self.grafana_password = args.grafana_password
        self.register_outputs({"hosts": self.hosts, "hourly_cost_usd": self.hourly_cost_usd})

    def admit(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Let in every host of the testbed by its address; see `stacks.Region`."""
        self._network.admit(addresses)

    def _offering_zones(self) -> list[str]:
        """The region's zones that have the instance type, local zones left out."""
        region = self._args.region
        try:
            offered = aws.ec2.get_instance_type_offerings(
                filters=[aws.ec2.GetInstanceTypeOfferingsFilterArgs(name="instance-type", values=[self._type])],
                location_type="availability-zone",
                region=region,
                opts=self._invoke,
            )
        except Exception as error:  # the SDK raises no other; the first question to AWS fails if its keys are wrong
            raise InfrastructureError(
                f"AWS did not say which zones of {region} offer {self._type}: {error}; "
                f"`AWS_REGION={region} aws sts get-caller-identity` shows whether it knows the keys"
            ) from None
        zones = sorted(zone for zone in offered.locations if len(zone) == len(region) + 1)
        if not zones:
            raise SettingsError(
                f"specs: {self._type} is not offered in {region}; `aws ec2 describe-instance-type-offerings "
                f"--region {region} --query 'InstanceTypeOfferings[].InstanceType'` lists what is"
            )
        return zones

    def _instances(self) -> list[aws.ec2.Instance]:
        args = self._args
        self._kind = kind = self._instance_type()
        if args.region == next(spec.name for spec in args.settings.region_specs if spec.provider == "aws"):
            kind.apply(self._warn_of_credits)  # once for all regions
        key = aws.ec2.KeyPair(
            f"{self._name}-key",
            public_key=args.public_key.apply(importable),
            region=args.region,
            tags=self._network.tags("key"),
            opts=self._child,
        )
        image: pulumi.Output[str] = kind.apply(lambda known: self._image(known["supportedArchitectures"]))
        subnets = self._network.subnets
        return [
            self._instance(host, image, key.key_name, subnets[index % len(subnets)])
            for index, host in enumerate(args.hosts)
        ]

    def _instance_type(self) -> pulumi.Output[dict[str, Any]]:
        asked = {"instanceType": self._type, "region": self._args.region}
        problem = f"AWS did not describe {self._type} in {self._args.region}"
        remedy = "its keys must allow ec2:DescribeInstanceTypes"
        return look_up("aws:ec2/getInstanceType:getInstanceType", asked, self._invoke, problem, remedy)

    def _warn_of_credits(self, kind: Mapping[str, Any]) -> None:
        if kind.get("burstablePerformanceSupported"):
            pulumi.log.warn(
                f"specs: {self._type} has burstable processors, which are slowed down under load or charged for, about "
                "$0.05 for each vCPU and hour that hourly_cost_usd does not count; numbers to publish need a type such "
                "as m5d.2xlarge"
            )

    def _image(self, architectures: list[str]) -> pulumi.Output[str]:
        """The newest Ubuntu 24.04 LTS for the processor."""
        processor = "arm64" if "arm64" in architectures else "amd64"
        name = f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{processor}-server-*"
        asked = {
            "owners": [CANONICAL],
            "mostRecent": True,
            "filters": [{"name": "name", "values": [name]}],
            "region": self._args.region,
        }
        problem = f"AWS did not tell the newest image of {self._args.region} that is called {name}"
        remedy = "its keys must allow ec2:DescribeImages"
        answer = look_up("aws:ec2/getAmi:getAmi", asked, self._invoke, problem, remedy)
        return answer.apply(lambda image: str(image["id"]))

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
            # The host's own shutdown, at the end of its life time, ends it for good.
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
            opts=pulumi.ResourceOptions.merge(self._child, self._kept(host)),
        )

    def _kept(self, host: CloudHost) -> pulumi.ResourceOptions:
        """What a host is made anew for and what not, and what it is made after and removed before."""
        # A new image, a script changed by a newer release, a zone that now has the type, too, another key of the
        # operator: these are for new hosts; those there are stay as they are. Their public address is the subnet's
        # doing: a stopped instance has none, which a refresh reads as a wish:
        # https://github.com/hashicorp/terraform-provider-aws/issues/33775
        kept = ["ami", "user_data", "subnet_id", "key_name"]
        # Prometheus comes with the first start alone; that a spot instance shall be none, the provider does not see:
        # https://github.com/hashicorp/terraform-provider-aws/issues/38141
        anew = [host.role, self._args.settings.spot]
        # All subnets: it may be in another one than it would be put into today.
        after = [*self._network.uplink, *self._network.subnets]
        return pulumi.ResourceOptions(ignore_changes=kept, replacement_trigger=anew, depends_on=after)

    def _describe(self, host: CloudHost, instance: aws.ec2.Instance) -> pulumi.Output[dict[str, Any]]:
        """The inventory's view of a host, read after it was started or stopped: a start brings a new address."""
        after: pulumi.CustomResource = instance
        if not self._args.settings.spot:
            # A change of the type starts the instance, even one that was stopped; only a new state stops it again.
            anew = pulumi.ResourceOptions(replacement_trigger=self._type)
            after = aws.ec2transitgateway.InstanceState(
                f"{host.name}-state",
                instance_id=instance.id,
                state=self._args.settings.state,
                region=self._args.region,
                opts=pulumi.ResourceOptions.merge(self._child, anew),
            )
        both = pulumi.Output.all(instance.id, after.id)
        now: pulumi.Output[dict[str, Any]] = both.apply(lambda ids: self._look_at(host, ids[0]))
        return pulumi.Output.all(now, host.host_key, self._kind).apply(lambda known: self._host(host, *known))

    def _look_at(self, host: CloudHost, identity: str) -> pulumi.Output[dict[str, Any]]:
        asked = {"instanceId": identity, "region": self._args.region}
        problem = f"{host.name}: AWS does not tell about {identity}"
        remedy = "if it has ended, `pulumi refresh` notices and `pulumi up` makes it anew"
        return look_up("aws:ec2/getInstance:getInstance", asked, self._invoke, problem, remedy)

    def _host(self, host: CloudHost, now: Mapping[str, Any], host_key: str, kind: Mapping[str, Any]) -> dict[str, Any]:
        states = {"running": "running", "pending": "booting", "stopped": "stopped"}
        return {
            "name": host.name,
            "provider": "aws",
            "region": self._args.region,
            "specs": self._type,
            "address": now.get("publicIp") or "",
            "ssh_user": LOGIN,
            "host_key": host_key,
            "role": host.role,
            "state": states.get(now.get("instanceState", ""), "unknown"),
            "cpus": kind["defaultVcpus"],
            "memory_mb": kind["memorySize"],
        }


_SPOT = aws.ec2.InstanceInstanceMarketOptionsArgs(
    market_type="spot",
    spot_options=aws.ec2.InstanceInstanceMarketOptionsSpotOptionsArgs(
        spot_instance_type="one-time", instance_interruption_behavior="terminate"
    ),
)

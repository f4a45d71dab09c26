"""The instances of EC2 and whether they run: each is a machine that boots."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from fakes.emulators import aws_refusals as refusals
from fakes.emulators.aws_kinds import Ec2Kind, tags_of
from fakes.emulators.provider import CloudError, NotReadyError, Properties

if TYPE_CHECKING:
    from fakes.emulators.aws import Aws

_METADATA = ("httpEndpoint", "httpTokens", "httpPutResponseHopLimit", "httpProtocolIpv6", "instanceMetadataTags")
_ONE_TIME = {
    "marketType": "spot",
    "spotOptions": {"spotInstanceType": "one-time", "instanceInterruptionBehavior": "terminate"},
}
"""The one kind of spot instance that is emulated."""


class _Instance(Ec2Kind):
    replaces = frozenset({"region", "ami", "subnetId", "keyName", "instanceMarketOptions", "associatePublicIpAddress"})

    def make(self, inputs: Properties) -> str:
        name = inputs["tags"]["Name"]
        fault = self.aws.faults.pop(name, "")
        (subnet,) = self.call(inputs, "describe_subnets", SubnetIds=[inputs["subnetId"]])["Subnets"]
        if fault == "capacity" or subnet["AvailabilityZone"] in self.aws.full_zones:
            raise CloudError(
                "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: 500, "
                "RequestID: 0, api error InsufficientInstanceCapacity: We currently do not have sufficient "
                f"{inputs['instanceType']} capacity in the Availability Zone you requested"
                f" ({subnet['AvailabilityZone']})."
            )
        identity = self._run(inputs)
        self.aws.place(identity, inputs["region"])
        self.tag(identity, inputs)
        disk = self._disk(self._described(identity))
        self.retag(identity, disk["volumeId"], {}, inputs["rootBlockDevice"].get("tags", {}))
        self.aws.groups[identity] = inputs["vpcSecurityGroupIds"]
        disks_gb = self._local_disks_gb(inputs)
        self.aws.boot(identity, name, inputs["region"], inputs["userData"], disks_gb)
        self.aws.enforce()
        if fault == "late":
            made = {**inputs, **(self.read(identity) or {}), "id": identity}
            raise NotReadyError(identity, made, f"waiting for EC2 Instance ({identity}) to be ready: timeout")
        return identity

    def forced(self, before: Properties, news: Properties) -> frozenset[str]:
        """Return changes that require a replacement: a type of another architecture has no image in common.

        https://github.com/hashicorp/terraform-provider-aws/blob/v6.0.0/internal/service/ec2/ec2_instance.go
        """
        types = [before.get("instanceType"), news.get("instanceType")]
        if None in types or types[0] == types[1]:
            return frozenset()
        old, new = (self._architectures(news["region"], one) for one in types)
        return frozenset() if old & new else frozenset({"instanceType"})

    def _architectures(self, region: str, instance_type: str) -> set[str]:
        found = self.aws.ec2(region, "describe_instance_types", InstanceTypes=[instance_type])["InstanceTypes"]
        return set(found[0]["ProcessorInfo"]["SupportedArchitectures"])

    def _local_disks_gb(self, inputs: Properties) -> list[int]:
        """Return the sizes of the NVMe disks of the type."""
        found = self.call(inputs, "describe_instance_types", InstanceTypes=[inputs["instanceType"]])
        storage = found["InstanceTypes"][0].get("InstanceStorageInfo", {"NvmeSupport": "unsupported"})
        if storage["NvmeSupport"] == "unsupported":
            return []
        return [disk["SizeInGB"] for disk in storage["Disks"] for _ in range(disk["Count"])]

    def _run(self, inputs: Properties) -> str:
        refusals.of_launch(self.aws, inputs)
        interface = {
            "DeviceIndex": 0,
            "SubnetId": inputs["subnetId"],
            "Groups": inputs["vpcSecurityGroupIds"],
        }
        disk = {name: value for name, value in inputs["rootBlockDevice"].items() if name != "tags"}
        market = inputs.get("instanceMarketOptions")
        made = self.call(
            inputs,
            "run_instances",
            ImageId=inputs["ami"],
            InstanceType=inputs["instanceType"],
            KeyName=inputs["keyName"],
            MinCount=1,
            MaxCount=1,
            UserData=inputs["userData"],
            NetworkInterfaces=[interface],
            BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": _named_by_ec2(disk)}],
            MetadataOptions=_named_by_ec2(inputs["metadataOptions"]),
            InstanceInitiatedShutdownBehavior=inputs["instanceInitiatedShutdownBehavior"],
            **({"InstanceMarketOptions": _named_by_ec2(market)} if market else {}),
        )
        identity: str = made["Instances"][0]["InstanceId"]
        return identity

    def look(self, identity: str) -> Properties | None:
        found = self.aws.describe(identity)
        if found is None:
            return None
        (interface,) = found["NetworkInterfaces"]
        address = self.aws.address_of(identity)
        return {
            "ami": found["ImageId"],
            "instanceType": found["InstanceType"],
            "subnetId": found["SubnetId"],
            "keyName": found["KeyName"],
            "vpcSecurityGroupIds": sorted(group["GroupId"] for group in interface["Groups"]),
            "userData": base64.b64decode(self.aws.attribute(identity, "userData")).decode(),
            "instanceInitiatedShutdownBehavior": self.aws.attribute(identity, "instanceInitiatedShutdownBehavior"),
            "instanceMarketOptions": _ONE_TIME if found.get("InstanceLifecycle") == "spot" else None,
            "metadataOptions": {name: found["MetadataOptions"].get(_ec2_name(name)) for name in _METADATA},
            "rootBlockDevice": self._disk(found),
            "tags": tags_of(found),
            "publicIp": address,
            "associatePublicIpAddress": bool(address),
            "instanceState": found["State"]["Name"],
        }

    def _described(self, identity: str) -> dict[str, Any]:
        found = self.aws.describe(identity)
        if found is None:
            raise CloudError(f"IncorrectInstanceState: The instance '{identity}' is not in a state to be changed")
        return found

    def _disk(self, found: dict[str, Any]) -> Properties:
        (mapping,) = found["BlockDeviceMappings"]
        identity, until_end = mapping["Ebs"]["VolumeId"], mapping["Ebs"]["DeleteOnTermination"]
        (volume,) = self.at(found["InstanceId"], "describe_volumes", VolumeIds=[identity])["Volumes"]
        fields = {"volumeType": "VolumeType", "volumeSize": "Size", "encrypted": "Encrypted", "iops": "Iops"}
        about = {name: volume.get(field) for name, field in fields.items()}
        return {"volumeId": identity, "deleteOnTermination": until_end, **about, "tags": tags_of(volume)}

    def change(self, identity: str, inputs: Properties) -> None:
        found = self._described(identity)
        groups = inputs["vpcSecurityGroupIds"]
        refusals.of_groups(self.aws, inputs["region"], groups, found["VpcId"])
        interface = found["NetworkInterfaces"][0]["NetworkInterfaceId"]
        self.at(identity, "modify_network_interface_attribute", NetworkInterfaceId=interface, Groups=groups)
        self.aws.groups[identity] = groups
        behavior = inputs["instanceInitiatedShutdownBehavior"]
        refusals.of_shutdown(behavior)
        named = {"Attribute": "instanceInitiatedShutdownBehavior", "Value": behavior}
        self.at(identity, "modify_instance_attribute", InstanceId=identity, **named)
        there = {name: value for name, value in found["MetadataOptions"].items() if name != "State"}
        options = there | _named_by_ec2(inputs["metadataOptions"])  # moto forgets those that are not named
        self.at(identity, "modify_instance_metadata_options", InstanceId=identity, **options)
        self._change_disk(identity, self._disk(found), inputs["rootBlockDevice"])
        if found["InstanceType"] != inputs["instanceType"]:
            self._resize(identity, found, inputs)
        self.aws.enforce()

    def _change_disk(self, identity: str, found: Properties, wanted: Properties) -> None:
        """Resize the disk or change its type, which is possible while it is in use."""
        size, kind = wanted["volumeSize"], wanted.get("volumeType", found["volumeType"])
        volume = found["volumeId"]
        if (size, kind) != (found["volumeSize"], found["volumeType"]):
            refusals.of_growth(volume, found["volumeSize"], size)
            self.at(identity, "modify_volume", VolumeId=volume, Size=size, VolumeType=kind)
        self.retag(identity, volume, found["tags"], wanted.get("tags", {}))

    def _resize(self, identity: str, found: dict[str, Any], inputs: Properties) -> None:
        """Stop it, as EC2 requires, and start it with another type: the provider does so even if it was stopped.

        https://github.com/hashicorp/terraform-provider-aws/blob/v6.0.0/internal/service/ec2/ec2_instance.go
        """
        refusals.of_zone(self.aws, inputs["region"], inputs["instanceType"], found["Placement"]["AvailabilityZone"])
        machine = self.aws.machines[identity]
        if machine.running:
            stop(self.aws, found)
        kind = {"Value": inputs["instanceType"]}
        self.at(identity, "modify_instance_attribute", InstanceId=identity, InstanceType=kind)
        machine.disks_gb = self._local_disks_gb(inputs)
        start(self.aws, found)

    def remove(self, identity: str) -> None:
        self.aws.terminate(identity)


class _InstanceState(Ec2Kind):
    replaces = frozenset({"region", "instanceId"})
    tagged = False

    def make(self, inputs: Properties) -> str:
        identity: str = inputs["instanceId"]
        self.change(identity, inputs)
        return identity

    def look(self, identity: str) -> Properties | None:
        found = self.aws.describe(identity)
        return {"instanceId": identity, "state": found["State"]["Name"]} if found else None

    def change(self, identity: str, inputs: Properties) -> None:
        wanted, found = inputs["state"], self.aws.describe(identity)
        if found is None:
            raise CloudError(f"IncorrectInstanceState: The instance '{identity}' is not in a state to be {wanted}")
        machine = self.aws.machines[identity]
        if wanted == "stopped" and machine.running:
            stop(self.aws, found)
        elif wanted == "running" and not machine.running:
            start(self.aws, found)

    def remove(self, identity: str) -> None:
        pass  # as the provider: the instance stays as it is


def stop(aws: Aws, found: dict[str, Any]) -> None:
    """Halt the machine of an instance; its disk stays, its address does not."""
    identity = found["InstanceId"]
    if found.get("InstanceLifecycle") == "spot":
        raise CloudError(
            f"UnsupportedOperation: You can't stop the Spot Instance '{identity}' because it is associated with a "
            "one-time Spot Instance request."
        )
    aws.ec2(aws.region_of(identity) or "", "stop_instances", InstanceIds=[identity])
    aws.machines[identity].stop()


def start(aws: Aws, found: dict[str, Any]) -> None:
    """Boot the machine of an instance again."""
    identity = found["InstanceId"]
    aws.machines[identity].start()
    aws.ec2(aws.region_of(identity) or "", "start_instances", InstanceIds=[identity])
    aws.enforce()


def _named_by_ec2(value: Any) -> Any:
    """Write the SDK's names, such as volumeSize, as EC2 does."""
    if isinstance(value, dict):
        return {_ec2_name(name): _named_by_ec2(inner) for name, inner in value.items()}
    return value


def _ec2_name(name: str) -> str:
    return f"{name[0].upper()}{name[1:]}"


INSTANCES: dict[str, type[Ec2Kind]] = {
    "aws:ec2/instance:Instance": _Instance,
    "aws:ec2transitgateway/instanceState:InstanceState": _InstanceState,
}

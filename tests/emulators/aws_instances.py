"""The instances of EC2 and whether they run: each is a machine that really boots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulators import aws_refusals as refusals
from emulators.aws_kinds import Ec2Kind
from emulators.provider import CloudError, NotReadyError, Properties

if TYPE_CHECKING:
    from emulators.aws import Aws


class _Instance(Ec2Kind):
    replaces = frozenset({"region", "ami", "subnetId", "keyName", "instanceMarketOptions"})

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        name = inputs["tags"]["Name"]
        fault = self.aws.faults.pop(name, "")
        if fault == "capacity":
            raise CloudError(
                f"creating EC2 Instance: InsufficientInstanceCapacity: We currently do not have sufficient "
                f"{inputs['instanceType']} capacity in the Availability Zone you requested"
            )
        identity = self._run(inputs)
        self.aws.place(identity, inputs["region"])
        self._tag(identity, inputs)
        self.aws.groups[identity] = inputs["vpcSecurityGroupIds"]
        disks_gb = self._local_disks_gb(inputs)
        machine = self.aws.boot(identity, name, inputs["region"], inputs["userData"], disks_gb)
        self.aws.enforce()
        computed = {"publicIp": machine.address, "instanceState": "running"}
        if fault == "late":
            made = {**inputs, **computed, "id": identity}
            raise NotReadyError(identity, made, f"waiting for EC2 Instance ({identity}) to be ready: timeout")
        return identity, computed

    def _local_disks_gb(self, inputs: Properties) -> list[int]:
        """The sizes of what the type has on NVMe."""
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

    def read(self, identity: str) -> Properties | None:
        found = self.aws.describe(identity)
        if found is None:
            return None
        return {"publicIp": self.aws.machines[identity].address, "instanceState": found["State"]["Name"]}

    def update(self, identity: str, inputs: Properties) -> Properties:
        super().update(identity, inputs)
        groups = self.aws.groups[identity] = inputs["vpcSecurityGroupIds"]
        self.at(identity, "modify_instance_attribute", InstanceId=identity, Groups=groups)
        found = self.aws.describe(identity)
        if found and found["InstanceType"] != inputs["instanceType"]:
            self._resize(identity, found, inputs)
        self.aws.enforce()
        return {"publicIp": self.aws.machines[identity].address}

    def _resize(self, identity: str, found: dict[str, Any], inputs: Properties) -> None:
        """Stop it, as EC2 wants it, and start it as another type if it ran."""
        machine, ran = self.aws.machines[identity], self.aws.machines[identity].running
        if ran:
            stop(self.aws, found)
        kind = {"Value": inputs["instanceType"]}
        self.at(identity, "modify_instance_attribute", InstanceId=identity, InstanceType=kind)
        machine.disks_gb = self._local_disks_gb(inputs)
        if ran:
            start(self.aws, found)

    def delete(self, identity: str) -> None:
        self.aws.terminate(identity)


class _InstanceState(Ec2Kind):
    replaces = frozenset({"region", "instanceId"})
    tagged = False

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        identity = inputs["instanceId"]
        self.update(identity, inputs)
        return identity, {}

    def read(self, identity: str) -> Properties | None:
        found = self.aws.describe(identity)
        return {"state": found["State"]["Name"]} if found else None

    def update(self, identity: str, inputs: Properties) -> Properties:
        machine, wanted, found = self.aws.machines[identity], inputs["state"], self.aws.describe(identity)
        if found is None:
            raise CloudError(f"IncorrectInstanceState: The instance '{identity}' is not in a state to be {wanted}")
        if wanted == "stopped" and machine.running:
            stop(self.aws, found)
        elif wanted == "running" and not machine.running:
            start(self.aws, found)
        return {}

    def delete(self, identity: str) -> None:
        pass  # as the provider: the instance stays as it is


def stop(aws: Aws, found: dict[str, Any]) -> None:
    """Halt the machine of an instance; its disk stays, its address does not."""
    identity = found["InstanceId"]
    if found.get("InstanceLifecycle") == "spot":
        raise CloudError(
            f"UnsupportedOperation: You can't stop the Spot Instance '{identity}' because it is associated with a "
            "one-time Spot Instance request."
        )
    aws.ec2(aws.region_of(identity), "stop_instances", InstanceIds=[identity])
    aws.machines[identity].stop()


def start(aws: Aws, found: dict[str, Any]) -> None:
    """Boot the machine of an instance again."""
    identity = found["InstanceId"]
    aws.machines[identity].start()
    aws.ec2(aws.region_of(identity), "start_instances", InstanceIds=[identity])
    aws.enforce()


def _named_by_ec2(value: Any) -> Any:
    """Write the SDK's names, such as volumeSize, as EC2 does."""
    if isinstance(value, dict):
        return {f"{name[0].upper()}{name[1:]}": _named_by_ec2(inner) for name, inner in value.items()}
    return value


INSTANCES: dict[str, type[Ec2Kind]] = {
    "aws:ec2/instance:Instance": _Instance,
    "aws:ec2transitgateway/instanceState:InstanceState": _InstanceState,
}

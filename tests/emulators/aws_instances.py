"""The instances of EC2 and whether they run: each is a machine that really boots."""

from __future__ import annotations

from emulators.aws_kinds import Ec2Kind
from emulators.provider import CloudError, NotReadyError, Properties


class _Instance(Ec2Kind):
    replaces = frozenset({"region", "ami", "subnetId", "keyName"})

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
        region = inputs["region"]
        if not self.aws.ec2(region, "describe_images", ImageIds=[inputs["ami"]])["Images"]:
            raise CloudError(f"InvalidAMIID.NotFound: {inputs['ami']}")
        self.aws.ec2(region, "describe_key_pairs", KeyNames=[inputs["keyName"]])
        interface = {
            "DeviceIndex": 0,
            "SubnetId": inputs["subnetId"],
            "Groups": inputs["vpcSecurityGroupIds"],
            "AssociatePublicIpAddress": inputs["associatePublicIpAddress"],
        }
        self.aws.ec2(region, "describe_security_groups", GroupIds=inputs["vpcSecurityGroupIds"])
        if len(inputs["userData"].encode()) > 16384:
            raise CloudError("InvalidParameterValue: User data is limited to 16384 bytes")
        made = self.aws.ec2(
            region,
            "run_instances",
            ImageId=inputs["ami"],
            InstanceType=inputs["instanceType"],
            KeyName=inputs["keyName"],
            MinCount=1,
            MaxCount=1,
            UserData=inputs["userData"],
            NetworkInterfaces=[interface],
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
        self.aws.enforce()
        return {}

    def delete(self, identity: str) -> None:
        self.at(identity, "terminate_instances", InstanceIds=[identity])
        machine = self.aws.machines.pop(identity, None)
        if machine is not None:
            machine.remove()


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
        machine, wanted = self.aws.machines[identity], inputs["state"]
        if wanted == "stopped" and machine.running:
            self.call(inputs, "stop_instances", InstanceIds=[identity])
            machine.stop()
        elif wanted == "running" and not machine.running:
            machine.start()
            self.call(inputs, "start_instances", InstanceIds=[identity])
            self.aws.enforce()
        return {}

    def delete(self, identity: str) -> None:
        pass  # as the provider: the instance stays as it is


INSTANCES: dict[str, type[Ec2Kind]] = {
    "aws:ec2/instance:Instance": _Instance,
    "aws:ec2transitgateway/instanceState:InstanceState": _InstanceState,
}

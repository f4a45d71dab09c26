"""An emulated AWS: moto keeps the API's own rules, machines of systemd-nspawn are its instances.

A resource's handler asks moto through boto3 as the real provider asks Amazon, so references to what does not exist,
duplicates and the like are refused in Amazon's own words.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CANONICAL = "099720109477"
_IMAGES = [
    {
        "ami_id": f"ami-0noble{arm:011d}",
        "name": f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{'arm64' if arm else 'amd64'}-server-20260601",
        "description": "Canonical, Ubuntu, 24.04 LTS",
        "owner_id": CANONICAL,
        "image_location": "",
        "image_type": "machine",
        "public": True,
        "architecture": "arm64" if arm else "x86_64",
        "platform": None,
        "root_device_name": "/dev/sda1",
        "root_device_type": "ebs",
        "virtualization_type": "hvm",
        "hypervisor": "xen",
        "state": "available",
        "sriov": "simple",
        "creation_date": "2026-06-01T00:00:00.000Z",
    }
    for arm in (0, 1)
]
with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as _file:
    json.dump(_IMAGES, _file)
os.environ["MOTO_AMIS_PATH"] = _file.name  # read when moto's EC2 is first imported

import boto3  # noqa: E402
import moto.ec2.models.amis  # noqa: E402, F401
from botocore.exceptions import ClientError  # noqa: E402
from moto import mock_aws  # noqa: E402

from emulators.machine import Image, Machine  # noqa: E402
from emulators.provider import Cloud, CloudError, Kind, NotReadyError, Properties  # noqa: E402
from stacks.local.network import WideAreaNetwork  # noqa: E402

Path(_file.name).unlink()

PRICES = {"m5d.2xlarge": 0.504, "m5d.large": 0.126}
GP3_USD = 0.088
_THROTTLED = {"Error": {"Code": "RequestLimitExceeded", "Message": "Request limit exceeded."}}


class Aws:
    """One account. `faults` by the Name of an instance: `capacity` or `late`; `throttle` counts calls to refuse."""

    def __init__(self, folder: Path, image: Image, network: WideAreaNetwork) -> None:
        self.faults: dict[str, str] = {}
        self.throttle = 0
        self.machines: dict[str, Machine] = {}
        self.groups: dict[str, list[str]] = {}  # of each instance; moto tells those of its interface only
        self._folder, self._image, self._network = folder, image, network
        self._lock = threading.RLock()
        self._clients: dict[str, Any] = {}
        self._regions: dict[str, str] = {}
        self._mock = mock_aws()
        self._mock.start()

    def cloud(self) -> Cloud:
        """The provider of this account."""
        kinds: dict[str, Kind] = {token: kind(self) for token, kind in _KINDS.items()}
        functions: dict[str, Callable[[Properties], Properties]] = {
            "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": self._offerings,
            "aws:ec2/getInstanceType:getInstanceType": self._instance_type,
            "aws:ec2/getAmi:getAmi": self._ami,
            "aws:ec2/getInstance:getInstance": self._get_instance,
            "aws:pricing/getProduct:getProduct": self._price,
            "aws:ec2/getSpotPrice:getSpotPrice": self._spot_price,
        }
        return Cloud(kinds, functions, self._configure)

    def close(self) -> None:
        """End every machine and forget the account."""
        for machine in self.machines.values():
            machine.remove()
        self._mock.stop()

    def ec2(self, region: str, operation: str, **arguments: Any) -> Any:
        """Call EC2's API, again where it is throttled, as the provider does."""
        for attempt in range(25):
            try:
                with self._lock:
                    return self._once(region, operation, arguments)
            except ClientError as error:
                if error.response["Error"]["Code"] != "RequestLimitExceeded" or attempt == 24:
                    raise CloudError(str(error)) from None
            time.sleep(0.01)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, region: str, operation: str, arguments: dict[str, Any]) -> Any:
        if self.throttle:
            self.throttle -= 1
            raise ClientError(_THROTTLED, operation)  # type: ignore[arg-type]
        if region not in self._clients:
            self._clients[region] = boto3.client("ec2", region_name=region)
        return getattr(self._clients[region], operation)(**arguments)

    def place(self, identity: str, region: str) -> None:
        """Remember in which region something is."""
        self._regions[identity] = region

    def region_of(self, identity: str) -> str:
        return self._regions[identity]

    def describe(self, identity: str) -> dict[str, Any] | None:
        """An instance as Amazon sees it, None once it is terminated; a machine that ended by itself is noticed."""
        region = self._regions.get(identity)
        if region is None:
            return None
        (reservation,) = self.ec2(region, "describe_instances", InstanceIds=[identity])["Reservations"]
        found: dict[str, Any] = reservation["Instances"][0]
        machine = self.machines.get(identity)
        if found["State"]["Name"] == "running" and machine is not None and not machine.running:
            self.ec2(region, "terminate_instances", InstanceIds=[identity])  # instance_initiated_shutdown_behavior
            self.machines.pop(identity).remove()
            return None
        return None if found["State"]["Name"] == "terminated" else found

    def boot(self, identity: str, name: str, region: str, user_data: str) -> Machine:
        machine = self.machines[identity] = Machine(self._folder / identity, self._image, self._network, name, region)
        machine.create(user_data)
        return machine

    def enforce(self) -> None:
        """Give every machine the rules of its security groups."""
        with self._lock:
            for identity, machine in list(self.machines.items()):
                if machine.running:
                    machine.guard(self._rules(identity))

    def _rules(self, identity: str) -> list[tuple[str, str, str]]:
        region = self._regions[identity]
        asked = [{"Name": "group-id", "Values": self.groups[identity]}]
        rules = []
        for rule in self.ec2(region, "describe_security_group_rules", Filters=asked)["SecurityGroupRules"]:
            if not rule["IsEgress"]:
                ports = f"{rule['FromPort']}-{rule['ToPort']}" if rule.get("FromPort", -1) >= 0 else ""
                protocol = "all" if rule["IpProtocol"] == "-1" else rule["IpProtocol"]
                rules += [(protocol, ports, source) for source in self._sources(region, rule)]
        return rules

    def _sources(self, region: str, rule: dict[str, Any]) -> list[str]:
        listed = rule.get("PrefixListId")
        if listed is None:
            return [source for source in (rule.get("CidrIpv4"), rule.get("CidrIpv6")) if source]
        found = self.ec2(region, "get_managed_prefix_list_entries", PrefixListId=listed)
        return [entry["Cidr"] for entry in found["Entries"]]

    def _configure(self, arguments: Properties) -> None:
        for text in json.loads(arguments.get("sharedCredentialsFiles") or "[]"):
            if "aws_secret_access_key" not in Path(text).read_text(encoding="utf-8"):
                raise CloudError("No valid credential sources found")
        if not arguments.get("region"):
            raise CloudError("missing region configuration")

    def _offerings(self, asked: Properties) -> Properties:
        filters = [{"Name": one["name"], "Values": one["values"]} for one in asked["filters"]]
        kind = asked["locationType"]
        found = self.ec2(asked["region"], "describe_instance_type_offerings", LocationType=kind, Filters=filters)
        return {"id": asked["region"], "locations": [one["Location"] for one in found["InstanceTypeOfferings"]]}

    def _instance_type(self, asked: Properties) -> Properties:
        found = self.ec2(asked["region"], "describe_instance_types", InstanceTypes=[asked["instanceType"]])
        (kind,) = found["InstanceTypes"]
        return {
            "id": asked["instanceType"],
            "supportedArchitectures": kind["ProcessorInfo"]["SupportedArchitectures"],
            "defaultVcpus": kind["VCpuInfo"]["DefaultVCpus"],
            "memorySize": kind["MemoryInfo"]["SizeInMiB"],
        }

    def _ami(self, asked: Properties) -> Properties:
        filters = [{"Name": one["name"], "Values": one["values"]} for one in asked["filters"]]
        images = self.ec2(asked["region"], "describe_images", Owners=asked["owners"], Filters=filters)["Images"]
        if not images:
            raise CloudError("Your query returned no results. Please change your search criteria and try again.")
        newest = max(images, key=lambda image: image["CreationDate"])
        return {"id": newest["ImageId"], "architecture": newest["Architecture"]}

    def _get_instance(self, asked: Properties) -> Properties:
        found = self.describe(asked["instanceId"])
        if found is None:
            raise CloudError("Your query returned no results. Please change your search criteria and try again.")
        machine = self.machines[asked["instanceId"]]
        return {"id": asked["instanceId"], "publicIp": machine.address, "instanceState": found["State"]["Name"]}

    def _price(self, asked: Properties) -> Properties:
        fields = {one["field"]: one["value"] for one in asked["filters"]}
        disk = fields.get("volumeApiName") == "gp3"
        price = GP3_USD if disk else PRICES.get(fields.get("instanceType", ""))
        if price is None:
            raise CloudError("Pricing product query not precise enough. Returned 0 elements")
        dimension = {"unit": "GB-Mo" if disk else "Hrs", "pricePerUnit": {"USD": f"{price:.10f}"}}
        terms = {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}}
        return {"id": "price", "result": json.dumps({"serviceCode": asked["serviceCode"], "terms": terms})}

    def _spot_price(self, asked: Properties) -> Properties:
        return {"id": "spot", "spotPrice": f"{PRICES[asked['instanceType']] * 0.3:.6f}"}


class _Kind:
    """A resource of EC2; most differ in a call or two."""

    replaces: frozenset[str] = frozenset({"region"})
    named: str | None = None

    def __init__(self, aws: Aws) -> None:
        self.aws = aws

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        identity, computed = self.make(inputs)
        self.aws.place(identity, inputs["region"])
        if inputs.get("tags") and self.tagged:
            self._tag(identity, inputs)
        return identity, {**inputs, **computed, "id": identity}

    tagged = True

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        raise NotImplementedError

    def read(self, identity: str) -> Properties | None:
        return {}

    def update(self, identity: str, inputs: Properties) -> Properties:
        if inputs.get("tags") and self.tagged:
            self._tag(identity, inputs)
        return {}

    def delete(self, identity: str) -> None:
        raise NotImplementedError

    def call(self, inputs: Properties, operation: str, **arguments: Any) -> Any:
        return self.aws.ec2(inputs["region"], operation, **arguments)

    def at(self, identity: str, operation: str, **arguments: Any) -> Any:
        return self.aws.ec2(self.aws.region_of(identity), operation, **arguments)

    def _tag(self, identity: str, inputs: Properties) -> None:
        tags = [{"Key": key, "Value": value} for key, value in inputs["tags"].items()]
        self.call(inputs, "create_tags", Resources=[identity], Tags=tags)


class _Vpc(_Kind):
    replaces = frozenset({"region", "cidrBlock"})

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        vpc = self.call(inputs, "create_vpc", CidrBlock=inputs["cidrBlock"])["Vpc"]["VpcId"]
        filters = [{"Name": "vpc-id", "Values": [vpc]}]
        (table,) = self.call(inputs, "describe_route_tables", Filters=filters)["RouteTables"]
        return vpc, {"defaultRouteTableId": table["RouteTableId"]}

    def delete(self, identity: str) -> None:
        self.at(identity, "delete_vpc", VpcId=identity)


class _InternetGateway(_Kind):
    def make(self, inputs: Properties) -> tuple[str, Properties]:
        gateway = self.call(inputs, "create_internet_gateway")["InternetGateway"]["InternetGatewayId"]
        self.call(inputs, "attach_internet_gateway", InternetGatewayId=gateway, VpcId=inputs["vpcId"])
        return gateway, {}

    def delete(self, identity: str) -> None:
        found = self.at(identity, "describe_internet_gateways", InternetGatewayIds=[identity])["InternetGateways"]
        for attachment in found[0]["Attachments"]:
            self.at(identity, "detach_internet_gateway", InternetGatewayId=identity, VpcId=attachment["VpcId"])
        self.at(identity, "delete_internet_gateway", InternetGatewayId=identity)


class _DefaultRouteTable(_Kind):
    def make(self, inputs: Properties) -> tuple[str, Properties]:
        table = inputs["defaultRouteTableId"]
        for route in inputs["routes"]:
            target = {"DestinationCidrBlock": route["cidrBlock"], "GatewayId": route["gatewayId"]}
            self.call(inputs, "create_route", RouteTableId=table, **target)
        return table, {}

    def delete(self, identity: str) -> None:
        pass  # the table goes with its VPC


class _Subnet(_Kind):
    replaces = frozenset({"region", "cidrBlock", "availabilityZone", "vpcId"})

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        where = {"CidrBlock": inputs["cidrBlock"], "AvailabilityZone": inputs["availabilityZone"]}
        return self.call(inputs, "create_subnet", VpcId=inputs["vpcId"], **where)["Subnet"]["SubnetId"], {}

    def delete(self, identity: str) -> None:
        self.at(identity, "delete_subnet", SubnetId=identity)


class _SecurityGroup(_Kind):
    replaces = frozenset({"region", "name", "description", "vpcId"})
    named = "name"

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        about = {"GroupName": inputs["name"], "Description": inputs["description"], "VpcId": inputs["vpcId"]}
        group = self.call(inputs, "create_security_group", **about)["GroupId"]
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        self.call(inputs, "revoke_security_group_egress", GroupId=group, IpPermissions=everything)
        return group, {}

    def delete(self, identity: str) -> None:
        self.at(identity, "delete_security_group", GroupId=identity)


class _Rule(_Kind):
    replaces = frozenset({"region", "securityGroupId"})
    direction = "ingress"

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        permission: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
        if "fromPort" in inputs:
            permission |= {"FromPort": inputs["fromPort"], "ToPort": inputs["toPort"]}
        if "cidrIpv4" in inputs:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"]}]
        if "cidrIpv6" in inputs:
            permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"]}]
        if "prefixListId" in inputs:
            self.call(inputs, "describe_managed_prefix_lists", PrefixListIds=[inputs["prefixListId"]])
            permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"]}]
        group = inputs["securityGroupId"]
        operation = f"authorize_security_group_{self.direction}"
        (rule,) = self.call(inputs, operation, GroupId=group, IpPermissions=[permission])["SecurityGroupRules"]
        self.aws.enforce()
        return rule["SecurityGroupRuleId"], {"securityGroupRuleId": rule["SecurityGroupRuleId"]}

    def delete(self, identity: str) -> None:
        found = self.at(identity, "describe_security_group_rules", SecurityGroupRuleIds=[identity])
        (rule,) = found["SecurityGroupRules"]
        operation = f"revoke_security_group_{self.direction}"
        self.at(identity, operation, GroupId=rule["GroupId"], SecurityGroupRuleIds=[identity])
        self.aws.enforce()


class _EgressRule(_Rule):
    direction = "egress"


class _PrefixList(_Kind):
    replaces = frozenset({"region", "addressFamily"})
    named = "name"

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        about = {"PrefixListName": inputs["name"], "AddressFamily": inputs["addressFamily"]}
        size = inputs["maxEntries"]
        entries = [{"Cidr": entry["cidr"]} for entry in inputs.get("entries", [])]
        if len(entries) > size or len({entry["Cidr"] for entry in entries}) < len(entries):
            raise CloudError(f"InvalidParameterValue: {len(entries)} entries, at most {size} different ones")
        made = self.call(inputs, "create_managed_prefix_list", MaxEntries=size, Entries=entries, **about)
        return made["PrefixList"]["PrefixListId"], {}

    def update(self, identity: str, inputs: Properties) -> Properties:
        wanted = {entry["cidr"] for entry in inputs.get("entries", [])}
        found = self.at(identity, "get_managed_prefix_list_entries", PrefixListId=identity)["Entries"]
        there = {entry["Cidr"] for entry in found}
        (about,) = self.at(identity, "describe_managed_prefix_lists", PrefixListIds=[identity])["PrefixLists"]
        change = {
            "AddEntries": [{"Cidr": cidr} for cidr in wanted - there],
            "RemoveEntries": [{"Cidr": cidr} for cidr in there - wanted],
        }
        given = {key: value for key, value in change.items() if value}
        if given:
            version = about["Version"]
            self.at(identity, "modify_managed_prefix_list", PrefixListId=identity, CurrentVersion=version, **given)
            self.aws.enforce()
        return super().update(identity, inputs)

    def delete(self, identity: str) -> None:
        self.at(identity, "delete_managed_prefix_list", PrefixListId=identity)


class _KeyPair(_Kind):
    replaces = frozenset({"region", "keyName", "publicKey"})
    named = "keyName"
    tagged = False

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        self.call(inputs, "import_key_pair", KeyName=inputs["keyName"], PublicKeyMaterial=inputs["publicKey"].encode())
        return inputs["keyName"], {}

    def delete(self, identity: str) -> None:
        self.at(identity, "delete_key_pair", KeyName=identity)


class _Instance(_Kind):
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
        machine = self.aws.boot(identity, name, inputs["region"], inputs["userData"])
        self.aws.enforce()
        computed = {"publicIp": machine.address, "instanceState": "running"}
        if fault == "late":
            made = {**inputs, **computed, "id": identity}
            raise NotReadyError(identity, made, f"waiting for EC2 Instance ({identity}) to be ready: timeout")
        return identity, computed

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


class _InstanceState(_Kind):
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


_KINDS: dict[str, type[_Kind]] = {
    "aws:ec2/vpc:Vpc": _Vpc,
    "aws:ec2/internetGateway:InternetGateway": _InternetGateway,
    "aws:ec2/defaultRouteTable:DefaultRouteTable": _DefaultRouteTable,
    "aws:ec2/subnet:Subnet": _Subnet,
    "aws:ec2/securityGroup:SecurityGroup": _SecurityGroup,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _Rule,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _EgressRule,
    "aws:ec2/managedPrefixList:ManagedPrefixList": _PrefixList,
    "aws:ec2/keyPair:KeyPair": _KeyPair,
    "aws:ec2/instance:Instance": _Instance,
    "aws:ec2transitgateway/instanceState:InstanceState": _InstanceState,
}

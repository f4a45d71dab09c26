"""The kinds of resources of EC2: a resource calls the API as the real provider calls Amazon.

Every input is read back from the API: one without an effect is an error, and so is a changed one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fakes.emulators import aws_refusals as refusals
from fakes.emulators.properties import asked_part, same
from fakes.emulators.provider import CloudError, Properties

if TYPE_CHECKING:
    from fakes.emulators.aws import Aws


class Ec2Kind:
    """A resource of EC2; most differ in a call or two."""

    replaces: frozenset[str] = frozenset({"region"})
    named: str | None = None
    computed: frozenset[str] = frozenset()
    """Inputs that keep their value if they are empty or missing."""
    tagged = True

    def __init__(self, aws: Aws) -> None:
        self.aws = aws

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        identity = self.make(inputs)
        self.aws.place(identity, inputs["region"])
        self.tag(identity, inputs)
        return identity, {**inputs, **self._confirmed(identity, inputs, "is not emulated"), "id": identity}

    def read(self, identity: str) -> Properties | None:
        if self.aws.region_of(identity) is None:
            return None
        try:
            found = self.look(identity)
        except CloudError as error:
            if _is_gone(error):
                return None
            raise
        return None if found is None else {"region": self.aws.region_of(identity), **found}

    def update(self, identity: str, inputs: Properties) -> Properties:
        self.change(identity, inputs)
        self.tag(identity, inputs)
        inputs = {name: value for name, value in inputs.items() if value or name not in self.computed}
        return self._confirmed(identity, inputs, "cannot be changed in this emulation")

    def delete(self, identity: str) -> None:
        try:
            self.remove(identity)
        except CloudError as error:
            if not _is_gone(error):
                raise

    def make(self, inputs: Properties) -> str:
        """Create it and return its identity."""
        raise NotImplementedError

    def look(self, identity: str) -> Properties | None:
        """Describe it with the SDK's names: every possible input, and the outputs that programs read."""
        raise NotImplementedError

    def change(self, identity: str, inputs: Properties) -> None:
        """Apply those inputs that the provider changes in place; reject any other difference."""

    def remove(self, identity: str) -> None:
        raise NotImplementedError

    def call(self, inputs: Properties, operation: str, **arguments: Any) -> Any:
        return self.aws.ec2(inputs["region"], operation, **arguments)

    def at(self, identity: str, operation: str, **arguments: Any) -> Any:
        return self.aws.ec2(self.aws.region_of(identity) or "", operation, **arguments)

    def refuse_if_used(self, identity: str) -> None:
        refusals.of_removal(self.aws, self.aws.region_of(identity) or "", identity)

    def tag(self, identity: str, inputs: Properties) -> None:
        """Set its tags, and remove all others."""
        if self.tagged:
            found = self.read(identity) or {}
            self.retag(identity, self.taggable(identity), found.get("tags", {}), inputs.get("tags", {}))

    def taggable(self, identity: str) -> str:
        """The resource type in calls about tags."""
        return identity

    def retag(self, identity: str, target: str, found: dict[str, str], wanted: dict[str, str]) -> None:
        refusals.of_tags(wanted)
        gone = [{"Key": key} for key in found.keys() - wanted.keys()]
        new = [{"Key": key, "Value": value} for key, value in wanted.items() if found.get(key) != value]
        if gone:
            self.at(identity, "delete_tags", Resources=[target], Tags=gone)
        if new:
            self.at(identity, "create_tags", Resources=[target], Tags=new)

    def _confirmed(self, identity: str, inputs: Properties, otherwise: str) -> Properties:
        found = self.read(identity)
        if found is None:
            raise CloudError(f"{identity} does not exist")
        there = asked_part(found, inputs)
        wrong = [name for name, value in inputs.items() if not same(there.get(name), value)]
        if wrong:
            raise CloudError(f"{identity}: {', '.join(wrong)} {otherwise}")
        return found


def tags_of(found: dict[str, Any]) -> dict[str, str]:
    """Return the tags in a description of EC2."""
    return {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}


def _is_gone(error: CloudError) -> bool:
    return ".NotFound" in str(error)


class _Vpc(Ec2Kind):
    replaces = frozenset({"region", "cidrBlock"})

    def make(self, inputs: Properties) -> str:
        vpc: str = self.call(inputs, "create_vpc", CidrBlock=inputs["cidrBlock"])["Vpc"]["VpcId"]
        self.aws.place(vpc, inputs["region"])
        self.change(vpc, inputs)
        return vpc

    def look(self, identity: str) -> Properties:
        (vpc,) = self.at(identity, "describe_vpcs", VpcIds=[identity])["Vpcs"]
        filters = [{"Name": "vpc-id", "Values": [identity]}]
        (table,) = self.at(identity, "describe_route_tables", Filters=filters)["RouteTables"]
        dns = {
            f"e{name[1:]}": self.at(identity, "describe_vpc_attribute", VpcId=identity, Attribute=f"e{name[1:]}")[name]
            for name in ("EnableDnsSupport", "EnableDnsHostnames")
        }
        return {
            "cidrBlock": vpc["CidrBlock"],
            "defaultRouteTableId": table["RouteTableId"],
            "tags": tags_of(vpc),
            **{name: setting["Value"] for name, setting in dns.items()},
        }

    def change(self, identity: str, inputs: Properties) -> None:
        for name in ("EnableDnsSupport", "EnableDnsHostnames"):  # the API takes one at a time
            wanted = inputs.get(f"e{name[1:]}", name == "EnableDnsSupport")
            self.at(identity, "modify_vpc_attribute", VpcId=identity, **{name: {"Value": wanted}})

    def remove(self, identity: str) -> None:
        self.refuse_if_used(identity)
        self.at(identity, "delete_vpc", VpcId=identity)


class _InternetGateway(Ec2Kind):
    def make(self, inputs: Properties) -> str:
        gateway: str = self.call(inputs, "create_internet_gateway")["InternetGateway"]["InternetGatewayId"]
        self.call(inputs, "attach_internet_gateway", InternetGatewayId=gateway, VpcId=inputs["vpcId"])
        return gateway

    def look(self, identity: str) -> Properties:
        (found,) = self.at(identity, "describe_internet_gateways", InternetGatewayIds=[identity])["InternetGateways"]
        attached = [attachment["VpcId"] for attachment in found["Attachments"]]
        return {"vpcId": attached[0] if attached else "", "tags": tags_of(found)}

    def remove(self, identity: str) -> None:
        vpc = self.look(identity)["vpcId"]
        if vpc:
            refusals.of_detachment(self.aws, self.aws.region_of(identity) or "", vpc)
            self.at(identity, "detach_internet_gateway", InternetGatewayId=identity, VpcId=vpc)
        self.at(identity, "delete_internet_gateway", InternetGatewayId=identity)


class _DefaultRouteTable(Ec2Kind):
    replaces = frozenset({"region", "defaultRouteTableId"})

    def make(self, inputs: Properties) -> str:
        table: str = inputs["defaultRouteTableId"]
        self.aws.place(table, inputs["region"])
        self.change(table, inputs)
        return table

    def look(self, identity: str) -> Properties:
        (table,) = self.at(identity, "describe_route_tables", RouteTableIds=[identity])["RouteTables"]
        routes = [
            {"cidrBlock": route["DestinationCidrBlock"], "gatewayId": route["GatewayId"]}
            for route in table["Routes"]
            if route["GatewayId"] != "local"
        ]
        return {"defaultRouteTableId": identity, "routes": routes, "tags": tags_of(table)}

    def change(self, identity: str, inputs: Properties) -> None:
        there, wanted = self.look(identity)["routes"], inputs.get("routes", [])
        for route in there:
            if route not in wanted:
                self.at(identity, "delete_route", RouteTableId=identity, DestinationCidrBlock=route["cidrBlock"])
        for route in wanted:
            if route not in there:
                target = {"DestinationCidrBlock": route["cidrBlock"], "GatewayId": route["gatewayId"]}
                self.at(identity, "create_route", RouteTableId=identity, **target)

    def remove(self, identity: str) -> None:
        pass  # the table goes with its VPC


class _Subnet(Ec2Kind):
    replaces = frozenset({"region", "cidrBlock", "availabilityZone", "vpcId"})

    def make(self, inputs: Properties) -> str:
        where = {"CidrBlock": inputs["cidrBlock"], "AvailabilityZone": inputs["availabilityZone"]}
        subnet: str = self.call(inputs, "create_subnet", VpcId=inputs["vpcId"], **where)["Subnet"]["SubnetId"]
        self.aws.place(subnet, inputs["region"])
        self.change(subnet, inputs)
        return subnet

    def look(self, identity: str) -> Properties:
        (subnet,) = self.at(identity, "describe_subnets", SubnetIds=[identity])["Subnets"]
        fields = {"cidrBlock": "CidrBlock", "availabilityZone": "AvailabilityZone", "vpcId": "VpcId"}
        public = {"mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"]}
        return {**{name: subnet[field] for name, field in fields.items()}, **public, "tags": tags_of(subnet)}

    def change(self, identity: str, inputs: Properties) -> None:
        public = {"Value": inputs.get("mapPublicIpOnLaunch", False)}
        self.at(identity, "modify_subnet_attribute", SubnetId=identity, MapPublicIpOnLaunch=public)

    def remove(self, identity: str) -> None:
        self.refuse_if_used(identity)
        self.at(identity, "delete_subnet", SubnetId=identity)


class _KeyPair(Ec2Kind):
    replaces = frozenset({"region", "keyName", "publicKey"})
    named = "keyName"

    def make(self, inputs: Properties) -> str:
        name: str = inputs["keyName"]
        self.call(inputs, "import_key_pair", KeyName=name, PublicKeyMaterial=inputs["publicKey"].encode())
        return name

    def look(self, identity: str) -> Properties:
        (found,) = self.at(identity, "describe_key_pairs", KeyNames=[identity], IncludePublicKey=True)["KeyPairs"]
        key = {"keyPairId": found["KeyPairId"], "publicKey": found["PublicKey"]}
        return {"keyName": identity, **key, "tags": tags_of(found)}

    def taggable(self, identity: str) -> str:
        identifier: str = self.look(identity)["keyPairId"]
        return identifier

    def remove(self, identity: str) -> None:
        self.at(identity, "delete_key_pair", KeyName=identity)


KINDS: dict[str, type[Ec2Kind]] = {
    "aws:ec2/vpc:Vpc": _Vpc,
    "aws:ec2/internetGateway:InternetGateway": _InternetGateway,
    "aws:ec2/defaultRouteTable:DefaultRouteTable": _DefaultRouteTable,
    "aws:ec2/subnet:Subnet": _Subnet,
    "aws:ec2/keyPair:KeyPair": _KeyPair,
}

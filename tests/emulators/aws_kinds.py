"""The kinds of resources of EC2: a resource asks the API as the real provider asks Amazon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulators import aws_refusals as refusals
from emulators.provider import Properties

if TYPE_CHECKING:
    from emulators.aws import Aws


class Ec2Kind:
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

    def refuse_if_used(self, identity: str) -> None:
        refusals.of_removal(self.aws, self.aws.region_of(identity), identity)

    def _tag(self, identity: str, inputs: Properties) -> None:
        refusals.of_tags(inputs["tags"])
        tags = [{"Key": key, "Value": value} for key, value in inputs["tags"].items()]
        self.call(inputs, "create_tags", Resources=[identity], Tags=tags)


class _Vpc(Ec2Kind):
    replaces = frozenset({"region", "cidrBlock"})

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        vpc = self.call(inputs, "create_vpc", CidrBlock=inputs["cidrBlock"])["Vpc"]["VpcId"]
        filters = [{"Name": "vpc-id", "Values": [vpc]}]
        (table,) = self.call(inputs, "describe_route_tables", Filters=filters)["RouteTables"]
        return vpc, {"defaultRouteTableId": table["RouteTableId"]}

    def delete(self, identity: str) -> None:
        self.refuse_if_used(identity)
        self.at(identity, "delete_vpc", VpcId=identity)


class _InternetGateway(Ec2Kind):
    def make(self, inputs: Properties) -> tuple[str, Properties]:
        gateway = self.call(inputs, "create_internet_gateway")["InternetGateway"]["InternetGatewayId"]
        self.call(inputs, "attach_internet_gateway", InternetGatewayId=gateway, VpcId=inputs["vpcId"])
        return gateway, {}

    def delete(self, identity: str) -> None:
        found = self.at(identity, "describe_internet_gateways", InternetGatewayIds=[identity])["InternetGateways"]
        for attachment in found[0]["Attachments"]:
            refusals.of_detachment(self.aws, self.aws.region_of(identity), attachment["VpcId"])
            self.at(identity, "detach_internet_gateway", InternetGatewayId=identity, VpcId=attachment["VpcId"])
        self.at(identity, "delete_internet_gateway", InternetGatewayId=identity)


class _DefaultRouteTable(Ec2Kind):
    def make(self, inputs: Properties) -> tuple[str, Properties]:
        table = inputs["defaultRouteTableId"]
        for route in inputs["routes"]:
            target = {"DestinationCidrBlock": route["cidrBlock"], "GatewayId": route["gatewayId"]}
            self.call(inputs, "create_route", RouteTableId=table, **target)
        return table, {}

    def delete(self, identity: str) -> None:
        pass  # the table goes with its VPC


class _Subnet(Ec2Kind):
    replaces = frozenset({"region", "cidrBlock", "availabilityZone", "vpcId"})

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        where = {"CidrBlock": inputs["cidrBlock"], "AvailabilityZone": inputs["availabilityZone"]}
        subnet = self.call(inputs, "create_subnet", VpcId=inputs["vpcId"], **where)["Subnet"]["SubnetId"]
        public = {"Value": inputs.get("mapPublicIpOnLaunch", False)}
        self.call(inputs, "modify_subnet_attribute", SubnetId=subnet, MapPublicIpOnLaunch=public)
        return subnet, {}

    def delete(self, identity: str) -> None:
        self.refuse_if_used(identity)
        self.at(identity, "delete_subnet", SubnetId=identity)


class _SecurityGroup(Ec2Kind):
    replaces = frozenset({"region", "name", "description", "vpcId"})
    named = "name"

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        refusals.of_group(inputs)
        about = {"GroupName": inputs["name"], "Description": inputs["description"], "VpcId": inputs["vpcId"]}
        group = self.call(inputs, "create_security_group", **about)["GroupId"]
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        self.call(inputs, "revoke_security_group_egress", GroupId=group, IpPermissions=everything)
        return group, {}

    def delete(self, identity: str) -> None:
        self.refuse_if_used(identity)
        self.at(identity, "delete_security_group", GroupId=identity)


class _Rule(Ec2Kind):
    replaces = frozenset({"region", "securityGroupId"})
    direction = "ingress"

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        refusals.of_rule(self.aws, inputs, self.direction)
        permission: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
        if "fromPort" in inputs:
            permission |= {"FromPort": inputs["fromPort"], "ToPort": inputs["toPort"]}
        if "cidrIpv4" in inputs:
            permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"]}]
        if "cidrIpv6" in inputs:
            permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"]}]
        if "prefixListId" in inputs:
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


class _PrefixList(Ec2Kind):
    replaces = frozenset({"region", "addressFamily"})
    named = "name"

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        refusals.of_entries(inputs)
        about = {"PrefixListName": inputs["name"], "AddressFamily": inputs["addressFamily"]}
        size = inputs["maxEntries"]
        entries = [{"Cidr": entry["cidr"]} for entry in inputs.get("entries", [])]
        made = self.call(inputs, "create_managed_prefix_list", MaxEntries=size, Entries=entries, **about)
        return made["PrefixList"]["PrefixListId"], {}

    def update(self, identity: str, inputs: Properties) -> Properties:
        refusals.of_entries(inputs)
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
        self.refuse_if_used(identity)
        self.at(identity, "delete_managed_prefix_list", PrefixListId=identity)


class _KeyPair(Ec2Kind):
    replaces = frozenset({"region", "keyName", "publicKey"})
    named = "keyName"
    tagged = False

    def make(self, inputs: Properties) -> tuple[str, Properties]:
        self.call(inputs, "import_key_pair", KeyName=inputs["keyName"], PublicKeyMaterial=inputs["publicKey"].encode())
        return inputs["keyName"], {}

    def delete(self, identity: str) -> None:
        self.at(identity, "delete_key_pair", KeyName=identity)


KINDS: dict[str, type[Ec2Kind]] = {
    "aws:ec2/vpc:Vpc": _Vpc,
    "aws:ec2/internetGateway:InternetGateway": _InternetGateway,
    "aws:ec2/defaultRouteTable:DefaultRouteTable": _DefaultRouteTable,
    "aws:ec2/subnet:Subnet": _Subnet,
    "aws:ec2/securityGroup:SecurityGroup": _SecurityGroup,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _Rule,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _EgressRule,
    "aws:ec2/managedPrefixList:ManagedPrefixList": _PrefixList,
    "aws:ec2/keyPair:KeyPair": _KeyPair,
}

"""The firewall of EC2: security groups, their rules, and the prefix lists that rules name."""

from __future__ import annotations

from typing import Any

from fakes.emulators import aws_refusals as refusals
from fakes.emulators.aws_kinds import Ec2Kind, tags_of
from fakes.emulators.provider import Properties


class _SecurityGroup(Ec2Kind):
    replaces = frozenset({"region", "name", "description", "vpcId"})
    named = "name"

    def make(self, inputs: Properties) -> str:
        refusals.of_group(inputs)
        about = {"GroupName": inputs["name"], "Description": inputs["description"], "VpcId": inputs["vpcId"]}
        group: str = self.call(inputs, "create_security_group", **about)["GroupId"]
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        self.call(inputs, "revoke_security_group_egress", GroupId=group, IpPermissions=everything)
        return group

    def look(self, identity: str) -> Properties:
        (group,) = self.at(identity, "describe_security_groups", GroupIds=[identity])["SecurityGroups"]
        about = {"name": group["GroupName"], "description": group["Description"], "vpcId": group["VpcId"]}
        return {**about, "tags": tags_of(group)}

    def remove(self, identity: str) -> None:
        self.refuse_if_used(identity)
        self.at(identity, "delete_security_group", GroupId=identity)


class _Rule(Ec2Kind):
    replaces = frozenset({"region", "securityGroupId"})
    direction = "ingress"

    def make(self, inputs: Properties) -> str:
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
        identity: str = rule["SecurityGroupRuleId"]
        return identity

    def look(self, identity: str) -> Properties:
        found = self.at(identity, "describe_security_group_rules", SecurityGroupRuleIds=[identity])
        (rule,) = found["SecurityGroupRules"]
        ports = (rule.get("FromPort", -1), rule.get("ToPort", -1))
        every = ports == (-1, -1) and rule["IpProtocol"] == "-1"
        return {
            "securityGroupRuleId": identity,
            "securityGroupId": rule["GroupId"],
            "ipProtocol": rule["IpProtocol"],
            "fromPort": None if every else ports[0],
            "toPort": None if every else ports[1],
            "cidrIpv4": rule.get("CidrIpv4"),
            "cidrIpv6": rule.get("CidrIpv6"),
            "prefixListId": rule.get("PrefixListId"),
            "tags": tags_of(rule),
        }

    def remove(self, identity: str) -> None:
        operation = f"revoke_security_group_{self.direction}"
        group = self.look(identity)["securityGroupId"]
        self.at(identity, operation, GroupId=group, SecurityGroupRuleIds=[identity])
        self.aws.enforce()


class _EgressRule(_Rule):
    direction = "egress"


class _PrefixList(Ec2Kind):
    replaces = frozenset({"region", "addressFamily"})
    named = "name"
    computed = frozenset({"entries"})  # https://github.com/hashicorp/terraform-provider-aws/issues/34682

    def make(self, inputs: Properties) -> str:
        refusals.of_entries(inputs)
        about = {"PrefixListName": inputs["name"], "AddressFamily": inputs["addressFamily"]}
        size = inputs["maxEntries"]
        entries = [{"Cidr": entry["cidr"]} for entry in inputs.get("entries", [])]
        made = self.call(inputs, "create_managed_prefix_list", MaxEntries=size, Entries=entries, **about)
        identity: str = made["PrefixList"]["PrefixListId"]
        return identity

    def look(self, identity: str) -> Properties | None:
        found = self.at(identity, "describe_managed_prefix_lists", PrefixListIds=[identity])["PrefixLists"]
        if not found or found[0]["State"] == "delete-complete":
            return None
        entries = self.at(identity, "get_managed_prefix_list_entries", PrefixListId=identity)["Entries"]
        return {
            "name": found[0]["PrefixListName"],
            "addressFamily": found[0]["AddressFamily"],
            "maxEntries": found[0]["MaxEntries"],
            "entries": sorted(({"cidr": entry["Cidr"]} for entry in entries), key=lambda entry: str(entry["cidr"])),
            "version": found[0]["Version"],
            "tags": tags_of(found[0]),
        }

    def change(self, identity: str, inputs: Properties) -> None:
        refusals.of_entries(inputs)
        found = self.read(identity) or {"entries": [], "version": 0}
        wanted = {entry["cidr"] for entry in inputs.get("entries") or found["entries"]}
        there = {entry["cidr"] for entry in found["entries"]}
        change = {
            "AddEntries": [{"Cidr": cidr} for cidr in wanted - there],
            "RemoveEntries": [{"Cidr": cidr} for cidr in there - wanted],
        }
        given: dict[str, Any] = {key: value for key, value in change.items() if value}
        if given:
            given |= {"CurrentVersion": found["version"], "PrefixListName": inputs["name"]}
            self.at(identity, "modify_managed_prefix_list", PrefixListId=identity, **given)
            self.aws.enforce()

    def remove(self, identity: str) -> None:
        self.refuse_if_used(identity)
        self.at(identity, "delete_managed_prefix_list", PrefixListId=identity)


GROUPS: dict[str, type[Ec2Kind]] = {
    "aws:ec2/securityGroup:SecurityGroup": _SecurityGroup,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _Rule,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _EgressRule,
    "aws:ec2/managedPrefixList:ManagedPrefixList": _PrefixList,
}

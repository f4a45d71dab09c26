"""Checks of EC2 that moto does not make, with EC2's own messages.

The allowed values of a field come from Amazon's description of the API, which botocore carries; the rest is from
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and the pages of the calls themselves.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fakes.emulators.provider import CloudError, Properties

if TYPE_CHECKING:
    from fakes.emulators.aws import Aws

USER_DATA_LIMIT = 16384
GROUPS_PER_INSTANCE = 5
RULES_PER_GROUP = 60
IMAGE_GB = 8


def of_words(client: Any, operation: str, arguments: dict[str, Any]) -> None:
    """Reject a value that the API does not know, such as an instance type."""
    called = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
    for name, value, known in _words(called.input_shape, arguments, ""):
        if value not in known:
            raise CloudError(f"InvalidParameterValue: Invalid value '{value}' for {name}")


def _words(shape: Any, value: Any, name: str) -> Iterator[tuple[str, str, list[str]]]:
    if shape.type_name == "structure":
        for member, inner in value.items():
            yield from _words(shape.members[member], inner, f"{name}.{member}".lstrip("."))
    elif shape.type_name == "list":
        for inner in value:
            yield from _words(shape.member, inner, name)
    elif getattr(shape, "enum", []):
        yield name, value, shape.enum


def of_tags(tags: dict[str, str]) -> None:
    """Reject tags as https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html does."""
    for key, value in tags.items():
        if key.lower().startswith("aws:") or not 1 <= len(key) <= 128 or len(value) > 256:
            raise CloudError(f"InvalidParameterValue: Tag {key!r} with {value!r} is not valid")
    if len(tags) > 50:
        raise CloudError("TagLimitExceeded: More than 50 tags specified")


def of_group(inputs: Properties) -> None:
    """Reject an invalid name or description of a security group."""
    allowed = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}")
    if inputs["name"].startswith("sg-") or not allowed.fullmatch(inputs["name"]):
        raise CloudError(f"InvalidParameterValue: Value ({inputs['name']}) for parameter GroupName is invalid")
    if not allowed.fullmatch(inputs["description"]):
        raise CloudError("InvalidParameterValue: Invalid security group description. Valid descriptions are strings…")


def of_rule(aws: Aws, inputs: Properties, direction: str) -> None:
    """Reject an invalid rule, or more rules than the limit; a prefix list counts with its maximum size."""
    protocol, first, last = inputs["ipProtocol"], inputs.get("fromPort"), inputs.get("toPort")
    if protocol not in ("-1", "tcp", "udp", "icmp", "icmpv6"):
        raise CloudError(f"InvalidParameterValue: Invalid value '{protocol}' for IP protocol. Unknown protocol.")
    if protocol in ("tcp", "udp") and (first is None or last is None or not 0 <= first <= last <= 65535):
        raise CloudError(f"InvalidParameterValue: Invalid value '{first}-{last}' for portRange.")
    if protocol == "-1" and first is not None:
        raise CloudError("InvalidParameterValue: You may not specify all protocols and specific ports.")
    for network in (inputs.get("cidrIpv4"), inputs.get("cidrIpv6")):
        of_network(network, None)
    asked = [{"Name": "group-id", "Values": [inputs["securityGroupId"]]}]
    found = aws.ec2(inputs["region"], "describe_security_group_rules", Filters=asked)["SecurityGroupRules"]
    lists = [rule.get("PrefixListId") for rule in found if rule["IsEgress"] == (direction == "egress")]
    if sum(_weight(aws, inputs["region"], each) for each in [*lists, inputs.get("prefixListId")]) > RULES_PER_GROUP:
        raise CloudError("RulesPerSecurityGroupLimitExceeded: The maximum number of rules per security group…")


def _weight(aws: Aws, region: str, prefix_list: str | None) -> int:
    if prefix_list is None:
        return 1
    found = aws.ec2(region, "describe_managed_prefix_lists", PrefixListIds=[prefix_list])["PrefixLists"]
    if not found:
        raise CloudError(f"InvalidPrefixListID.NotFound: The prefix list ID '{prefix_list}' does not exist")
    return int(found[0]["MaxEntries"])


def of_network(text: str | None, version: int | None) -> None:
    """Reject a network that is not in CIDR notation, or not of the requested IP version."""
    try:
        if text and version not in (None, ipaddress.ip_network(text).version):
            raise ValueError
    except ValueError:
        raise CloudError(f"InvalidParameterValue: CIDR block {text} is malformed") from None


def of_entries(inputs: Properties) -> None:
    """Reject the entries of a prefix list: too many, duplicates, or of another family."""
    entries = [entry["cidr"] for entry in inputs.get("entries", [])]
    if len(entries) > inputs["maxEntries"]:
        raise CloudError(f"PrefixListMaxEntriesExceeded: {len(entries)} entries, at most {inputs['maxEntries']}")
    if len(set(entries)) < len(entries):
        raise CloudError("InvalidParameterValue: The request contains duplicate entries")
    for entry in entries:
        of_network(entry, {"IPv4": 4, "IPv6": 6}[inputs["addressFamily"]])


def of_launch(aws: Aws, inputs: Properties) -> None:
    """Reject an instance with an invalid combination of inputs."""
    region, wanted = inputs["region"], inputs["instanceType"]
    if len(inputs["userData"].encode()) > USER_DATA_LIMIT:
        raise CloudError(f"InvalidParameterValue: User data is limited to {USER_DATA_LIMIT} bytes")
    if inputs["rootBlockDevice"]["volumeSize"] < IMAGE_GB:
        raise CloudError(f"InvalidBlockDeviceMapping: smaller than the image's snapshot, expect size>= {IMAGE_GB}GB")
    (kind,) = aws.ec2(region, "describe_instance_types", InstanceTypes=[wanted])["InstanceTypes"]
    images = aws.ec2(region, "describe_images", ImageIds=[inputs["ami"]])["Images"]
    if not images:
        raise CloudError(f"InvalidAMIID.NotFound: The image id '[{inputs['ami']}]' does not exist")
    if images[0]["Architecture"] not in kind["ProcessorInfo"]["SupportedArchitectures"]:
        raise CloudError("InvalidParameterValue: The architecture of the instance type does not match that of the AMI")
    (subnet,) = aws.ec2(region, "describe_subnets", SubnetIds=[inputs["subnetId"]])["Subnets"]
    if not subnet["MapPublicIpOnLaunch"]:
        raise NotImplementedError("an instance without a public address is not emulated")
    of_zone(aws, region, wanted, subnet["AvailabilityZone"])
    of_groups(aws, region, inputs["vpcSecurityGroupIds"], subnet["VpcId"])
    spot = inputs.get("instanceMarketOptions", {}).get("spotOptions", {})
    if spot.get("spotInstanceType") == "one-time" and spot.get("instanceInterruptionBehavior") != "terminate":
        raise CloudError("InvalidParameterCombination: The request with type 'one-time' is not supported…")


def of_zone(aws: Aws, region: str, wanted: str, zone: str) -> None:
    """Reject an instance type that a zone does not offer."""
    asked = [{"Name": "instance-type", "Values": [wanted]}, {"Name": "location", "Values": [zone]}]
    kind = "availability-zone"
    found = aws.ec2(region, "describe_instance_type_offerings", LocationType=kind, Filters=asked)
    if not found["InstanceTypeOfferings"]:
        raise CloudError(f"Unsupported: Your requested instance type ({wanted}) is not supported in {zone}")


def of_groups(aws: Aws, region: str, groups: list[str], vpc: str) -> None:
    """Reject groups of another VPC, or too many, for an interface."""
    found = aws.ec2(region, "describe_security_groups", GroupIds=groups)["SecurityGroups"]
    if any(group["VpcId"] != vpc for group in found):
        raise CloudError("InvalidParameter: Security group and subnet belong to different networks.")
    if len(groups) > GROUPS_PER_INSTANCE:
        raise CloudError(f"SecurityGroupsPerInterfaceLimitExceeded: at most {GROUPS_PER_INSTANCE} per interface")


def of_shutdown(behavior: str) -> None:
    """Reject an invalid shutdown behavior."""
    if behavior not in ("stop", "terminate"):
        raise CloudError(f"InvalidParameterValue: Invalid value '{behavior}' for InstanceInitiatedShutdownBehavior")


def of_growth(volume: str, before_gb: int, after_gb: int) -> None:
    """Reject a smaller disk."""
    if after_gb < before_gb:
        raise CloudError(
            f"InvalidParameterValue: New size cannot be smaller than existing size: {volume} has {before_gb} GiB"
        )


def of_removal(aws: Aws, region: str, identity: str) -> None:
    """Reject the deletion of a resource in use."""
    states = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    reservations = aws.ec2(region, "describe_instances", Filters=[states])["Reservations"]
    instances = {one["InstanceId"]: one["SubnetId"] for each in reservations for one in each["Instances"]}
    users = [name for name, subnet in instances.items() if identity in (subnet, *aws.groups.get(name, []))]
    rules = aws.ec2(region, "describe_security_group_rules")["SecurityGroupRules"]
    users += [rule["SecurityGroupRuleId"] for rule in rules if rule.get("PrefixListId") == identity]
    within = [{"Name": "vpc-id", "Values": [identity]}]
    users += [one["SubnetId"] for one in aws.ec2(region, "describe_subnets", Filters=within)["Subnets"]]
    groups = aws.ec2(region, "describe_security_groups", Filters=within)["SecurityGroups"]
    users += [one["GroupId"] for one in groups if one["GroupName"] != "default"]
    attached = [{"Name": "attachment.vpc-id", "Values": [identity]}]
    gateways = aws.ec2(region, "describe_internet_gateways", Filters=attached)["InternetGateways"]
    users += [one["InternetGatewayId"] for one in gateways]
    if users:
        raise CloudError(f"DependencyViolation: {identity} has dependent objects: {', '.join(users)}")


def of_detachment(aws: Aws, region: str, vpc: str) -> None:
    """Reject detaching the gateway of a VPC with public addresses."""
    states = {"Name": "instance-state-name", "Values": ["pending", "running"]}
    asked = [states, {"Name": "vpc-id", "Values": [vpc]}]
    if aws.ec2(region, "describe_instances", Filters=asked)["Reservations"]:
        raise CloudError(f"DependencyViolation: Network {vpc} has some mapped public address(es).")

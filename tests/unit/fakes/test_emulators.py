"""The emulated clouds check inputs as strictly as the SDKs describe them."""

from __future__ import annotations

from typing import Any, cast

import pytest
from fakes.emulators import schema
from fakes.emulators.aws import Aws
from fakes.emulators.aws_instances import INSTANCES
from fakes.emulators.properties import asked_part, same, struct
from fakes.emulators.provider import Cloud, Provider
from pulumi.runtime.proto import provider_pb2

INSTANCE = "aws:ec2/instance:Instance"
RULE = "vultr:index/firewallRule:FirewallRule"


@pytest.mark.parametrize(
    ("token", "found", "wrong"),
    [
        (INSTANCE, {"ami": "ami-1", "vpcSecurityGroupIds": ["sg-1"], "tags": {"a": "b"}}, []),
        (INSTANCE, {"amo": "ami-1"}, ["amo"]),
        (INSTANCE, {"ami": 1}, ["ami"]),
        (INSTANCE, {"instanceType": "m5d.large"}, []),
        (INSTANCE, {"instanceType": 1}, ["instanceType"]),  # text, or one of an enumeration
        (INSTANCE, {"iamInstanceProfile": True}, ["iamInstanceProfile"]),  # text, or a resource of the SDK
        (INSTANCE, {"ami": schema.UNKNOWN, "associatePublicIpAddress": schema.UNKNOWN}, []),
        (INSTANCE, {"associatePublicIpAddress": "yes"}, ["associatePublicIpAddress"]),
        (INSTANCE, {"vpcSecurityGroupIds": "sg-1"}, ["vpcSecurityGroupIds"]),
        (INSTANCE, {"vpcSecurityGroupIds": ["sg-1", 2]}, ["vpcSecurityGroupIds[1]"]),
        (INSTANCE, {"tags": {"a": 1}}, ["tags.a"]),
        (INSTANCE, {"rootBlockDevice": {"volumeSize": 8.5}}, ["rootBlockDevice.volumeSize"]),
        (INSTANCE, {"rootBlockDevice": {"size": 8}}, ["rootBlockDevice.size"]),
        ("aws:ec2/managedPrefixList:ManagedPrefixList", {"maxEntries": 1}, ["addressFamily"]),
        (RULE, {"firewallGroupId": "g", "ipType": "v4", "protocol": "tcp", "subnet": "a"}, ["subnetSize"]),
        ("vultr:index/sSHKey:SSHKey", {"sshKey": "ssh-ed25519 A", "name": "n"}, []),
    ],
)
def test_inputs_are_checked_against_the_sdk(token: str, found: dict[str, Any], wrong: list[str]) -> None:
    assert [name for name, _ in schema.check(token, found)] == wrong


FILTER = {"field": "regionCode", "value": "eu-west-1"}


@pytest.mark.parametrize(
    ("token", "found", "wrong"),
    [
        ("aws:ec2/getAmi:getAmi", {"owners": ["1"], "filters": [{"name": "n", "values": ["v"]}]}, []),
        ("aws:ec2/getAmi:getAmi", {"mostRecent": "yes"}, ["mostRecent"]),
        ("aws:ec2/getInstanceType:getInstanceType", {"instanceType": "m5d.large", "region": "eu-west-1"}, []),
        ("aws:ec2/getInstanceType:getInstanceType", {"region": "eu-west-1"}, ["instanceType"]),
        ("aws:ec2/getSpotPrice:getSpotPrice", {}, []),
        ("aws:pricing/getProduct:getProduct", {"filters": [FILTER], "serviceCode": "AmazonEC2"}, []),
        ("aws:pricing/getProduct:getProduct", {"filters": [FILTER]}, ["serviceCode"]),
        ("aws:pricing/getProduct:getProduct", {"filters": [{"field": "f"}], "serviceCode": "a"}, ["filters[0].value"]),
        ("vultr:index/getPlan:getPlan", {"filters": [{"name": "id", "values": ["vc2-1c-1gb"]}]}, []),
        ("vultr:index/getPlan:getPlan", {"filter": []}, ["filter"]),
    ],
)
def test_arguments_of_functions_are_checked_against_the_sdk(
    token: str, found: dict[str, Any], wrong: list[str]
) -> None:
    assert [name for name, _ in schema.check_call(token, found)] == wrong


@pytest.mark.parametrize(
    ("package", "found", "wrong"),
    [
        ("aws", {"region": "us-east-1", "sharedCredentialsFiles": '["/a"]', "version": "7.51.1"}, []),
        ("aws", {"regoin": "us-east-1"}, ["regoin"]),
        ("aws", {"sharedCredentialsFiles": "/a"}, ["sharedCredentialsFiles"]),
        ("aws", {"sharedCredentialsFiles": "[1]"}, ["sharedCredentialsFiles[0]"]),
        ("aws", {"maxRetries": '"many"'}, ["maxRetries"]),
        ("vultr", {"apiKey": "a", "rateLimit": "500"}, []),
        ("vultr", {"apiKye": "a"}, ["apiKye"]),
        ("vultr", {"apiKey": schema.UNKNOWN, "rateLimit": schema.UNKNOWN}, []),
    ],
)
def test_provider_configuration_is_checked_against_the_sdk(
    package: str, found: dict[str, Any], wrong: list[str]
) -> None:
    assert [name for name, _ in schema.check_config(package, found)] == wrong


@pytest.mark.parametrize(
    ("token", "kept", "forgotten"),
    [
        (INSTANCE, {"instanceMarketOptions", "keyName", "associatePublicIpAddress"}, {"tags", "userData"}),
        (
            "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
            {"region"},
            {"cidrIpv4", "fromPort", "ipProtocol"},
        ),
        ("vultr:index/instance:Instance", {"firewallGroupId", "label"}, {"tags", "plan"}),
        (RULE, set(), {"port", "notes", "subnet"}),
    ],
)
def test_computed_input_keeps_its_value_when_removed_from_the_program(
    token: str, kept: set[str], forgotten: set[str]
) -> None:
    found = schema.kept(token)
    assert kept <= found
    assert not forgotten & found


SPOT = {"instanceMarketOptions": {"marketType": "spot"}}


@pytest.mark.parametrize(
    ("before", "after", "changed", "replaces"),
    [
        (SPOT, {}, [], []),  # https://github.com/hashicorp/terraform-provider-aws/issues/38141
        ({}, SPOT, ["instanceMarketOptions"], ["instanceMarketOptions"]),
        ({"tags": {"a": "b"}}, {}, ["tags"], []),
        ({"keyName": "a"}, {"keyName": "b"}, ["keyName"], ["keyName"]),
        ({"tags": {"a": "b"}, "keyName": "a"}, {"tags": {"a": "c"}}, ["tags"], []),
    ],
)
def test_removed_input_is_a_change_unless_the_cloud_computes_it(
    before: dict[str, Any], after: dict[str, Any], changed: list[str], replaces: list[str]
) -> None:
    provider = Provider(Cloud({INSTANCE: INSTANCES[INSTANCE](cast("Aws", None))}, {}, lambda _: None))
    request = provider_pb2.DiffRequest(
        urn=f"urn:pulumi:e2e::geobench::geobench:aws:Region${INSTANCE}::a",
        old_inputs=struct(before),
        olds=struct(before),
        news=struct(after),
    )
    found = provider.Diff(request, None)
    assert (sorted(found.diffs), sorted(found.replaces)) == (changed, replaces)


@pytest.mark.parametrize(
    ("old", "new", "equal"),
    [
        ("", None, True),
        ({"a": "b"}, {"a": "b", "c": []}, True),
        ({"a": "b"}, {"a": "c"}, False),
        ([{"cidr": "a"}, {"cidr": "b"}], [{"cidr": "b"}, {"cidr": "a"}], True),
        (["a", "a"], ["a", "b"], False),
        (["a", "b"], ["a", "a"], False),
        (["a"], ["a", "b"], False),
        (False, None, True),
        (1, 2, False),
    ],
)
def test_equivalent_values_are_no_change(old: Any, new: Any, equal: bool) -> None:
    assert same(old, new) == equal


def test_values_chosen_by_the_cloud_are_no_change_but_foreign_tags_are() -> None:
    disk = {"volumeSize": 100, "iops": 3000, "tags": {"Name": "a", "stranger": "b"}}
    found = {"ami": "ami-1", "rootBlockDevice": disk, "publicIp": "192.0.2.1", "tags": {"stranger": "b"}}
    asked = {"ami": "ami-0", "rootBlockDevice": {"volumeSize": 100, "tags": {"Name": "a"}}, "tags": {}}
    assert asked_part(found, asked) == {
        "ami": "ami-1",
        "rootBlockDevice": {"volumeSize": 100, "tags": {"Name": "a", "stranger": "b"}},
        "tags": {"stranger": "b"},
    }
    assert asked_part(found, asked, {"rootBlockDevice": {"iops": 1}})["rootBlockDevice"] == disk

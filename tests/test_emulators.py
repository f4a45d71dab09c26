"""The emulated clouds check what they are given as strictly as the SDKs describe it."""

from __future__ import annotations

from typing import Any

import pytest
from emulators import schema

INSTANCE = "aws:ec2/instance:Instance"
RULE = "vultr:index/firewallRule:FirewallRule"


@pytest.mark.parametrize(
    ("token", "found", "wrong"),
    [
        (INSTANCE, {"ami": "ami-1", "vpcSecurityGroupIds": ["sg-1"], "tags": {"a": "b"}}, []),
        (INSTANCE, {"amo": "ami-1"}, ["amo"]),
        (INSTANCE, {"ami": 1}, ["ami"]),
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


@pytest.mark.parametrize(
    ("token", "found", "wrong"),
    [
        ("aws:ec2/getAmi:getAmi", {"owners": ["1"], "filters": [{"name": "n", "values": ["v"]}]}, []),
        ("aws:ec2/getAmi:getAmi", {"mostRecent": "yes"}, ["mostRecent"]),
        ("aws:pricing/getProduct:getProduct", {"filters": [{"field": "f"}]}, ["filters[0].value"]),
        ("vultr:index/getPlan:getPlan", {"filter": []}, ["filter"]),
    ],
)
def test_arguments_of_functions_are_checked_too(token: str, found: dict[str, Any], wrong: list[str]) -> None:
    assert [name for name, _ in schema.check_call(token, found)] == wrong

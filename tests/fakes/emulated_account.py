"""An account of the emulated AWS without machines that boot: booting machines are tested end to end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from unittest import mock

from fakes.emulators.aws import Aws
from fakes.emulators.machine import Image, Machine
from fakes.emulators.provider import Kind, Served
from fakes.idle_machine import Idle
from fakes.pulumi_stack import Stack

from stacks.keys import generate_key
from stacks.local.wan.network import WideAreaNetwork

SECRET = "AWS-SECRET-0F-THE-TESTS"
REGION = {"region": "us-east-1"}
VPC, SUBNET, GATEWAY = "aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet", "aws:ec2/internetGateway:InternetGateway"
ROUTES = "aws:ec2/defaultRouteTable:DefaultRouteTable"
GROUP, KEY = "aws:ec2/securityGroup:SecurityGroup", "aws:ec2/keyPair:KeyPair"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
LIST, INSTANCE = "aws:ec2/managedPrefixList:ManagedPrefixList", "aws:ec2/instance:Instance"
STATE = "aws:ec2transitgateway/instanceState:InstanceState"
X86, ARM = "ami-0noble00000000000", "ami-0noble00000000001"
SSH = {"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "cidrIpv4": "198.51.100.0/24"}


class IdleAws(Aws):
    """An account whose instances are idle machines."""

    def boot(self, identity: str, name: str, region: str, user_data: str, disks_gb: Sequence[int]) -> Machine:
        network = cast("WideAreaNetwork", None)
        machine = self.machines[identity] = Idle(Path(), cast("Image", None), network, name, region, disks_gb)
        machine.create(user_data)
        return machine


class Account:
    """A dedicated VPC with a subnet and a security group, and a key."""

    def __init__(self, aws: Aws, key: str) -> None:
        self.aws = aws
        self.kinds: dict[str, Kind] = aws.cloud().kinds
        self.vpc = self.make(VPC, cidrBlock="10.0.0.0/16")
        where = {"cidrBlock": "10.0.0.0/20", "availabilityZone": "us-east-1a"}
        self.subnet = self.make(SUBNET, vpcId=self.vpc, mapPublicIpOnLaunch=True, **where)
        self.group = self.make(GROUP, name="some", description="some", vpcId=self.vpc)
        self.key = self.make(KEY, keyName=key, publicKey=generate_key().public_key)

    def make(self, token: str, **inputs: Any) -> str:
        return self.kinds[token].create({**REGION, **inputs})[0]

    def inputs(self, **changed: Any) -> dict[str, Any]:
        """Return the inputs of an instance."""
        usual = {
            "ami": X86,
            "instanceType": "m5d.large",
            "keyName": self.key,
            "subnetId": self.subnet,
            "vpcSecurityGroupIds": [self.group],
            "userData": "#cloud-config\n{}\n",
            "instanceInitiatedShutdownBehavior": "terminate",
            "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
            "rootBlockDevice": {"volumeType": "gp3", "volumeSize": 100, "encrypted": True, "tags": {"Name": "a"}},
            "tags": {"Name": "a"},
        }
        return {**REGION, **usual, **changed}

    def launch(self, **changed: Any) -> str:
        return self.make(INSTANCE, **self.inputs(**changed))

    def machine(self, identity: str) -> Idle:
        """Return the machine of an instance."""
        return cast("Idle", self.aws.machines[identity])


@contextmanager
def idle_aws(folder: Path) -> Iterator[IdleAws]:
    """Yield an AWS account whose user has the home folder `folder`."""
    with mock.patch.dict(os.environ, {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "none"}):
        made = IdleAws(folder, cast("Image", None), cast("WideAreaNetwork", None), folder, SECRET)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def idle_stack(folder: Path, testbed_id: str, settings: str) -> Iterator[tuple[Stack, IdleAws]]:
    """Yield a stack that is not created yet, and the account that it is deployed to; destroy it."""
    home = folder / "home"
    with idle_aws(home) as aws:
        served = Served(aws.cloud())
        stack = Stack(folder, testbed_id, settings)
        stack.environment |= {"HOME": str(home), "PULUMI_DEBUG_PROVIDERS": f"aws:{served.port}"}
        keys = home / ".aws/credentials"
        keys.parent.mkdir(parents=True)
        keys.write_text(f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n", encoding="utf-8")
        try:
            yield stack, aws
        finally:
            stack.destroy()
            served.close()

"""Drift of an AWS testbed under the real pulumi: refresh detects it and an update repairs it.

Nothing of this needs a machine that runs, so none boots.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fakes.emulated_account import X86, IdleAws, idle_stack
from fakes.pulumi_stack import Stack

pytestmark = pytest.mark.e2e

SETTINGS = """\
cloud_provider: aws
regions: [us-east-1]
specs: m5d.large
instances: 2
monitoring: false
operator_cidrs: [198.51.100.0/24]
"""


@dataclass
class Bed:
    """A stack that is up, and the account that it is in."""

    stack: Stack
    aws: IdleAws

    def ec2(self, operation: str, **arguments: Any) -> Any:
        return self.aws.ec2("us-east-1", operation, **arguments)

    def only(self, operation: str, field: str) -> dict[str, Any]:
        """The one thing of its kind that is the testbed's."""
        (found,) = self.all(operation, field)
        return found

    def all(self, operation: str, field: str) -> list[dict[str, Any]]:
        mine = [{"Name": "tag:testbed_id", "Values": [self.stack.testbed_id]}]
        found: list[dict[str, Any]] = self.ec2(operation, Filters=mine)[field]
        return found

    def images(self) -> dict[str, str]:
        """What instances were started from, by their names."""
        return {
            self.aws.machines[one["InstanceId"]].name: one["ImageId"]
            for each in self.all("describe_instances", "Reservations")
            for one in each["Instances"]
        }

    def unchanged(self) -> bool:
        """Whether a refresh finds what there was."""
        done = self.stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
        assert done.returncode == 0 or "no changes were expected" in done.stdout + done.stderr, done.stdout
        return done.returncode == 0


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with idle_stack(tmp_path_factory.mktemp("drift"), "drift", SETTINGS) as (stack, aws):
        stack.up()
        yield Bed(stack, aws)


def tamper_with_rules(bed: Bed) -> None:
    """Close SSH to the operators, and what goes out."""
    for rule in bed.all("describe_security_group_rules", "SecurityGroupRules"):
        if rule.get("CidrIpv4"):
            operation = f"revoke_security_group_{'egress' if rule['IsEgress'] else 'ingress'}"
            bed.ec2(operation, GroupId=rule["GroupId"], SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])


def tamper_with_peers(bed: Bed) -> None:
    """Let a stranger in."""
    found = bed.only("describe_managed_prefix_lists", "PrefixLists")
    about = {"PrefixListName": found["PrefixListName"], "CurrentVersion": found["Version"]}
    new = [{"Cidr": "203.0.113.9/32"}]
    bed.ec2("modify_managed_prefix_list", PrefixListId=found["PrefixListId"], AddEntries=new, **about)


def tamper_with_instances(bed: Bed) -> None:
    """Let them stop instead of end, and talk to who asks for metadata without a token."""
    for identity in bed.aws.machines:
        behavior = {"Attribute": "instanceInitiatedShutdownBehavior", "Value": "stop"}
        bed.ec2("modify_instance_attribute", InstanceId=identity, **behavior)
        options = {"HttpTokens": "optional", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1}
        bed.ec2("modify_instance_metadata_options", InstanceId=identity, **options)


def tamper_with_network(bed: Bed) -> None:
    """Take the owner's tag and the names of hosts from the network, and the way out of it."""
    table = bed.only("describe_route_tables", "RouteTables")["RouteTableId"]
    bed.ec2("delete_route", RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    vpc = bed.only("describe_vpcs", "Vpcs")["VpcId"]
    bed.ec2("delete_tags", Resources=[vpc], Tags=[{"Key": "owner"}])
    bed.ec2("modify_vpc_attribute", VpcId=vpc, EnableDnsHostnames={"Value": False})


def peers(bed: Bed) -> list[str]:
    """The networks that hosts admit on all ports."""
    listed = bed.only("describe_managed_prefix_lists", "PrefixLists")["PrefixListId"]
    return sorted(one["Cidr"] for one in bed.ec2("get_managed_prefix_list_entries", PrefixListId=listed)["Entries"])


def tampered(bed: Bed) -> list[Any]:
    """What the functions above change."""
    rules = bed.all("describe_security_group_rules", "SecurityGroupRules")
    vpc = bed.only("describe_vpcs", "Vpcs")
    table = bed.only("describe_route_tables", "RouteTables")
    instances = [
        (bed.aws.attribute(identity, "instanceInitiatedShutdownBehavior"), found["MetadataOptions"]["HttpTokens"])
        for identity in bed.aws.machines
        if (found := bed.aws.describe(identity))
    ]
    return [
        sorted((rule["IpProtocol"], rule.get("CidrIpv4", ""), rule["IsEgress"]) for rule in rules),
        peers(bed),
        sorted(tag["Key"] for tag in vpc["Tags"]),
        bed.ec2("describe_vpc_attribute", VpcId=vpc["VpcId"], Attribute="enableDnsHostnames")["EnableDnsHostnames"],
        sorted(route["DestinationCidrBlock"] for route in table["Routes"]),
        instances,
    ]


def test_refresh_finds_no_change(bed: Bed) -> None:
    assert bed.unchanged()
    bed.stack.pulumi("preview", "--expect-no-changes")


@pytest.mark.parametrize(
    "tamper",
    [tamper_with_rules, tamper_with_peers, tamper_with_instances, tamper_with_network],
    ids=lambda tamper: tamper.__name__.removeprefix("tamper_with_"),
)
def test_drift_is_detected_and_repaired(bed: Bed, tamper: Any) -> None:
    before, machines = tampered(bed), list(bed.aws.machines)
    tamper(bed)
    assert tampered(bed) != before
    assert not bed.unchanged()
    bed.stack.up()
    assert tampered(bed) == before
    assert list(bed.aws.machines) == machines, "no host was replaced"


def test_newer_image_applies_to_new_hosts_only(bed: Bed) -> None:
    before = bed.images()
    newer = bed.aws.publish_image("us-east-1", "x86_64", "20260715")
    bed.stack.pulumi("preview", "--expect-no-changes")
    bed.stack.up("-c", "instances=3")
    after = bed.images()
    assert {name: after.pop(name) for name in before} == before
    assert list(after.values()) == [newer]


def test_specs_of_stopped_hosts_change_and_hosts_stay_stopped(bed: Bed) -> None:
    bed.stack.up("-c", "state=stopped", "-c", "specs=m5d.large")
    bed.stack.up("-c", "specs=m5d.2xlarge")
    states = [bed.aws.describe(identity) for identity in bed.aws.machines]
    assert {(one["State"]["Name"], one["InstanceType"]) for one in states if one} == {("stopped", "m5d.2xlarge")}
    assert not any(machine.running for machine in bed.aws.machines.values())
    assert peers(bed) == ["192.0.2.0/32"]  # nobody's: no former address of a host stays admitted
    hosts = json.loads(bed.stack.pulumi("stack", "output", "inventory", "--json"))["hosts"]
    assert {(host["state"], host["address"]) for host in hosts} == {("stopped", "")}


def test_specs_of_another_architecture_replace_hosts_with_its_image(bed: Bed) -> None:
    bed.stack.up("-c", "state=running", "-c", "specs=m5d.large")
    before = set(bed.aws.machines)
    report = bed.stack.up("-c", "specs=m6gd.large")
    assert " hosts in us-east-1 have others: they are recreated and lose their disks" in report
    assert "interrupted update" not in report, "hosts that are being replaced are no strays"
    found = [bed.aws.describe(identity) for identity in bed.aws.machines]
    assert not before & set(bed.aws.machines)
    assert {(one["InstanceType"], one["Architecture"]) for one in found if one} == {("m6gd.large", "arm64")}


def test_instance_that_the_state_does_not_have_is_named_by_an_update(bed: Bed) -> None:
    tags = [{"Key": "testbed_id", "Value": bed.stack.testbed_id}]
    about = {"ImageId": X86, "InstanceType": "m5d.large", "MinCount": 1, "MaxCount": 1}
    made = bed.ec2("run_instances", **about, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
    stray = made["Instances"][0]["InstanceId"]
    report = bed.stack.up()
    assert f"AWS: {stray} in us-east-1 have the tag of this testbed" in report
    assert "python -m stacks.strays" in report
    bed.ec2("terminate_instances", InstanceIds=[stray])
    assert "interrupted update" not in bed.stack.up()

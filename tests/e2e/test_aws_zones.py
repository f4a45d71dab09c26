"""Changed specs on AWS whose types are not offered in every zone, under the real pulumi.

Nothing of this needs a machine that runs, so none boots.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.emulated_account import IdleAws, idle_stack
from fakes.pulumi_stack import Stack

pytestmark = pytest.mark.e2e

REGION = "eu-west-1"
EVERYWHERE, NOT_IN_A, NOT_IN_B = "m5d.large", "m8id.large", "m8idn.large"
SETTINGS = f"""\
cloud_provider: aws
regions: [{REGION}]
specs: {NOT_IN_A}
instances: 2
monitoring: false
operator_cidrs: [198.51.100.0/24]
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, IdleAws]]:
    with idle_stack(tmp_path_factory.mktemp("zones"), "zones", SETTINGS) as (stack, aws):
        stack.up()
        yield stack, aws


def hosts(aws: IdleAws) -> dict[str, tuple[str, str]]:
    """The zone and the type of each instance."""
    found = {identity: aws.describe(identity) for identity in aws.machines}
    return {
        identity: (one["Placement"]["AvailabilityZone"][-1], one["InstanceType"])
        for identity, one in found.items()
        if one
    }


def zones(aws: IdleAws) -> str:
    """Those in which the testbed has a subnet."""
    mine = [{"Name": "tag:testbed_id", "Values": ["zones"]}]
    subnets = aws.ec2(REGION, "describe_subnets", Filters=mine)["Subnets"]
    return "".join(sorted(subnet["AvailabilityZone"][-1] for subnet in subnets))


def test_hosts_are_in_zones_that_offer_their_type(bed: tuple[Stack, IdleAws]) -> None:
    _, aws = bed
    assert sorted(hosts(aws).values()) == [("b", NOT_IN_A), ("c", NOT_IN_A)]
    assert zones(aws) == "bc"


def test_type_offered_in_more_zones_keeps_hosts_and_subnets(bed: tuple[Stack, IdleAws]) -> None:
    stack, aws = bed
    before = hosts(aws)
    stack.up("-c", f"specs={EVERYWHERE}")
    assert hosts(aws) == {identity: (zone, EVERYWHERE) for identity, (zone, _) in before.items()}
    assert zones(aws) == "abc"
    stack.pulumi("preview", "--expect-no-changes")


def test_added_hosts_use_other_zones_and_move_no_host(bed: tuple[Stack, IdleAws]) -> None:
    stack, aws = bed
    stack.up("-c", "instances=2")
    before = hosts(aws)
    stack.up("-c", "instances=4")
    after = hosts(aws)
    assert {identity: after.pop(identity) for identity in before} == before
    assert sorted(after.values()) == [("a", EVERYWHERE), ("c", EVERYWHERE)]


def test_zone_without_capacity_is_left_out_by_the_next_update(bed: tuple[Stack, IdleAws]) -> None:
    stack, aws = bed
    stack.up("-c", "instances=4")
    before = hosts(aws)
    aws.full_zones.add(f"{REGION}b")
    failed = stack.run("up", "--yes", "--skip-preview", "-c", "instances=5")
    assert failed.returncode != 0
    assert f"{REGION}-4: {REGION}b has no capacity for {EVERYWHERE}; run `pulumi up` again" in failed.stdout
    stack.up()
    after = hosts(aws)
    assert {identity: after.pop(identity) for identity in before} == before
    assert [zone for zone, _ in after.values()] == ["a"]
    (stack.project / ".state/zones-without-capacity.json").unlink()
    stack.up("-c", "instances=6", "-c", f"excluded_zones=[{REGION}b, {REGION}c]")
    assert sorted(zone for zone, _ in hosts(aws).values()) == ["a", "a", "a", "b", "c", "c"]
    aws.full_zones.clear()
    stack.up("-c", "instances=4", "-c", "excluded_zones=[]")


def test_type_missing_in_a_hosts_zone_is_rejected_and_can_be_reverted(
    bed: tuple[Stack, IdleAws],
) -> None:
    stack, aws = bed
    before = hosts(aws)
    failed = stack.run("up", "--yes", "--skip-preview", "-c", f"specs={NOT_IN_B}")
    assert failed.returncode != 0
    assert f"Unsupported: Your requested instance type ({NOT_IN_B}) is not supported in {REGION}b" in failed.stdout
    stack.up("-c", f"specs={EVERYWHERE}")
    assert hosts(aws) == before
    assert zones(aws) == "abc"


def test_hosts_are_deleted_before_their_subnets(bed: tuple[Stack, IdleAws]) -> None:
    stack, aws = bed
    stack.destroy()
    assert (aws.machines, zones(aws)) == ({}, "")

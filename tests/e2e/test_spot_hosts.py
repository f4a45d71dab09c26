"""Spot hosts on AWS, which Amazon may reclaim, under the real pulumi."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fakes.emulated_clouds import ONE_AWS_HOST, Clouds, emulated_clouds
from fakes.emulators.provider import CloudError

pytestmark = pytest.mark.e2e

SETTINGS = ONE_AWS_HOST + "spot: true\nssh_timeout: 3s\n"
ON_DEMAND_USD, ADDRESS_USD, DISK_USD = 0.126, 0.005, 100 * 0.088 / 730
SPOT_USD = ON_DEMAND_USD * 0.3


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with emulated_clouds(tmp_path_factory.mktemp("spot"), "spot", SETTINGS) as clouds:
        clouds.stack.up()
        clouds.wait_until_ready()
        yield clouds


def lifecycles(clouds: Clouds) -> list[str | None]:
    """Of the instances that EC2 has and that are not terminated."""
    asked = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]}]
    found = clouds.site.aws.ec2("us-east-1", "describe_instances", Filters=asked)["Reservations"]
    return [instance.get("InstanceLifecycle") for each in found for instance in each["Instances"]]


def test_spot_host_costs_the_spot_price(spot: Clouds) -> None:
    host = spot.only_host
    assert lifecycles(spot) == ["spot"]
    found = json.loads(spot.benchmark("status", "--json"))
    assert found["hosts"] == {host.name: "ready"}
    assert found["hourly_cost_usd"] == pytest.approx(SPOT_USD + ADDRESS_USD + DISK_USD, abs=1e-5)


def test_stopping_a_spot_host_is_rejected(spot: Clouds) -> None:
    failed = spot.stack.run("up", "--yes", "--skip-preview", "-c", "state=stopped")
    assert failed.returncode != 0
    message = "state: AWS spot instances cannot be stopped; run `pulumi destroy`, or set spot: false, which replaces "
    assert [line for line in failed.stdout.splitlines() if message in line]
    assert "Traceback" not in failed.stdout
    assert all(machine.running for machine in spot.machines.values())
    spot.stack.pulumi("config", "rm", "state")


def test_reclaimed_spot_host_is_detected_and_recreated(spot: Clouds) -> None:
    before = spot.only_host
    spot.site.aws.take_back(f"spot-{before.name}")
    shown = spot.benchmark("status", exit_code=3)
    assert f"{before.name}: unreachable" in shown
    assert "`pulumi refresh`" in shown
    failed = spot.stack.run("up", "--yes", "--skip-preview")
    assert failed.returncode != 0
    assert "if it was terminated, run `pulumi refresh`, then `pulumi up` to replace it" in failed.stdout
    assert spot.only_host == before  # what failed forgets nothing
    spot.stack.pulumi("refresh", "--yes", "--skip-preview")
    spot.stack.up()
    spot.wait_until_ready()
    assert lifecycles(spot) == ["spot"]
    assert json.loads(spot.benchmark("status", "--json"))["hosts"] == {before.name: "ready"}


def test_disabling_spot_replaces_hosts_that_can_then_be_stopped(spot: Clouds) -> None:
    before, (machine,) = spot.only_host, spot.machines.values()
    kept = set(spot.site.aws.machines)
    spot.stack.up("-c", "spot=false")
    assert lifecycles(spot) == [None]
    assert not machine.running
    assert not kept & set(spot.site.aws.machines)
    spot.wait_until_ready()
    found = json.loads(spot.benchmark("status", "--json"))
    assert found["hosts"] == {before.name: "ready"}
    assert found["hourly_cost_usd"] == pytest.approx(ON_DEMAND_USD + ADDRESS_USD + DISK_USD, abs=1e-5)
    assert spot.only_host.host_key == before.host_key
    spot.stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    spot.stack.up("-c", "state=stopped")
    assert spot.only_host.state == "stopped"
    assert [machine.running for machine in spot.machines.values()] == [False]


def test_security_group_in_use_is_kept_and_destroy_removes_everything(spot: Clouds) -> None:
    ec2, kinds = spot.site.aws.ec2, spot.site.aws_cloud.kinds
    (groups,) = spot.site.aws.groups.values()
    with pytest.raises(CloudError, match="DependencyViolation"):
        kinds["aws:ec2/securityGroup:SecurityGroup"].delete(groups[0])
    spot.stack.destroy()
    assert (spot.machines, lifecycles(spot)) == ({}, [])
    assert [vpc["IsDefault"] for vpc in ec2("us-east-1", "describe_vpcs")["Vpcs"]] == [True]
    assert ec2("us-east-1", "describe_key_pairs")["KeyPairs"] == []
    lists = ec2("us-east-1", "describe_managed_prefix_lists")["PrefixLists"]
    assert {each["State"] for each in lists if each["OwnerId"] != "AWS"} == {"delete-complete"}

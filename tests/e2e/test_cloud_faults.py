"""Faults of clouds and impossible requests: the next `pulumi up` repairs them, or one line explains them.

Only the machines boot whose status is tested.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from fakes.emulated_clouds import ONE_AWS_HOST, Clouds, emulated_clouds
from fakes.emulators import aws_prices, vultr
from fakes.emulators.site import TOKEN
from fakes.idle_clouds import idle_clouds

pytestmark = pytest.mark.e2e

HOSTS = ["ewr-0", "ewr-1", "us-east-1-0", "us-east-1-1"]
ONE_VULTR_HOST = """\
cloud_provider: vultr
regions: [ewr]
specs: vc2-1c-1gb
instances: 1
monitoring: false
operator_cidrs: [{operator}]
"""
ENDLESS = 10**6


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[Clouds]:
    """Clouds of a test's own, in which nothing was created yet."""
    with idle_clouds(tmp_path, "troubled") as made:
        yield made


def names(clouds: Clouds) -> list[str]:
    """The machines that the clouds have, orphans and doubles included."""
    return sorted(machine.name.removeprefix("troubled-") for machine in clouds.site.machines)


def refused(clouds: Clouds, *arguments: str) -> str:
    """What an update says that fails, which is never a traceback."""
    failed = clouds.stack.run("up", "--yes", "--skip-preview", *arguments)
    assert failed.returncode != 0
    said = failed.stdout + failed.stderr
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("name", "fault", "answer"),
    [
        ("us-east-1-1", "capacity", "InsufficientInstanceCapacity"),
        ("ewr-0", "capacity", "is not available in the selected location"),
        ("us-east-1-1", "late", "to be ready: timeout"),
    ],
)
def test_next_update_repairs_what_a_cloud_left_half_done(troubled: Clouds, name: str, fault: str, answer: str) -> None:
    for cloud in (troubled.site.aws, troubled.site.vultr):
        cloud.faults[f"troubled-{name}"] = fault
    assert answer in refused(troubled)
    troubled.stack.up()
    assert names(troubled) == HOSTS
    addresses = {host.address for host in troubled.stack.inventory().hosts}
    assert addresses == {machine.address for machine in troubled.machines.values()}
    troubled.stack.destroy()
    assert names(troubled) == []
    assert troubled.site.vultr.things == {}


def test_throttled_requests_are_retried(troubled: Clouds) -> None:
    troubled.site.aws.throttle = 20
    troubled.stack.up()
    assert troubled.site.aws.throttle == 0
    assert names(troubled) == HOSTS


def test_next_update_completes_what_throttling_prevented(troubled: Clouds) -> None:
    aws = troubled.site.aws
    call = aws.ec2

    def throttled_once_instances_are_asked_for(region: str, operation: str, **arguments: Any) -> Any:
        if operation == "run_instances":
            aws.throttle = ENDLESS
        return call(region, operation, **arguments)

    with mock.patch.object(aws, "ec2", throttled_once_instances_are_asked_for):
        assert "RequestLimitExceeded" in refused(troubled)
    assert 0 < aws.throttle <= ENDLESS - 25, "the provider asks again before it gives up"
    assert not aws.machines
    aws.throttle = 0
    troubled.stack.up()
    assert names(troubled) == HOSTS
    ran = aws.ec2("us-east-1", "describe_instances")["Reservations"]
    assert sorted(one["Instances"][0]["InstanceId"] for one in ran) == sorted(aws.machines)


def test_busy_vultr_is_retried(tmp_path: Path) -> None:
    with idle_clouds(tmp_path, "busy", ONE_VULTR_HOST) as clouds:
        clouds.stack.up()
        clouds.site.vultr.api.busy = 3
        clouds.stack.up("-c", "state=stopped")
        assert clouds.site.vultr.api.busy == 0
        assert clouds.only_host.state == "stopped"
        assert [machine.running for machine in clouds.machines.values()] == [False]


@pytest.mark.parametrize(
    ("settings", "prices"), [(ONE_AWS_HOST, aws_prices.PRICES), (ONE_VULTR_HOST, vultr.PRICES)], ids=["aws", "vultr"]
)
def test_host_without_a_listed_price_is_created_with_unknown_cost(
    tmp_path: Path, settings: str, prices: dict[str, Any]
) -> None:
    with emulated_clouds(tmp_path, "priceless", settings) as clouds:
        with mock.patch.dict(prices, clear=True):
            assert f"the price of {settings.partition('specs: ')[2].split()[0]} " in clouds.stack.up()
        outputs = json.loads(clouds.stack.pulumi("stack", "output", "--json"))
        assert "hourly_cost_usd" not in outputs, "pulumi leaves out what is null"
        assert outputs["inventory"]["hourly_cost_usd"] is None
        clouds.wait_until_ready()
        assert "cost: unknown" in clouds.benchmark("status")
        told = json.loads(clouds.benchmark("status", "--json"))
        assert [value for name, value in told.items() if name.endswith("_usd")] == [None, None, None]
        clouds.stack.up()
        known = json.loads(clouds.stack.pulumi("stack", "output", "--json"))
        assert known["hourly_cost_usd"] == known["inventory"]["hourly_cost_usd"] > 0


def test_rejected_credentials_are_reported_without_a_traceback(troubled: Clouds) -> None:
    empty = troubled.folder / "empty"
    empty.write_text("[default]\n")
    said = refused(troubled, "-c", f"token_file={empty}")
    assert "AWS did not list the zones of us-east-1 that offer m5d.2xlarge" in said
    assert "No valid credential sources found" in said


def test_errors_of_vultr_are_reported_without_a_traceback(tmp_path: Path) -> None:
    with idle_clouds(tmp_path, "lone", ONE_VULTR_HOST) as clouds:
        token = Path(clouds.stack.environment["HOME"]) / ".vultr"
        token.write_text("N0T-THE-T0KEN\n")
        said = refused(clouds)
        assert "Vultr did not return the number of its Ubuntu 24.04 LTS x64: " in said
        assert "Invalid API token." in said
        assert "https://my.vultr.com/settings/#settingsapi shows the token" in said
        assert "N0T-THE-T0KEN" not in said
        token.write_text(f"{TOKEN}\n")
        said = refused(clouds, "-c", "specs=vc2-999c")
        assert "the price of vc2-999c (see https://api.vultr.com/v2/plans) is unknown: " in said
        assert "Vultr: POST /instances: 400 Invalid plan chosen; try again" in said
        clouds.stack.up("-c", "specs=vc2-1c-1gb")
        assert list(clouds.machines) == ["ewr-0"]


def test_impossible_settings_are_reported_before_anything_is_created(troubled: Clouds) -> None:
    wrong = {
        "operator_cidrs=[]": "`curl https://checkip.amazonaws.com` shows your address",
        "specs=m5d.huge": "m5d.huge is not offered in us-east-1",
        "token_file=/nowhere": "token_file: /nowhere does not exist",
    }
    for field, message in wrong.items():
        assert message in refused(troubled, "-c", field)
        name = field.partition("=")[0]
        troubled.stack.pulumi("config", "rm", name)
    assert names(troubled) == []

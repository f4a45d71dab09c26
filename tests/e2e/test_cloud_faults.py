"""What clouds do wrong, and what users ask of them in vain: the next `pulumi up` mends it, or one line says it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from emulated_clouds import Clouds, emulated_clouds

pytestmark = pytest.mark.e2e

HOSTS = ["ewr-0", "ewr-1", "us-east-1-0", "us-east-1-1"]


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[Clouds]:
    """Clouds of a test's own, in which nothing was created yet."""
    with emulated_clouds(tmp_path, "troubled") as made:
        yield made


def names(clouds: Clouds) -> list[str]:
    """The machines that the clouds have, orphans and doubles included."""
    return sorted(machine.name.removeprefix("troubled-") for machine in clouds.site.machines)


@pytest.mark.parametrize(
    ("name", "fault", "answer"),
    [
        ("us-east-1-1", "capacity", "InsufficientInstanceCapacity"),
        ("ewr-0", "capacity", "is not available in the selected location"),
        ("us-east-1-1", "late", "to be ready: timeout"),
        ("ewr-0", "late", "to be completed: timeout"),
    ],
)
def test_another_update_mends_what_a_cloud_left_half_done(troubled: Clouds, name: str, fault: str, answer: str) -> None:
    for cloud in (troubled.site.aws, troubled.site.vultr):
        cloud.faults[f"troubled-{name}"] = fault
    failed = troubled.stack.run("up", "--yes", "--skip-preview")
    assert failed.returncode != 0
    assert answer in failed.stdout
    troubled.stack.up()
    assert names(troubled) == HOSTS
    addresses = {host.address for host in troubled.stack.inventory().hosts}
    assert addresses == {machine.address for machine in troubled.machines.values()}
    troubled.stack.destroy()
    assert names(troubled) == []
    assert troubled.site.vultr.things == {}


def test_throttling_is_waited_out(troubled: Clouds) -> None:
    troubled.site.aws.throttle = 20
    troubled.stack.up()
    assert troubled.site.aws.throttle == 0
    assert names(troubled) == HOSTS


def test_refused_credentials_are_said_without_a_traceback(troubled: Clouds) -> None:
    empty = troubled.folder / "empty"
    empty.write_text("[default]\n")
    failed = troubled.stack.run("up", "--yes", "--skip-preview", "-c", f"token_file={empty}")
    assert failed.returncode != 0
    assert "AWS did not say which zones of us-east-1 offer m5d.2xlarge" in failed.stdout
    assert "No valid credential sources found" in failed.stdout
    assert "Traceback" not in failed.stdout


def test_what_cannot_be_is_said_before_anything_is_created(troubled: Clouds) -> None:
    wrong = {
        "operator_cidrs=[]": "`curl https://checkip.amazonaws.com` shows your address",
        "specs=m5d.huge": "m5d.huge is not offered in us-east-1",
        "token_file=/nowhere": "token_file: /nowhere does not exist",
    }
    for field, message in wrong.items():
        failed = troubled.stack.run("up", "--yes", "--skip-preview", "-c", field)
        assert failed.returncode != 0
        assert message in failed.stdout + failed.stderr
        assert "Traceback" not in failed.stdout + failed.stderr
        name = field.partition("=")[0]
        troubled.stack.pulumi("config", "rm", name)
    assert names(troubled) == []

"""When Pulumi keeps, restarts, replaces or stops a local host."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.local.host import resource
from stacks.local.host.disk import Disk
from stacks.local.host.filesystem import HostConfig
from stacks.local.host.resource import DEAD, LocalHostProvider

INPUTS = {
    "testbed_id": "t",
    "name": "a-0",
    "region": "a",
    "role": "instance",
    "network": "1 2",
    "operator_key": "ssh-ed25519 O",
    "host_key": "ssh-ed25519 H",
    "host_private_key": "PRIVATE",
    "files": {},
    "disk": {"size": 2e10, "folder": "/root/geobench", "bandwidth": 0.0},
    "state": "running",
}


class Machine:
    """A fake host that records its calls."""

    def __init__(self) -> None:
        self.running = True
        self.calls: list[str] = []
        self.config: HostConfig | None = None

    def create(self, config: HostConfig, running: bool = True) -> str:
        self.config = config
        self.calls.append("create" if running else "create stopped")
        return "198.18.0.2"

    def start(self, config: HostConfig) -> str:
        self.config = config
        self.calls.append("start")
        return "198.18.0.2"

    def stop(self) -> None:
        self.calls.append("stop")

    def remove(self) -> None:
        self.calls.append("remove")

    def is_running(self) -> bool:
        return self.running


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(resource, "find_host", lambda _props: made)
    return made


def outputs(**changed: object) -> dict[str, Any]:
    found = LocalHostProvider().create({**INPUTS, **changed}).outs
    assert found is not None
    return found


def test_a_created_host_keeps_its_private_key_out_of_the_outputs(machine: Machine) -> None:
    found = outputs()
    assert "PRIVATE" not in str(found)
    assert found["address"] == "198.18.0.2"
    assert machine.config is not None
    assert machine.config.host_private_key == "PRIVATE"
    assert "PRIVATE" not in repr(machine.config)


def test_a_host_with_state_stopped_is_created_stopped(machine: Machine) -> None:
    outputs(state="stopped")
    assert machine.calls == ["create stopped"]


def test_equal_properties_of_a_running_host_mean_no_change(machine: Machine) -> None:
    assert machine.running
    found = LocalHostProvider().diff("t/a-0", outputs(), INPUTS)
    assert found.changes is False
    assert found.replaces == []


@pytest.mark.parametrize("field", ["region", "role", "network", "operator_key", "host_key", "state"])
def test_a_changed_input_restarts_the_host_on_its_files(machine: Machine, field: str) -> None:
    assert machine.running
    found = LocalHostProvider().diff("t/a-0", outputs(), {**INPUTS, field: "stopped"})
    assert found.changes is True
    assert found.replaces == []


@pytest.mark.parametrize("field", ["testbed_id", "name"])
def test_changed_identity_replaces_the_host(machine: Machine, field: str) -> None:
    assert machine.running
    found = LocalHostProvider().diff("t/a-0", outputs(), {**INPUTS, field: "b"})
    assert found.replaces == [field]
    assert found.delete_before_replace is True


def test_a_host_gets_its_disk_in_whole_bytes(machine: Machine) -> None:
    outputs()
    assert machine.config is not None
    assert machine.config.disk == Disk(20_000_000_000, "/root/geobench", None)
    assert isinstance(machine.config.disk.size, int)


def disk(size: float = 2e10, folder: str = "/root/x", bandwidth: float = 0.0) -> dict[str, object]:
    return {"size": size, "folder": folder, "bandwidth": bandwidth}


@pytest.mark.parametrize(
    ("before", "after", "replaces"),
    [
        (disk(), disk(size=1e9), ["disk"]),
        (disk(), None, ["disk"]),
        (None, disk(), ["disk"]),
        (disk(), disk(folder="/root/y"), []),
        (disk(), disk(bandwidth=9.0), []),
    ],
    ids=["size", "volatile", "durable", "folder", "bandwidth"],
)
def test_another_size_replaces_a_host_and_another_limit_or_folder_restarts_it(
    machine: Machine, before: dict[str, object] | None, after: dict[str, object] | None, replaces: list[str]
) -> None:
    assert machine.running
    found = LocalHostProvider().diff("t/a-0", outputs(disk=before), {**INPUTS, "disk": after})
    assert (found.changes, found.replaces) == (True, replaces)


def test_a_host_of_an_earlier_release_is_replaced_if_it_is_to_have_a_disk(machine: Machine) -> None:
    assert machine.running
    before = outputs()
    del before["disk"]
    assert LocalHostProvider().diff("t/a-0", before, INPUTS).replaces == ["disk"]
    assert LocalHostProvider().diff("t/a-0", before, {**INPUTS, "disk": None}).changes is False
    LocalHostProvider().delete("t/a-0", before)
    assert machine.calls == ["create", "remove"]


def test_a_dead_host_is_replaced_with_or_without_a_refresh(machine: Machine) -> None:
    provider, before = LocalHostProvider(), outputs()
    machine.running = False
    assert provider.diff("t/a-0", before, INPUTS).replaces == ["state"]
    refreshed = provider.read("t/a-0", before)
    assert refreshed.id == "t/a-0"
    assert refreshed.outs is not None
    assert refreshed.outs["state"] == DEAD
    assert provider.diff("t/a-0", refreshed.outs, INPUTS).changes is True


def test_a_refresh_of_a_running_host_changes_nothing(machine: Machine) -> None:
    assert machine.running
    before = outputs()
    assert LocalHostProvider().read("t/a-0", before).outs == before


def test_a_stopped_host_is_not_mistaken_for_a_dead_one(machine: Machine) -> None:
    before = outputs(state="stopped")
    machine.running = False
    assert LocalHostProvider().read("t/a-0", before).outs == before
    assert LocalHostProvider().diff("t/a-0", before, {**INPUTS, "state": "stopped"}).changes is False


def test_stopping_keeps_the_address(machine: Machine) -> None:
    stopped = LocalHostProvider().update("t/a-0", outputs(), {**INPUTS, "state": "stopped"})
    assert machine.calls == ["create", "stop"]
    assert stopped.outs is not None
    assert (stopped.outs["address"], stopped.outs["state"]) == ("198.18.0.2", "stopped")


def test_starting_a_stopped_host_does_not_create_it_again(machine: Machine) -> None:
    LocalHostProvider().update("t/a-0", outputs(state="stopped"), INPUTS)
    assert machine.calls == ["create stopped", "start"]


def test_deleting_removes_the_host(machine: Machine) -> None:
    LocalHostProvider().delete("t/a-0", outputs())
    assert machine.calls == ["create", "remove"]

"""Waiting for Vultr servers, halting and starting them, on an emulated account."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from fakes.vultr_account import IdleVultr

from benchmark.errors import InfrastructureError
from stacks.vultr import power as vultr_power
from stacks.vultr.power import VultrPowerProvider

PLANS = {"instances": "vc2-4c-8gb", "bare-metals": "vbm-4c-32gb"}


def props(vultr: IdleVultr, token: Path, state: str = "running", kind: str = "instances") -> dict[str, Any]:
    """Order a server and return the properties of its power."""
    inputs = {"plan": PLANS[kind], "region": "ewr", "label": "a", "userData": "", "hostname": "a"}
    server = vultr.add("Instance" if kind == "instances" else "BareMetalServer", inputs)
    vultr.boot(server, inputs)
    vultr.install(server)
    return {"server": server, "kind": kind, "state": state, "plan": PLANS[kind], "token_file": str(token)}


def actions(vultr: IdleVultr) -> list[str]:
    return [request.rpartition("/")[2] for request in vultr.api.requests if request.startswith("POST")]


@pytest.mark.parametrize(("kind", "cpus", "memory"), [("instances", 4, 8192), ("bare-metals", 4, 32768)])
def test_a_running_server_is_described_and_not_changed(
    vultr: IdleVultr, token: Path, kind: str, cpus: int, memory: int
) -> None:
    asked = props(vultr, token, kind=kind)
    outs = VultrPowerProvider().create(asked).outs
    assert outs == asked | {
        "address": vultr.machines[asked["server"]].address, "cpus": cpus, "memory_mb": memory,
    }  # fmt: skip
    assert actions(vultr) == []
    assert VultrPowerProvider().read("a", outs).outs == outs
    assert VultrPowerProvider().diff("a", outs, asked).changes is False


def test_a_server_is_waited_for_until_it_has_its_address(vultr: IdleVultr, token: Path) -> None:
    vultr.install_s = 3600.0
    asked = props(vultr, token)
    assert VultrPowerProvider().read("a", asked).outs["address"] == ""
    assert VultrPowerProvider().read("a", asked).outs["state"] == "pending"
    timer = threading.Timer(0.05, lambda: setattr(vultr, "install_s", 0.0))
    timer.start()
    assert VultrPowerProvider().create(asked).outs["address"].startswith("198.18.0.")
    timer.join()
    assert len(vultr.api.requests) > 3


def test_a_server_is_waited_for_until_it_has_its_new_plan(vultr: IdleVultr, token: Path) -> None:
    asked = props(vultr, token)
    outs = VultrPowerProvider().create(asked).outs
    larger = asked | {"plan": "vc2-8c-16gb"}
    assert VultrPowerProvider().diff("a", outs, larger).replaces == []
    vultr.install_s = 0.05
    vultr.put(asked["server"], vultr.things[asked["server"]].properties | {"plan": "vc2-8c-16gb"})
    vultr.resize(asked["server"], "vc2-4c-8gb")
    found = VultrPowerProvider().update("a", outs, larger).outs
    assert (found["cpus"], found["memory_mb"], found["plan"]) == (8, 16384, "vc2-8c-16gb")


@pytest.mark.parametrize("kind", ["instances", "bare-metals"])  # bare metal does not report whether it runs
def test_a_server_is_halted_and_started_again(vultr: IdleVultr, token: Path, kind: str) -> None:
    provider, running = VultrPowerProvider(), props(vultr, token, kind=kind)
    machine = vultr.machines[running["server"]]
    stopped = running | {"state": "stopped"}
    outs = provider.create(running).outs
    address = outs["address"]
    outs = provider.update("a", outs, stopped).outs
    assert (machine.running, outs["state"], outs["address"]) == (False, "stopped", address)
    assert provider.read("a", outs).outs == outs
    outs = provider.update("a", outs, running).outs
    assert (machine.running, outs["state"], outs["address"]) == (True, "running", address)
    assert actions(vultr) == ["halt", "start"]


def test_a_new_server_is_halted_once_it_is_installed(vultr: IdleVultr, token: Path) -> None:
    asked = props(vultr, token, "stopped")
    VultrPowerProvider().create(asked)
    assert not vultr.machines[asked["server"]].running


def test_a_server_halted_before_its_power_is_known_is_started(
    vultr: IdleVultr, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vultr_power, "_FIRST_BOOT_SECONDS", 0.02)
    asked = props(vultr, token)
    vultr.power(asked["server"], "halt")
    VultrPowerProvider().create(asked)
    assert vultr.machines[asked["server"]].running


def test_waiting_for_a_server_times_out(vultr: IdleVultr, token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vultr.install_s = 3600.0
    monkeypatch.setitem(vultr_power._INSTALL_SECONDS, "instances", 0.05)
    with pytest.raises(InfrastructureError, match=r"waited 0 s for server \S+ to be installed as vc2-4c-8gb; check"):
        VultrPowerProvider().create(props(vultr, token))


def test_a_refresh_detects_changes_made_elsewhere(vultr: IdleVultr, token: Path) -> None:
    asked = props(vultr, token)
    vultr.power(asked["server"], "halt")
    assert VultrPowerProvider().read("a", asked).outs["state"] == "stopped"
    assert VultrPowerProvider().read("b", asked | {"server": "b"}).id is None


def test_a_deleted_server_is_an_error(vultr: IdleVultr, token: Path) -> None:
    with pytest.raises(InfrastructureError, match="no server b any more; `pulumi up --refresh`"):
        VultrPowerProvider().create(props(vultr, token) | {"server": "b"})


def test_a_new_state_is_an_update_and_another_server_a_replacement(token: Path) -> None:
    diff = VultrPowerProvider().diff
    running = {"server": "a", "kind": "instances", "state": "running", "plan": "p", "token_file": str(token)}
    assert diff("a", running, running).changes is False
    stopped = diff("a", running, running | {"state": "stopped"})
    assert (stopped.changes, stopped.replaces) == (True, [])
    assert diff("a", running, running | {"server": "b"}).replaces == ["server"]
    of_an_earlier_release = {name: value for name, value in running.items() if name != "plan"}
    assert diff("a", of_an_earlier_release, running).replaces == []

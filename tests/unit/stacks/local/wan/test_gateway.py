"""ip_forward is saved and restored; the real rules are tested in integration/test_wan.py."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError
from stacks.local.wan import gateway


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a default route, without forwarding and interfaces, whose nft accepts everything."""
    (tmp_path / "net").mkdir()
    (tmp_path / "ip_forward_now").write_text("0\n")
    monkeypatch.setattr(gateway, "FORWARDING", tmp_path / "ip_forward_now")
    monkeypatch.setattr(gateway, "INTERFACES", tmp_path / "net")
    monkeypatch.setattr(gateway, "_has_default_route", lambda: True)
    monkeypatch.setattr(subprocess, "run", answer(0))
    return tmp_path


def answer(code: int, error: str = "") -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda command, **_: subprocess.CompletedProcess(command, code, "", error)


def test_forwarding_is_restored_with_the_last_testbed(machine: Path) -> None:
    gateway.open_gateway(0, "198.18.0.0/20", machine)
    gateway.open_gateway(1, "198.18.16.0/20", machine)
    assert gateway.FORWARDING.read_text() == "1\n"
    (machine / "net" / "geobench1").mkdir()
    gateway.restore_forwarding(machine)
    assert gateway.FORWARDING.read_text() == "1\n"
    (machine / "net" / "geobench1").rmdir()
    gateway.restore_forwarding(machine)
    assert gateway.FORWARDING.read_text() == "0\n"


def test_forwarding_that_was_on_before_stays_on(machine: Path) -> None:
    gateway.FORWARDING.write_text("1\n")
    gateway.open_gateway(0, "198.18.0.0/20", machine)
    gateway.restore_forwarding(machine)
    assert gateway.FORWARDING.read_text() == "1\n"


def test_a_machine_without_default_route_is_not_changed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_has_default_route", lambda: False)
    gateway.open_gateway(0, "198.18.0.0/20", machine)
    assert gateway.FORWARDING.read_text() == "0\n"


def test_rejected_rules_name_the_setting_to_change(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", answer(1, "Operation not supported"))
    with pytest.raises(
        InfrastructureError, match=r"rejected .*Operation not supported; set `network\.internet: false`"
    ):
        gateway.open_gateway(0, "198.18.0.0/20", machine)
    assert gateway.FORWARDING.read_text() == "0\n"


def test_a_missing_nft_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(machine))
    monkeypatch.setattr(gateway, "_has_default_route", lambda: True)
    with pytest.raises(InfrastructureError, match="install nftables or set"):
        gateway.open_gateway(0, "198.18.0.0/20", machine)

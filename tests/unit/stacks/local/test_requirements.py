"""A machine that cannot carry local hosts is told so in one paragraph."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import InfrastructureError
from stacks.local import requirements
from stacks.local.requirements import check_machine


@pytest.fixture
def complaint(tmp_path: Path) -> Any:
    """Return a function that runs the check and gives the error's text."""

    def check() -> str:
        with pytest.raises(InfrastructureError) as caught:
            check_machine(tmp_path / "state")
        text = str(caught.value)
        assert "\n" not in text
        return text

    return check


def test_another_system_is_named(complaint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert "this is Darwin" in complaint()


def test_another_user_is_told_to_become_root(complaint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "sudo -E pulumi up" in complaint()


def test_a_missing_device_is_named(complaint: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(requirements, "DEVICE", tmp_path / "tun")
    assert "tun, which is not there; `modprobe tun`" in complaint()


def test_missing_programs_are_named_by_their_packages(complaint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    lacking = {"sshd", "prometheus"}
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name in lacking else f"/bin/{name}")
    assert "`apt-get install openssh-server prometheus`" in complaint()


@pytest.mark.integration
def test_this_machine_can_and_nothing_is_left_of_the_trial(tmp_path: Path) -> None:
    check_machine(tmp_path / "not/there/yet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_a_folder_that_cannot_be_written_is_named_with_the_way_out() -> None:
    with pytest.raises(InfrastructureError, match=r"/sys/kernel.*GEOBENCH_STATE_DIR"):
        check_machine(Path("/sys/kernel/state"))


@pytest.mark.integration
def test_an_overlay_on_an_overlay_is_refused_with_the_way_out(tmp_path: Path, complaint: Any) -> None:
    for name in ("upper", "work", "state"):
        (tmp_path / name).mkdir()
    options = f"lowerdir=/usr/share,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "state"], check=True)
    try:
        text = complaint()
    finally:
        subprocess.run(["umount", tmp_path / "state"], check=True)
    assert "cannot be mounted from" in text
    assert "GEOBENCH_STATE_DIR" in text

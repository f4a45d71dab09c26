"""A machine that cannot run local hosts gets an error of one line."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import InfrastructureError
from benchmark.settings import Disk
from stacks.local import requirements
from stacks.local.host import disk as host_disk
from stacks.local.host import throttle
from stacks.local.requirements import check_machine


@pytest.fixture
def problem(tmp_path: Path) -> Any:
    """Return a function that runs the check and returns the error's text."""

    def check(**fields: object) -> str:
        with pytest.raises(InfrastructureError) as caught:
            check_machine(tmp_path / "state", Disk.model_validate(fields))
        text = str(caught.value)
        assert "\n" not in text
        return text

    return check


def test_another_operating_system_is_an_error(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert "this machine runs Darwin" in problem()


def test_a_missing_device_is_named(problem: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(requirements, "DEVICE", tmp_path / "tun")
    assert "tun, which does not exist; run `modprobe tun`" in problem()


def test_missing_programs_are_reported_as_packages_to_install(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"sshd", "prometheus"}
    monkeypatch.setattr(shutil, "which", lambda name, path: None if name in absent else f"/bin/{name}")
    assert "`apt-get install openssh-server prometheus`" in problem()


@pytest.mark.integration
def test_a_suitable_machine_passes_and_no_files_are_left(tmp_path: Path) -> None:
    check_machine(tmp_path / "not/there/yet", Disk(bandwidth="1MB/s"))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_an_unwritable_folder_is_named_with_the_variable_to_set() -> None:
    with pytest.raises(InfrastructureError, match=r"/sys/kernel.*GEOBENCH_STATE_DIR"):
        check_machine(Path("/sys/kernel/state"), Disk())


@pytest.mark.integration
def test_a_folder_on_an_overlay_is_rejected_with_the_variable_to_set(tmp_path: Path, problem: Any) -> None:
    for name in ("upper", "work", "state"):
        (tmp_path / name).mkdir()
    options = f"lowerdir=/usr/share,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "state"], check=True)
    try:
        text = problem()
    finally:
        subprocess.run(["umount", tmp_path / "state"], check=True)
    assert "cannot mount an overlay" in text
    assert "GEOBENCH_STATE_DIR" in text


@pytest.mark.integration
@pytest.mark.parametrize("control", ["missing", "refused"])
def test_missing_loop_devices_are_an_error_with_the_field_to_set(
    problem: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, control: str
) -> None:
    if control == "refused":  # as in a container: the device is there, and it answers with an error
        (tmp_path / control).touch()
    monkeypatch.setattr(host_disk, "CONTROL", tmp_path / control)
    text = problem()
    assert text.startswith("disk.durable: this machine cannot mount disks of hosts through loop devices (")
    assert "or set `disk: {durable: false}` in the settings" in text
    check_machine(tmp_path / "state", Disk(durable=False))


@pytest.mark.integration
def test_a_folder_in_memory_is_rejected_as_fsync_means_nothing_there(tmp_path: Path, problem: Any) -> None:
    (tmp_path / "state").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "state"], check=True)
    try:
        assert "is in memory (tmpfs), where fsync means nothing" in problem()
    finally:
        subprocess.run(["umount", tmp_path / "state"], check=True)


@pytest.mark.integration
def test_a_bandwidth_needs_a_kernel_that_limits_disks(
    problem: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mountinfo").write_text("29 28 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", encoding="ascii")
    monkeypatch.setattr(throttle, "_MOUNTS", tmp_path / "mountinfo")
    assert problem(bandwidth="5MB/s").startswith(
        "disk.bandwidth: the kernel of this machine cannot limit disks (it has"
    )
    check_machine(tmp_path / "state", Disk())

"""What is written to the kernel's control groups, here in folders that look like them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError
from stacks.local.host import throttle
from stacks.local.host.throttle import check_throttle, control_files, limit_bandwidth, remove_limit

LOOP = Path("/dev/loop3")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of the groups of version 2 of a machine with a device loop3."""
    root = tmp_path / "cgroup"
    (root / "geobench-t-a-0").mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpu io memory pids\n", encoding="ascii")
    mounts = f"1 0 0:1 / {root} rw - cgroup2 cgroup2 rw\n"
    (tmp_path / "mountinfo").write_text(mounts, encoding="ascii")
    (tmp_path / "block/loop3").mkdir(parents=True)
    (tmp_path / "block/loop3/dev").write_text("7:3\n", encoding="ascii")
    monkeypatch.setattr(throttle, "_MOUNTS", tmp_path / "mountinfo")
    monkeypatch.setattr(throttle, "_BLOCK", tmp_path / "block")
    return root


def version_1(groups: Path) -> None:
    line = f"1 0 0:1 / {groups} rw - cgroup cgroup rw,blkio\n"
    (groups.parent / "mountinfo").write_text(line, encoding="ascii")


def test_version_2_limits_the_group_of_the_host(groups: Path) -> None:
    check_throttle()
    limit_bandwidth("geobench-t-a-0", LOOP, 42, 5_000_000)
    assert (groups / "cgroup.subtree_control").read_text() == "+io +memory"
    assert (groups / "geobench-t-a-0/io.max").read_text() == "7:3 rbps=5000000 wbps=5000000"
    assert (groups / "geobench-t-a-0/cgroup.procs").read_text() == "42"


def test_version_2_without_a_limit_gives_the_host_a_group_for_later_ones(groups: Path) -> None:
    limit_bandwidth("geobench-t-a-0", LOOP, 42, None)
    group = groups / "geobench-t-a-0"
    assert {file.name: file.read_text() for file in group.iterdir()} == {"cgroup.procs": "42"}
    (group / "cgroup.procs").unlink()
    remove_limit("geobench-t-a-0")
    assert not group.exists()
    remove_limit("geobench-t-a-0")


def test_version_2_whose_controllers_cannot_be_used_runs_hosts_without_a_limit(groups: Path) -> None:
    (groups / "cgroup.subtree_control").mkdir()
    limit_bandwidth("geobench-t-a-0", LOOP, 42, None)
    assert control_files("geobench-t-a-0", LOOP, None) is None


@pytest.mark.parametrize("bandwidth", [None, 5_000_000])
def test_how_limits_are_changed_depends_on_the_version(groups: Path, bandwidth: int | None) -> None:
    file = groups / "geobench-t-a-0/io.max"
    file.touch()
    expected = {"files": {str(file): "7:3 rbps={} wbps={}"}, "unlimited": "max", "bandwidth": bandwidth}
    assert control_files("geobench-t-a-0", LOOP, bandwidth) == expected
    version_1(groups)
    assert control_files("geobench-t-a-0", LOOP, bandwidth) is None
    files = [groups / f"blkio.throttle.{name}_bps_device" for name in ("read", "write")]
    for each in files:
        each.touch()
    expected = {"files": {str(each): "7:3 {}" for each in files}, "unlimited": "0", "bandwidth": bandwidth}
    assert control_files("geobench-t-a-0", LOOP, bandwidth) == expected


def test_version_1_limits_the_device_in_the_root_group_or_removes_the_limit_of_an_earlier_user(groups: Path) -> None:
    version_1(groups)
    limit_bandwidth("geobench-t-a-0", LOOP, 42, 5_000_000)
    files = [groups / f"blkio.throttle.{name}_bps_device" for name in ("read", "write")]
    assert {file.read_text() for file in files} == {"7:3 5000000"}
    assert (groups / "cgroup.procs").read_text() == "42"
    limit_bandwidth("geobench-t-a-0", LOOP, 42, None)
    assert {file.read_text() for file in files} == {"7:3 0"}


@pytest.mark.parametrize("controllers", ["cpu memory", "io", ""])
def test_a_kernel_without_the_controllers_is_an_error_only_if_there_is_a_limit(groups: Path, controllers: str) -> None:
    (groups / "cgroup.controllers").write_text(controllers, encoding="ascii")
    limit_bandwidth("geobench-t-a-0", LOOP, 42, None)
    remove_limit("geobench-t-a-0")
    for check in (check_throttle, lambda: limit_bandwidth("geobench-t-a-0", LOOP, 42, 5_000_000)):
        with pytest.raises(InfrastructureError, match=r"disk.bandwidth: the kernel .* cannot limit disks .*remove the"):
            check()


def test_version_1_without_limits_is_an_error(groups: Path) -> None:
    version_1(groups)
    with pytest.raises(InfrastructureError, match="built without CONFIG_BLK_DEV_THROTTLING"):
        check_throttle()


def test_a_limit_that_the_kernel_rejects_is_an_error_with_the_file(groups: Path) -> None:
    (groups / "geobench-t-a-0/io.max").mkdir()
    with pytest.raises(InfrastructureError, match=r"disk.bandwidth: .*geobench-t-a-0/io.max: Is a directory"):
        limit_bandwidth("geobench-t-a-0", LOOP, 42, 5_000_000)

"""Limit the bandwidth of a host's disk with the kernel's control groups.

Version 2 limits a group of processes, so every host with a limit gets a group. Version 1 counts what the kernel writes
later, on behalf of a process, to the root group: there the limit of a host's device is one of the root group.
https://docs.kernel.org/admin-guide/cgroup-v2.html#io,
https://docs.kernel.org/admin-guide/cgroup-v1/blkio-controller.html
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from benchmark.errors import InfrastructureError
from stacks.local.host.disk_control import Limits

_MOUNTS = Path("/proc/self/mountinfo")
_BLOCK = Path("/sys/block")
_V1_FILES = ("blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device")


def check_throttle() -> None:
    """Raise InfrastructureError if this machine cannot limit the bandwidth of disks."""
    root, version = _root()
    if version == 1 and not all((root / name).exists() for name in _V1_FILES):
        raise _missing("it was built without CONFIG_BLK_DEV_THROTTLING")


def limit_bandwidth(group: str, device: Path, pid: int, bandwidth: int | None) -> None:
    """Limit what the processes of process 1 `pid` read from a loop device, and what they write, to bytes per second.

    `group` names the host on this machine. None removes limits of an earlier user of the device; faults may set one
    later. InfrastructureError if the kernel does not accept the limit.
    """
    try:
        root, version = _root()
    except InfrastructureError:
        if bandwidth is None:
            return
        raise
    number = (_BLOCK / device.name / "dev").read_text(encoding="ascii").strip()
    try:
        if version == 1:
            for name in _V1_FILES:
                (root / name).write_text(f"{number} {bandwidth or 0}", encoding="ascii")
        if bandwidth is None:
            if version == 2:
                _try_group(root, group, pid)
            return
        members = root
        if version == 2:
            # With memory, what the kernel writes later is counted to the process that caused it.
            (root / "cgroup.subtree_control").write_text("+io +memory", encoding="ascii")
            members = root / group
            members.mkdir(exist_ok=True)
            (members / "io.max").write_text(f"{number} rbps={bandwidth} wbps={bandwidth}", encoding="ascii")
        (members / "cgroup.procs").write_text(f"{pid}", encoding="ascii")
    except OSError as error:
        raise _missing(f"{error.filename or root}: {error.strerror}") from None


def control_files(group: str, device: Path, bandwidth: int | None) -> Limits | None:
    """Return how the limit of a host can be changed while it runs; None where the kernel has no limits.

    `bandwidth` is what `limit_bandwidth` was called with, before.
    """
    try:
        check_throttle()
        root, version = _root()
    except InfrastructureError:
        return None
    if version == 2 and not (root / group / "io.max").exists():
        return None
    number = (_BLOCK / device.name / "dev").read_text(encoding="ascii").strip()
    if version == 1:
        files = {str(root / name): f"{number} {{}}" for name in _V1_FILES}
    else:
        files = {str(root / group / "io.max"): f"{number} rbps={{}} wbps={{}}"}
    return Limits(files=files, unlimited="0" if version == 1 else "max", bandwidth=bandwidth)


def remove_limit(group: str) -> None:
    """Remove the limit of a host that has ended; its device may belong to somebody else next."""
    try:
        root, version = _root()
    except InfrastructureError:
        return
    with contextlib.suppress(OSError):
        if version == 2:
            (root / group).rmdir()
            return
        for name in _V1_FILES:
            for line in (root / name).read_text(encoding="ascii").splitlines():
                number = line.split()[0]
                block = Path("/sys/dev/block", number)
                if number.startswith("7:") and not (block / "loop").exists():  # a loop device that is free
                    (root / name).write_text(f"{number} 0", encoding="ascii")


def _try_group(root: Path, group: str, pid: int) -> None:
    """Give a host without a limit its group, so that a fault can limit it later; nothing else needs it."""
    with contextlib.suppress(OSError):
        (root / "cgroup.subtree_control").write_text("+io +memory", encoding="ascii")
        (root / group).mkdir(exist_ok=True)
        (root / group / "cgroup.procs").write_text(f"{pid}", encoding="ascii")


def _root() -> tuple[Path, int]:
    """Return the root of the groups that limit block devices, and their version."""
    for line in _MOUNTS.read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        place, (kind, _, options) = Path(before.split()[4]), after.split()[:3]
        if kind == "cgroup" and "blkio" in options.split(","):
            return place, 1
        if kind == "cgroup2":
            with contextlib.suppress(OSError):
                if {"io", "memory"} <= {*(place / "cgroup.controllers").read_text(encoding="ascii").split()}:
                    return place, 2
    raise _missing("it has no control groups with the controllers `io` and `memory`, or `blkio` of version 1")


def _missing(reason: str) -> InfrastructureError:
    return InfrastructureError(
        f"disk.bandwidth: the kernel of this machine cannot limit disks ({reason}); remove the field"
    )

"""How the kernel limits a disk: asked by a local host, in a control group of its own, or by device.

https://docs.kernel.org/admin-guide/cgroup-v2.html#io,
https://docs.kernel.org/admin-guide/cgroup-v1/blkio-controller.html
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .mechanism import ProblemError
from .processes import members, read_group

CONTROL = "/run/disk-control/disk"
GROUPS = Path("/sys/fs/cgroup")
BLKIO = GROUPS / "blkio"
V1_FILES = ("blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device")
LONGEST_S = 10**6
ANSWER_S = 5.0


class Limit(ABC):
    """A limit of what is read from the disk of the current folder, and of what is written; OSError, ProblemError."""

    @abstractmethod
    def apply(self, bandwidth: int, pids: Sequence[int]) -> None:
        """Limit processes, where not all of the host are, to bytes per second."""

    @abstractmethod
    def release(self) -> None:
        """Remove the limit."""

    def undo(self, pids: Sequence[int]) -> list[list[Any]]:
        """Return the actions that remove the limit without this object."""
        return []

    def enter(self) -> None:  # noqa: B027
        """Have the current process limited, too."""

    def require(self, names: Sequence[str]) -> None:  # noqa: B027
        """Require that processes of the run are limited."""


class ControlLimit(Limit):
    """A limit that the machine of a local host applies, as long as the connection lasts."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def apply(self, bandwidth: int, pids: Sequence[int]) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)
        self._socket.connect(CONTROL)
        self._socket.sendall(f"{bandwidth} {LONGEST_S}\n".encode())
        answer = self._socket.recv(200).decode(errors="replace").strip()
        if answer != "ok":
            raise ProblemError(f"the machine of this host does not limit its disk: {answer or 'no answer'}")

    def release(self) -> None:
        if self._socket:
            self._socket.close()


class GroupLimit(Limit):
    """A control group of version 2, which the processes join until the limit is removed."""

    def __init__(self, name: str, device: str) -> None:
        self._group, self._device = GROUPS / name, device
        self._undo: list[Any] | None = None

    def undo(self, pids: Sequence[int]) -> list[list[Any]]:
        return [["group", str(self._group), {str(pid): _group_of(pid) for pid in pids}]]

    def apply(self, bandwidth: int, pids: Sequence[int]) -> None:
        self._undo = self.undo(pids)[0][1:]
        # With memory, what the kernel writes later is counted to the process that caused it.
        (GROUPS / "cgroup.subtree_control").write_text("+io +memory")
        self._group.mkdir(exist_ok=True)
        (self._group / "io.max").write_text(f"{self._device} rbps={bandwidth} wbps={bandwidth}")
        for pid in pids:
            (self._group / "cgroup.procs").write_text(str(pid))

    def release(self) -> None:
        if self._undo:
            leave_group(*self._undo)

    def enter(self) -> None:
        (self._group / "cgroup.procs").write_text("0")

    def require(self, names: Sequence[str]) -> None:
        joined = (self._group / "cgroup.procs").read_text().split()
        for name in names:
            if not {str(pid) for pid in members(read_group(name)[0])} <= {*joined}:
                raise ProblemError(f"{name} has processes that are not limited")


class DeviceLimit(Limit):
    """A limit of version 1 for all processes: it counts to nobody what the kernel writes later."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._undo: list[Any] | None = None

    def undo(self, pids: Sequence[int]) -> list[list[Any]]:
        former = {}
        for name in V1_FILES:
            lines = dict(line.split() for line in (BLKIO / name).read_text().splitlines())
            former[name] = lines.get(self._device, "0")
        return [["device", self._device, former]]

    def apply(self, bandwidth: int, pids: Sequence[int]) -> None:
        self._undo = self.undo(pids)[0][1:]
        for name in V1_FILES:
            (BLKIO / name).write_text(f"{self._device} {bandwidth}")

    def release(self) -> None:
        if self._undo:
            restore_device(*self._undo)


def find_limit(name: str) -> Limit:
    """Return how the disk of the current folder can be limited; `name` is for a group. ProblemError if it cannot."""
    if os.path.exists(CONTROL):  # noqa: PTH110
        return ControlLimit()
    device = _device(".")
    if {"io", "memory"} <= {*_read(GROUPS / "cgroup.controllers").split()}:
        return GroupLimit(name, device)
    if not all((BLKIO / name).exists() for name in V1_FILES):
        raise ProblemError("its kernel cannot limit disks: it has neither control groups with `io` and `memory` nor v1")
    if device == _device("/"):
        raise ProblemError(
            "its working_dir is on the disk of its system, which would stand still too; control groups of version 2, "
            "or another disk, avoid that"
        )
    return DeviceLimit(device)


def _device(path: str) -> str:
    """Return MAJOR:MINOR of the whole disk that has a file; ProblemError if it is not on one."""
    number = os.stat(path).st_dev  # noqa: PTH116
    found = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not found.exists():
        raise ProblemError(f"{os.path.abspath(path)} is not on the file system of one disk")  # noqa: PTH100
    if (found / "partition").exists():
        found = found.resolve().parent
    return (found / "dev").read_text().strip()


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


def _group_of(pid: int) -> str:
    lines = _read(Path(f"/proc/{pid}/cgroup")).splitlines()
    return next((line[3:] for line in lines if line.startswith("0::")), "/")


def leave_group(group: str, former: dict[str, str]) -> None:
    """Return the processes of a group to where they were, and remove it."""
    if not os.path.isdir(group):  # noqa: PTH112
        return
    end = time.monotonic() + ANSWER_S
    while True:
        for pid in _read(Path(group, "cgroup.procs")).split():
            home = GROUPS / former.get(pid, next(iter(former.values()), "/")).lstrip("/")
            with contextlib.suppress(ProcessLookupError):
                (home if home.exists() else GROUPS).joinpath("cgroup.procs").write_text(pid)
        try:
            os.rmdir(group)  # noqa: PTH106
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def restore_device(device: str, former: dict[str, str]) -> None:
    """Set the limits of a device to what they were."""
    for name, value in former.items():
        (BLKIO / name).write_text(f"{device} {value}")

"""Faults of the disk that has the run's folder: it is full, slow, or stands still."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .children import Child, show
from .mechanism import Context, Mechanism, ProblemError
from .processes import members, read_group
from .throttle import Limit, find_limit

SLACK = 1 << 20
"""Bytes that a file system may keep for itself while it is full."""
PROBE_S, SLOWER = 1.0, 0.6
"""A slow disk is probed with what it writes in this time, and must take this share of it: limits let bursts pass."""
STALL_BYTES, STALL_S = 4096, 1.0
"""What is written to a disk that stands still, and how long it does not arrive."""
FASTER = 0.3
"""Share of the time that a slow disk takes within which a disk without the fault must write the same."""
BASELINES, LONGEST_BASELINE_S = 3, 5.0


class Fill(Mechanism):
    """Fill the file system: `{"leave": BYTES}`, which remain free at the most."""

    def __init__(self, order: dict[str, Any], context: Context) -> None:
        self.leave = int(order["leave"])
        self.file = Path.cwd() / f"{context.name}.fill"
        self.taken = 0

    def prepare(self) -> None:
        """Require that there is something to take."""
        if (free := free_bytes()) <= self.leave + SLACK:
            raise ProblemError(f"only {show(free)} are free, {show(self.leave)} of which are to be left")

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return [["remove", str(self.file)]]

    def inject(self) -> None:
        """Allocate a file, in smaller and smaller pieces where the file system has no large ones left."""
        file = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            piece = free_bytes() - self.leave
            while (wanted := min(piece, free_bytes() - self.leave)) >= 4096:
                try:
                    os.posix_fallocate(file, os.fstat(file).st_size, wanted)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                        raise
                    piece = wanted // 2
        finally:
            self.taken = _allocated(self.file)
            os.close(file)

    def prove(self) -> tuple[bool, str]:
        """Return whether no more than requested can be written, and how much is free."""
        ok, text = self.prove_held()
        if free_bytes() <= self.leave + SLACK:
            return ok, text
        # File systems keep blocks for themselves that they report as free.
        return ok and not self._can_write(self.leave + SLACK), f"{text}, the rest is kept by the file system"

    def prove_held(self) -> tuple[bool, str]:
        """Return whether all is still taken; the system may have freed some of its own."""
        taken = _allocated(self.file)
        text = f"{show(free_bytes())} free, {show(taken)} taken"
        return taken > 0 and taken >= self.taken, text

    def _can_write(self, size: int) -> bool:
        name = f"{self.file}.probe"
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.unlink(name)  # noqa: PTH108
            os.posix_fallocate(file, 0, size)
            return True
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
        finally:
            os.close(file)

    def heal(self) -> None:
        """Remove the file."""
        remove(str(self.file))

    def prove_healed(self, cut: Sequence[str]) -> tuple[bool, str]:
        """Return whether at least half of what was taken is free: the system may need the rest."""
        free = free_bytes()
        return not self.file.exists() and free >= self.leave + self.taken // 2, f"{show(free)} free"


def free_bytes() -> int:
    """Return what the owner of the run's folder can still write to its file system."""
    found = os.statvfs(".")
    return found.f_frsize * (found.f_bavail if os.stat(".").st_uid else found.f_bfree)  # noqa: PTH116


def _allocated(file: Path) -> int:
    return file.stat().st_blocks * 512 if file.exists() else 0


def remove(path: str) -> None:
    """Remove a file, if it exists."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108


class Write:
    """A write of `size` bytes and its fsync, in a child process, as it may not return."""

    def __init__(self, limit: Limit | None, size: int) -> None:
        def write(_: int) -> None:
            if limit:
                limit.enter()
            name = f"geobench-fsync-{os.getpid()}"
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.unlink(name)  # noqa: PTH108
            os.write(file, b"x" * size)
            os.fsync(file)

        self._child = Child(write)
        self._began = time.monotonic()
        self._took: float | None = None
        self._child.start()

    def seconds(self) -> tuple[float, bool]:
        """Return how long it has taken so far, and whether that is all."""
        if self._took is None and not self._child.runs():
            self._took = time.monotonic() - self._began
        return (self._took, True) if self._took is not None else (time.monotonic() - self._began, False)

    def close(self) -> None:
        """Forget it; a child that hangs ends when its disk goes on."""
        self._child.end()


def time_write(limit: Limit | None, size: int) -> float:
    """Return the seconds of a write and its fsync; ProblemError if it takes too long."""
    write = Write(limit, size)
    try:
        while True:
            seconds, done = write.seconds()
            if done:
                return seconds
            if seconds > LONGEST_BASELINE_S:
                raise ProblemError(f"a write of {show(size)} has not arrived on the disk after {seconds:.1f} s")
            time.sleep(0.002)
    finally:
        write.close()


class Throttle(Mechanism):
    """Slow or stop the disk: `{"bandwidth": BYTES_PER_SECOND, "processes": [NAME…]}`, bandwidth 0 to stop it."""

    def __init__(self, order: dict[str, Any], context: Context) -> None:
        self.bandwidth = int(order["bandwidth"])
        self.names = [str(name) for name in order["processes"]]
        self.size = round(self.bandwidth * PROBE_S) or STALL_BYTES
        self.limit = find_limit(context.name)
        self.before = 0.0
        self.pids: list[int] = []
        self.write: Write | None = None

    @classmethod
    def check(cls) -> None:
        """Require a disk that can be limited."""
        find_limit("check")

    def prepare(self) -> None:
        """Time a write without the fault."""
        self.before = min(time_write(None, self.size) for _ in range(BASELINES))
        if self.before > FASTER * (PROBE_S if self.bandwidth else STALL_S):
            raise ProblemError(
                f"its disk is too slow for the proof: a write of {show(self.size)} takes {self.before:.3f} s already"
            )

    def find(self) -> None:
        """Find the processes; those of a restarted node are others."""
        self.pids = [pid for name in self.names for pid in members(read_group(name)[0])]

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return self.limit.undo(self.pids)

    def inject(self) -> None:
        """Apply the limit, and begin to write."""
        self.limit.apply(self.bandwidth or 1, self.pids)
        self.write = Write(self.limit, self.size)

    def prove(self) -> tuple[bool, str]:
        """Return whether a write takes as long as it must, or does not arrive at all, and how long."""
        assert self.write
        seconds, done = self.write.seconds()
        text = f"write of {show(self.size)}: {self.before:.3f} s before, "
        text += f"{seconds:.2f} s{'' if done else ' and not done'}"
        self.limit.require(self.names)
        if not self.bandwidth:
            return not done and seconds >= STALL_S, text
        return seconds >= SLOWER * PROBE_S, text

    def prove_held(self) -> tuple[bool, str]:
        """Return whether a write still takes as long, or the first one still has not arrived."""
        assert self.write
        if self.bandwidth:
            self.write.close()
            self.write = Write(self.limit, self.size)
            while not self.write.seconds()[1] and self.write.seconds()[0] < SLOWER * PROBE_S:
                time.sleep(0.01)
        return self.prove()

    def heal(self) -> None:
        """Remove the limit."""
        self.limit.release()
        if self.write:
            self.write.close()

    def prove_healed(self, cut: Sequence[str]) -> tuple[bool, str]:
        """Return whether a write is fast again."""
        seconds = time_write(None, self.size)
        return seconds <= FASTER * (PROBE_S if self.bandwidth else STALL_S), (
            f"write of {show(self.size)}: {seconds:.3f} s"
        )

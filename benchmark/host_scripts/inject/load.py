"""Faults of processors and memory: other processes of the host take them."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import select
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .children import Child, read_kb, show
from .mechanism import Context, Mechanism, ProblemError
from .processes import read_group

PERIOD_S = 0.01
MEASURED_S = 1.0
"""Shortest time over which the share of processors is measured."""
TOLERANCE = 0.05
"""Largest difference between the requested share and the measured one."""
PIECE = 64 << 20
RESERVE_SHARE, RESERVE_BYTES = 0.05, 128 << 20
"""What remains available in any case, so that the kernel need not kill: a share of the memory, at least so much."""
_MAP_POPULATE, _MCL_CURRENT = 0x8000, 1


class Burn(Mechanism):
    """Take a share of the processors: `{"share": SHARE, "processes": [NAME…]}`, of those that the processes may use.

    A process per processor runs for its share of every period, before all others where the host permits that.
    """

    def __init__(self, order: dict[str, Any], context: Context) -> None:
        self.share, self.names = float(order["share"]), [str(name) for name in order["processes"]]
        self.burners: list[Child] = []
        self.began = 0.0

    def prepare(self) -> None:
        """Require that the processes run."""
        for name in self.names:
            read_group(name)

    def find(self) -> None:
        """Find the processors and have a process ready for each."""
        cores: set[int] = set()
        for name in self.names:
            with contextlib.suppress(ProcessLookupError):
                cores |= os.sched_getaffinity(read_group(name)[0])
        if not cores:
            raise ProblemError(f"{', '.join(self.names)} does not run")
        self.burners = [Child(lambda pipe, core=core: burn(core, self.share, pipe)) for core in sorted(cores)]  # type: ignore[misc]

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return [["kill", child.pid, child.started] for child in self.burners]

    def inject(self) -> None:
        """Begin."""
        self.began = time.monotonic()
        for child in self.burners:
            child.start()

    def prove(self) -> tuple[bool, str]:
        """Return whether the share was taken since the fault was injected, and how much was."""
        elapsed = time.monotonic() - self.began
        count = len(self.burners)
        share = sum(_cpu_seconds(child.pid) for child in self.burners if child.runs()) / elapsed / count
        text = f"{100 * share:.1f} % of {count} processor{'' if count == 1 else 's'} taken for {elapsed:.1f} s"
        return elapsed >= MEASURED_S and abs(share - self.share) <= TOLERANCE, text

    def heal(self) -> None:
        """End the processes."""
        for child in self.burners:
            child.end()

    def prove_healed(self, cut: Sequence[str]) -> tuple[bool, str]:
        """Return whether none of the processes is left."""
        left = [child.pid for child in self.burners if child.runs()]
        return not left, f"pid {left[0]} still runs" if left else f"{len(self.burners)} processes ended"


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def burn(core: int, share: float, pipe: int) -> None:
    """Use a share of a processor until the pipe ends."""
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)
    wall, used = time.monotonic(), time.process_time()
    while True:
        ahead = (time.process_time() - used) / share - (time.monotonic() - wall)
        if ahead < -1.0:  # others had the processor: what was missed is not taken later
            wall, used = time.monotonic(), time.process_time()
        elif ahead > 0 and select.select([pipe], [], [], ahead)[0]:
            return
        end = time.process_time() + share * PERIOD_S
        while time.process_time() < end:
            pass


class Hold(Mechanism):
    """Take a share of the memory that is available: `{"share": SHARE}`.

    The process that holds it is the first that the kernel kills when memory runs out, and gives way before.
    """

    def __init__(self, order: dict[str, Any], context: Context) -> None:
        self.share = float(order["share"])
        self.wanted = self.before = 0
        self.holder: Child | None = None

    def prepare(self) -> None:
        """Require that enough remains."""
        self.before = read_kb("/proc/meminfo", "MemAvailable")
        self.wanted = round(self.share * self.before)
        if (left := self.before - self.wanted) < (reserve := _reserve()):
            raise ProblemError(
                f"{show(left)} of {show(self.before)} available memory would remain, {show(reserve)} are needed; "
                "use a smaller share"
            )

    def find(self) -> None:
        """Have a process ready; what is available may have changed."""
        self.prepare()
        self.holder = Child(lambda pipe: hold(self.wanted, pipe))

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        assert self.holder
        return [["kill", self.holder.pid, self.holder.started]]

    def inject(self) -> None:
        """Begin."""
        assert self.holder
        self.holder.start()

    def prove(self) -> tuple[bool, str]:
        """Return whether all is held, outside of the swap space, and how much is available."""
        assert self.holder
        held = 0
        if self.holder.runs():
            with contextlib.suppress(OSError, ProblemError):
                held = read_kb(f"/proc/{self.holder.pid}/status", "VmRSS")
        available = read_kb("/proc/meminfo", "MemAvailable")
        text = f"{show(held)} of {show(self.wanted)} held, {show(self.before)} available before, now {show(available)}"
        return held >= self.wanted, text

    def heal(self) -> None:
        """End the process."""
        if self.holder:
            self.holder.end()

    def prove_healed(self, cut: Sequence[str]) -> tuple[bool, str]:
        """Return whether the process is gone, and how much is available."""
        assert self.holder
        return not self.holder.runs(), f"{show(read_kb('/proc/meminfo', 'MemAvailable'))} available"


def _reserve() -> int:
    return max(RESERVE_BYTES, round(RESERVE_SHARE * read_kb("/proc/meminfo", "MemTotal")))


def hold(size: int, pipe: int) -> None:
    """Hold memory until the pipe ends, or others need it."""
    Path("/proc/self/oom_score_adj").write_text("1000")
    reserve = _reserve()
    pieces = []
    libc = ctypes.CDLL(None)
    while True:
        if read_kb("/proc/meminfo", "MemAvailable") < reserve:
            return
        if size > 0:
            length = min(PIECE, size)
            pieces.append(mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_POPULATE))
            size -= length
            if size == 0:
                libc.mlockall(_MCL_CURRENT)  # where the host permits it
        if select.select([pipe], [], [], 0.0 if size else 0.05)[0]:
            return

"""A second process that heals the faults of a host when the script cannot: it was killed, or does not run on."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from .leftovers import OWN_PID, read_state, undo_all, undo_leftovers
from .mechanism import ProblemError

GRACE_S = 2.0
"""Time after a deadline in which the script itself heals."""
AGAIN_S = 1.0
PATIENCE_S = 300.0
"""Time in which healing is tried again; what is left then, the next connection heals."""


class Watchdog:
    """The process, as the script sees it; another one replaces it if it ends."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        reads, self._orders = os.pipe()
        self._alive, alive = os.pipe()
        script = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                null = os.open(os.devnull, os.O_RDWR)
                for target in (0, 1, 2):
                    os.dup2(null, target)
                keep = sorted((reads, alive))
                os.closerange(3, keep[0])
                os.closerange(keep[0] + 1, keep[1])
                os.closerange(keep[1] + 1, 1 << 16)
                watch(reads, script)
            finally:
                os._exit(0)
        os.close(reads)
        os.close(alive)

    def fileno(self) -> int:
        """Return a descriptor that is readable when the process has ended."""
        return self._alive

    def expect(self, number: str, deadline: float | None) -> None:
        """Have a fault healed after a deadline, in s of the monotonic clock; None if it is healed."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._orders, f"{number} {deadline or 0.0}\n".encode())

    def replace(self) -> None:
        """Start another process after the former has ended."""
        os.close(self._orders)
        os.close(self._alive)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self._start()


def watch(orders: int, script: int) -> None:
    """Heal each fault whose deadline has passed, and all when the pipe ends, which the process `script` holds."""
    deadlines: dict[str, float] = {}
    rest = b""
    while True:
        now = time.monotonic()
        overdue = [number for number, deadline in deadlines.items() if deadline + GRACE_S <= now]
        for number in overdue:
            problems = undo_all(read_state().get(number, []))[1]
            if problems:
                deadlines[number] = now + AGAIN_S
            else:
                del deadlines[number]
        wait = min(deadlines.values()) + GRACE_S - now if deadlines else None
        if not select.select([orders], [], [], wait if wait is None else max(0.0, wait))[0]:
            continue
        data = os.read(orders, 4096)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            number, deadline = line.decode().split()
            deadlines.pop(number, None)
            if float(deadline):
                deadlines[number] = float(deadline)
    with contextlib.suppress(OSError):
        if OWN_PID.read_text().split()[0] not in ("", str(script)):
            return  # another one serves
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(ProblemError, OSError, ValueError):
            undo_leftovers()
            OWN_PID.unlink(missing_ok=True)
            return
        time.sleep(AGAIN_S)

"""Child processes of the script: they take what a fault takes, or wait for what a fault delays."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from .mechanism import ProblemError
from .processes import read_stat


class Child:
    """A forked process that waits for `start`, calls `work` with the descriptor of a pipe, and ends.

    The pipe has no input. It ends with the script, however that ends, and so must `work`.
    """

    def __init__(self, work: Callable[[int], None]) -> None:
        ours, its = os.pipe()  # whoever closes the last copy of `its` ends the child
        self.pid = os.fork()
        if self.pid == 0:
            _become(work, ours)
        os.close(ours)
        self._pipe = its
        stat = read_stat(self.pid)
        self.started = stat[2] if stat else 0

    def start(self) -> None:
        """Let the child begin."""
        os.write(self._pipe, b"x")

    def runs(self) -> bool:
        """Whether it has not ended."""
        stat = read_stat(self.pid)
        return stat is not None and stat[2] == self.started and stat[0] not in "ZX"

    def end(self) -> None:
        """Kill it, and wait unless it hangs in the kernel."""
        with contextlib.suppress(OSError):
            os.close(self._pipe)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0 if not self._hangs() else os.WNOHANG)

    def _hangs(self) -> bool:
        stat = read_stat(self.pid)
        return stat is not None and stat[0] == "D"


def _become(work: Callable[[int], None], pipe: int) -> None:
    """Do the work of a child and end."""
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        for target in (0, 1, 2):  # the runner waits until nobody has its pipes open any more
            os.dup2(null, target)
        os.closerange(3, pipe)
        os.closerange(pipe + 1, 1 << 16)
        if os.read(pipe, 1):
            work(pipe)
    finally:
        os._exit(0)


def kill(pid: int, started: int) -> None:
    """Kill a process, unless its number belongs to another one by now."""
    stat = read_stat(pid)
    if stat and stat[2] == started and stat[0] not in "ZX":
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def read_kb(path: str, name: str) -> int:
    """Return a line of /proc in bytes, such as MemAvailable of /proc/meminfo."""
    for line in Path(path).read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ProblemError(f"{path} has no {name}")


def show(size: float) -> str:
    """Return bytes in words."""
    units = ["B", "KB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.3g} {units[0]}"

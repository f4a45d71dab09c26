"""What goes wrong with a testbed during a run, done to real local hosts from outside."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from fakes.local_testbed import LocalTestbed


class Lab:
    """A testbed that accidents happen to, until `heal` undoes them."""

    def __init__(self, testbed: LocalTestbed) -> None:
        self.testbed = testbed
        self._healing: list[Callable[[], None]] = []

    @property
    def monitoring(self) -> str:
        return next(host.name for host in self.testbed.inventory.hosts if host.role == "monitoring")

    @property
    def others(self) -> list[str]:
        return [host.name for host in self.testbed.inventory.hosts if host.role != "monitoring"]

    def processes(self, host: str) -> Iterator[Path]:
        """Yield the folders in /proc of the processes of a host."""
        first = self.testbed.host(host).process_id()
        if first is None:
            return
        namespace = Path(f"/proc/{first}/ns/pid").readlink()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (folder / "ns/pid").readlink() == namespace:
                    yield folder

    def pids(self, host: str, matches: Callable[[Path], bool]) -> list[int]:
        """Return the pids of a host's processes whose folders match."""
        found = []
        for folder in self.processes(host):
            with suppress(OSError):  # it has ended
                if matches(folder):
                    found.append(int(folder.name))
        return found

    def named(self, host: str, name: str) -> list[int]:
        """Return the pids of a host's processes of that name."""
        return self.pids(host, lambda folder: (folder / "comm").read_text().strip() == name)

    def working(self, host: str, place: str = "") -> list[int]:
        """Return the pids of a host's processes that work in the folder of a run, or in that of one process of it."""
        return self.pids(host, lambda folder: f"/geobench/run/{place}" in str((folder / "cwd").readlink()))

    def programs(self, host: str, place: str) -> list[int]:
        """Return the pids of Python programs that a host's supervisor has started for nodes or clients."""
        return sorted({*self.named(host, "python3")} & {*self.working(host, place)})

    def supervisors(self, host: str) -> list[int]:
        """Return the pids of the script that starts and watches the processes of a run."""
        return self.pids(host, lambda folder: b"supervise.sh" in (folder / "cmdline").read_bytes())

    def left_running(self) -> list[str]:
        """Return the command lines of a run's processes on all hosts."""
        found = []
        for host in [self.monitoring, *self.others]:
            for pid in self.working(host):
                with suppress(OSError):
                    found.append(f"{host}: {Path(f'/proc/{pid}/cmdline').read_text().replace(chr(0), ' ')}")
        return found

    def signal(self, pids: Sequence[int], number: int) -> None:
        """Send a signal to processes, of which there must be one."""
        assert pids
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self, pids: Sequence[int]) -> None:
        """Let processes hang."""
        self.signal(pids, signal.SIGSTOP)
        self._healing.append(lambda: self.signal(pids, signal.SIGCONT))

    def lose(self, host: str) -> None:
        """End a host, as if its power had failed."""
        first = self.testbed.host(host).process_id()
        assert first
        os.kill(first, signal.SIGKILL)
        self._healing.append(lambda: self.testbed.restart(host))

    def cut(self, host: str) -> Callable[[], object]:
        """Drop all packets to a host; return what ends that."""
        enter = ["nsenter", f"--net=/proc/{self.testbed.host(host).process_id()}/ns/net", "nft"]
        rules = "add table inet cut; add chain inet cut i { type filter hook input priority -400; }; "
        subprocess.run([*enter, rules + 'add rule inet cut i iif != "lo" drop'], check=True)
        return lambda: subprocess.run([*enter, "delete table inet cut"], check=True)

    def kill_emulator(self) -> None:
        """Kill the process that emulates the network."""
        os.kill(int((self.testbed.network.directory / "worker.pid").read_text().split()[0]), signal.SIGKILL)

    def heal(self) -> None:
        """Undo what has happened, the last first."""
        while self._healing:
            self._healing.pop()()

"""Faults of processes: they are killed, stopped or ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .mechanism import Context, Mechanism, ProblemError


def read_stat(pid: int | str) -> tuple[str, int, int] | None:
    """Return the state, process group and start time of a process; None if there is none."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return words[0], int(words[2]), int(words[19])


def members(group: int) -> dict[int, str]:
    """Return the states of the processes of a group by pid; those that are only waited for do not count."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # many processes: paths take longer to make
        if name.isdecimal() and (stat := read_stat(name)) and stat[1] == group and stat[0] not in "ZX":
            found[int(name)] = stat[0]
    return found


def read_group(name: str) -> tuple[int, int]:
    """Return the process group of a process of the run and its leader's start time, in clock ticks since boot."""
    try:
        group, start = (int(word) for word in Path(name, "pid").read_text().split())
    except (OSError, ValueError):
        raise ProblemError(f"{name} has not started") from None
    return group, start


def send_signal(group: int, start: int, number: int) -> None:
    """Signal a process group, unless its number belongs to another one by now."""
    stat = read_stat(group)
    if stat is None or stat[2] == start:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)


def continue_group(group: int, start: int) -> None:
    """Continue a process group that was stopped."""
    send_signal(group, start, signal.SIGCONT)


class Processes(Mechanism):
    """A fault of processes: `{"processes": [NAME…], "again": BOOL}`, whether they run again once it is healed."""

    def __init__(self, order: dict[str, Any], context: Context) -> None:
        self.names = [str(name) for name in order["processes"]]
        self.again = bool(order["again"])
        self.groups: dict[str, tuple[int, int]] = {}

    def prepare(self) -> None:
        """Require that the processes run."""
        for name in self.names:
            group, start = read_group(name)
            stat = read_stat(group)
            if stat is None or stat[2] != start:
                raise ProblemError(f"{name} does not run")

    def find(self) -> None:
        """Find the process groups; they differ from those of `prepare` after a restart."""
        self.prepare()
        self.groups = {name: read_group(name) for name in self.names}


class Crash(Processes):
    """Kill the process groups; the runner starts them again."""

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return []

    def inject(self) -> None:
        """Kill at once."""
        for group, start in self.groups.values():
            send_signal(group, start, signal.SIGKILL)

    def prove(self) -> tuple[bool, str]:
        """Return whether all processes are gone, and how that was seen."""
        left = {name: members(group) for name, (group, _) in self.groups.items()}
        if any(left.values()):
            return False, ", ".join(f"{name}: pid {min(pids)} still runs" for name, pids in left.items() if pids)
        return True, ", ".join(f"{name}: pid {group} gone" for name, (group, _) in self.groups.items())

    def heal(self) -> None:
        """Do nothing: the runner starts the processes."""

    def prove_healed(self, cut: Sequence[str]) -> tuple[bool, str]:
        """Return whether other processes run under the same names, if they are to, and how that was seen."""
        if not self.again:
            return self.prove()
        texts = []
        for name, (former, former_start) in self.groups.items():
            group, start = read_group(name)
            stat = read_stat(group)
            if stat is None or stat[2] != start or start <= former_start:
                return False, f"{name}: not started again"
            later = (start - former_start) / os.sysconf("SC_CLK_TCK")
            texts.append(f"{name}: pid {group} started {later:.2f} s after pid {former}")
        return True, ", ".join(texts)


class End(Crash):
    """Prove that process groups have ended, which the runner ends."""

    def inject(self) -> None:
        """Do nothing: the runner ends and starts the processes."""


class Pause(Processes):
    """Stop the process groups with SIGSTOP, and continue them."""

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return [["continue", *group] for group in self.groups.values()]

    def inject(self) -> None:
        """Stop all processes."""
        for group, start in self.groups.values():
            send_signal(group, start, signal.SIGSTOP)

    def prove(self) -> tuple[bool, str]:
        """Return whether all processes of the groups are stopped, and how that was seen."""
        return self._states(lambda state: state in "Tt", "stopped")

    def heal(self) -> None:
        """Continue all processes."""
        for group, start in self.groups.values():
            continue_group(group, start)

    def prove_healed(self, cut: Sequence[str]) -> tuple[bool, str]:
        """Return whether no process of the groups is stopped, and how that was seen."""
        return self._states(lambda state: state not in "Tt", "continued")

    def _states(self, wanted: Callable[[str], bool], word: str) -> tuple[bool, str]:
        texts = []
        for name, (group, _) in self.groups.items():
            states = members(group)
            count = f"{len(states)} process{'' if len(states) == 1 else 'es'}"
            text = f"{name}: {count} in state {''.join(sorted(set(states.values())))}"
            if not states:
                return False, f"{name}: no process left"
            if not all(wanted(state) for state in states.values()):
                return False, f"{text}, not all {word}"
            texts.append(text)
        return True, ", ".join(texts)

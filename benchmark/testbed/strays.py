"""Search for cloud hosts of a testbed that its stack does not know; the testbed program does it (`stacks.strays`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.testbed.stack import begin_command

_DEADLINE_S = 120.0


@dataclass(frozen=True)
class Strays:
    """What the search found."""

    hosts: tuple[str, ...] = ()
    """A description of each host: provider, id, name, region and address."""
    ids: tuple[str, ...] = ()
    problem: str = ""
    """Why the search failed; empty if it did not."""

    @property
    def warning(self) -> str:
        """What to print about it; empty if there is nothing."""
        if self.problem:
            return f"could not look for cloud hosts that the stack does not know: {self.problem}"
        if not self.hosts:
            return ""
        return (
            f"this stack does not know {', '.join(self.hosts)}, which {'are' if len(self.hosts) > 1 else 'is'} billed: "
            "`pulumi up` adopts Vultr servers that an interrupted update left (run `pulumi cancel` first if the stack "
            f"is locked); `python -m stacks.strays --remove {' '.join(self.ids)}` removes the rest"
        )

    def to_json(self) -> list[str] | None:
        """Return the descriptions of the hosts; None if the search failed."""
        return None if self.problem else [*self.hosts]


def begin_search(project: Path, stack: str | None) -> Callable[[], Strays]:
    """Start the search for a stack of `project`, by default the selected one; return a function that waits for it.

    A project without the testbed program has none.
    """
    if not (project / "stacks" / "strays.py").exists():
        return Strays
    command = [sys.executable, "-m", "stacks.strays", "--json", *(["--stack", stack] if stack else [])]
    ended = begin_command(command, project, _DEADLINE_S)

    def wait() -> Strays:
        try:
            done = ended()
        except subprocess.TimeoutExpired:
            return Strays(problem=f"no answer within {_DEADLINE_S:.0f} s")
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return Strays(problem=last.removeprefix("error: "))
        try:
            found = json.loads(done.stdout)
            return Strays(tuple(str(one["text"]) for one in found), tuple(str(one["id"]) for one in found))
        except (ValueError, KeyError, TypeError):
            return Strays(problem="the answer is not a list of hosts")

    return wait

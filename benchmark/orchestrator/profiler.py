"""Profiles of processes of the run that is going on: which are there, how one is sampled, what it said."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmark.errors import HostError, InfrastructureError, UsageError
from benchmark.host_scripts import read_script
from benchmark.orchestrator.supervisor import RUN_DIRECTORY
from benchmark.testbed.testbed import Testbed

CallGraph = Literal["fp", "dwarf"]
"""How perf finds the callers: by frame pointers, or by unwinding copies of the stack, which costs more."""
_LOOK_DEADLINE_S = 15.0
_SPARE_S = 120.0
_NO_PERF = 3
Stacks = dict[tuple[str, ...], int]


@dataclass(frozen=True)
class Running:
    """A process of the run that is going on."""

    name: str
    host: str
    pid: int


def profile(testbed: Testbed, name: str, seconds: float, call_graph: CallGraph) -> Stacks:
    """Sample the process called `name` for `seconds`; return how often each stack was seen, outermost frame first.

    The testbed must be connected; a run may hold its lock. Raises UsageError if no such process runs, HostError if
    its host cannot sample it, InfrastructureError if nothing was seen.
    """
    process = find_process(find_running(testbed), name)
    words = ["bash", "-s", "--", str(process.pid), f"{seconds:g}", call_graph]
    answer = testbed.fleet.run(
        shlex.join(words),
        hosts=[process.host],
        stdin=read_script("profile.sh"),
        deadline=seconds + _SPARE_S,
        check=False,
    ).raise_for_failures(f"{name} was not sampled:")[process.host]
    if answer.exit_code == _NO_PERF:
        raise HostError(
            "perf is not installed; `python -m benchmark ssh HOST` and install it: linux-perf (Debian) or "
            "linux-tools-generic and linux-tools-aws or the like (Ubuntu):",
            {process.host: "no perf"},
        )
    if answer.exit_code:
        raise HostError(f"perf cannot sample {name}:", {process.host: answer.stderr.strip()[-500:]})
    return parse_stacks(answer.stdout, name)


def find_running(testbed: Testbed) -> list[Running]:
    """Return the processes that runs have started on the testbed and that are alive."""
    answers = testbed.fleet.run(
        running_command(testbed.settings.working_dir),
        hosts=[host.name for host in testbed.running],
        deadline=_LOOK_DEADLINE_S,
    ).raise_for_failures("hosts do not say what runs on them:")
    return parse_running({host: answer.stdout for host, answer in answers.items()})


def running_command(working_dir: str) -> str:
    """The command that prints NAME and PID of every process of a run that is alive on a host."""
    folder = shlex.quote(f"{working_dir}/{RUN_DIRECTORY}")
    return (
        f"cd {folder} 2>/dev/null || exit 0; for file in */pid; do "
        '[ -f "$file" ] && read -r pid _ <"$file" && kill -0 -- "-$pid" 2>/dev/null && '
        'echo "${file%/pid} $pid"; done; true'
    )


def parse_running(outputs: Mapping[str, str]) -> list[Running]:
    """Read what the command printed on each host."""
    found = []
    for host, output in outputs.items():
        for line in output.splitlines():
            name, _, pid = line.partition(" ")
            found.append(Running(name, host, int(pid)))
    return sorted(found, key=lambda process: [int(w) if w.isdigit() else w for w in re.split(r"(\d+)", process.name)])


def find_process(running: list[Running], name: str) -> Running:
    """Return the process called `name`, or the only one on the host of that name; UsageError names those there are."""
    matches = [process for process in running if name in (process.name, process.host)]
    if len(matches) == 1:
        return matches[0]
    listed = ", ".join(f"{process.name} on {process.host}" for process in matches or running[:12])
    if not running:
        raise UsageError("no run is going on; a profile is taken while `python -m benchmark run` measures")
    raise UsageError(f"{len(matches)} processes are called {name!r} or run on a host of that name; there are: {listed}")


def parse_stacks(output: str, name: str) -> Stacks:
    """Read folded stacks; InfrastructureError if there are none."""
    stacks: Stacks = {}
    for line in output.splitlines():
        frames, _, count = line.rpartition(" ")
        key = tuple(frames.split(";"))
        stacks[key] = stacks.get(key, 0) + int(count)
    if not stacks:
        raise InfrastructureError(f"{name} used no processor while it was sampled; offer it load, or sample for longer")
    return stacks

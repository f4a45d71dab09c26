"""Profile a process of the current run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmark.errors import HostError, InfrastructureError, UsageError
from benchmark.host_scripts import read_script
from benchmark.orchestrator.supervisor import RUN_DIRECTORY
from benchmark.remote.answers import reading
from benchmark.remote.deadlines import QUERY_S
from benchmark.testbed.testbed import Testbed

CallGraph = Literal["fp", "dwarf"]
"""How perf finds callers: by frame pointers, or by unwinding copies of the stack, which costs more."""
_SPARE_S = 120.0
_NO_PERF = 3
Stacks = dict[tuple[str, ...], int]


@dataclass(frozen=True)
class Running:
    """A process of the current run."""

    name: str
    host: str
    pid: int


def profile(testbed: Testbed, name: str, seconds: float, call_graph: CallGraph) -> Stacks:
    """Sample the process called `name` for `seconds`; return the count of each stack, outermost frame first.

    The testbed must be connected; a run may hold its lock. Raises UsageError if no such process runs, HostError if
    its host cannot sample it, InfrastructureError if there are no samples.
    """
    process = find_process(find_running(testbed), name)
    words = ["bash", "-s", "--", str(process.pid), f"{seconds:g}", call_graph]
    answer = testbed.fleet.run(
        shlex.join(words),
        hosts=[process.host],
        stdin=read_script("profile.sh"),
        deadline=seconds + _SPARE_S,
        check=False,
    ).raise_for_failures(f"could not sample {name}:")[process.host]
    if answer.exit_code == _NO_PERF:
        raise HostError(
            "perf is not installed; install it there (`geobench ssh HOST`): linux-perf (Debian), or "
            "linux-tools-generic and linux-tools-aws or similar (Ubuntu):",
            {process.host: "no perf"},
        )
    if answer.exit_code:
        raise HostError(f"perf could not sample {name}:", {process.host: answer.stderr.strip()[-500:]})
    return parse_stacks(answer.stdout, name)


def find_running(testbed: Testbed) -> list[Running]:
    """Return the living processes that runs have started on the testbed."""
    answers = testbed.fleet.run(
        running_command(testbed.settings.working_dir),
        hosts=[host.name for host in testbed.running],
        deadline=QUERY_S,
    ).raise_for_failures("could not list processes on:")
    return parse_running({host: answer.stdout for host, answer in answers.items()})


def running_command(working_dir: str) -> str:
    """Return the command that prints NAME and PID of every living process of a run on a host."""
    folder = shlex.quote(f"{working_dir}/{RUN_DIRECTORY}")
    return (
        f"cd {folder} 2>/dev/null || exit 0; for file in */pid; do "
        '[ -f "$file" ] && read -r pid _ <"$file" && kill -0 -- "-$pid" 2>/dev/null && '
        'echo "${file%/pid} $pid"; done; true'
    )


def parse_running(outputs: Mapping[str, str]) -> list[Running]:
    """Read what `running_command` printed on each host."""
    found = []
    for host, output in outputs.items():
        with reading(f"the running processes of {host}", output):
            for line in output.splitlines():
                name, _, pid = line.partition(" ")
                found.append(Running(name, host, int(pid)))
    return sorted(found, key=lambda process: [int(w) if w.isdecimal() else w for w in re.split(r"(\d+)", process.name)])


def find_process(running: list[Running], name: str) -> Running:
    """Return the process called `name`, or the only one on the host of that name; UsageError otherwise."""
    matches = [process for process in running if name in (process.name, process.host)]
    if len(matches) == 1:
        return matches[0]
    listed = ", ".join(f"{process.name} on {process.host}" for process in matches or running[:12])
    if not running:
        raise UsageError("no run is in progress; take a profile while `geobench run` measures")
    raise UsageError(f"{len(matches)} processes match {name!r}, a process or its host; choose one of: {listed}")


def parse_stacks(output: str, name: str) -> Stacks:
    """Read folded stacks; InfrastructureError if there are no samples."""
    stacks: Stacks = {}
    with reading(f"the stacks of {name}", output):
        for line in output.splitlines():
            frames, _, count = line.rpartition(" ")
            key = tuple(frames.split(";"))
            stacks[key] = stacks.get(key, 0) + int(count)
    if not stacks:
        raise InfrastructureError(f"{name} was idle while it was sampled; offer load, or sample for longer")
    return stacks

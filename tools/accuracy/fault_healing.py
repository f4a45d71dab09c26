"""Kill the runner, or the script on the hosts, in each state of each kind of fault, and time until hosts are healed.

    python -m tools.accuracy.fault_healing                              # all kinds, states and victims
    python -m tools.accuracy.fault_healing --kinds pause disk_stall --states hold --victims agent

Needs root. Each cell of the table is a real run of etcd on three local hosts and one for the client. After the kill,
the hosts are inspected until nothing of the fault is left: packet filters, queues, links and routes, stopped processes,
processes and files of the script, a slow disk. Exits with 1 if something is left after 30 s.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.local_testbed import LocalTestbed  # noqa: E402

from benchmark.faults.kinds import KINDS, Kind  # noqa: E402
from tools.accuracy.fault_victim import STATES  # noqa: E402

VICTIMS = ("runner", "agent")
DEADLINE_S = 30.0
REACHED_S = 120.0
TARGET = "node-1"
START_S, END_S = 0.6, 3.0
EXAMPLES = ("20%", "1MB/s", "10Mbit", "50ms", "1s", "1")
"""Values of parameters; the first one that a field accepts is used."""
TRACES = r"""
import json, os, subprocess, time
def run(*words):
    return subprocess.run(words, capture_output=True, text=True).stdout
found = {name: run(*words.split()) for name, words in {
    "packet filters": "nft -s list ruleset", "queues": "tc qdisc show", "links": "ip -o link show",
    "routes": "ip route show table all", "rules": "ip rule show"}.items()}
stopped, scripts = [], []
for pid in filter(str.isdecimal, os.listdir("/proc")):
    try:
        state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]
        words = open(f"/proc/{pid}/cmdline").read().split("\0")
    except OSError:
        continue
    if state in "Tt":
        stopped.append(words[0])
    if state not in "ZX" and any(word.endswith("inject.pyz") for word in words):
        scripts.append(" ".join(words[3:5]))
found["stopped processes"] = sorted(stopped)
found["scripts"] = sorted(scripts)
run_folder = "geobench/run"
names = os.listdir(run_folder) if os.path.isdir(run_folder) else []
found["files"] = [name for name in names if name.endswith(".fill") or name == "faults.json"]
def slow():
    child = os.fork()
    if not child:
        file = os.open("geobench/probe", os.O_CREAT | os.O_WRONLY)
        os.write(file, b"x" * 4096); os.fsync(file); os._exit(0)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.01)
    return True
found["slow disk"] = slow()
print(json.dumps(found))
"""


class Cell(NamedTuple):
    """What happened after one kill."""

    kind: str
    state: str
    victim: str
    seconds: float | None
    """Until nothing of the fault was left; None if something was when time was up."""
    left: str
    """What was left at the end; or why the state was not reached."""

    @property
    def healed(self) -> bool:
        """Whether nothing was left."""
        return self.seconds is not None


@contextmanager
def testbed(name: str, folder: Path) -> Iterator[LocalTestbed]:
    """Create four hosts in one region, with their files in `folder`."""
    os.environ["GEOBENCH_STATE_DIR"] = str(folder / "state")
    with LocalTestbed(name, {"us-east-1": 4}, folder) as made:
        (folder / "inventory.json").write_text(made.inventory.model_dump_json(), encoding="utf-8")
        yield made


def example(kind: type[Kind]) -> str:
    """Return a fault of a kind in words, with an example of each parameter that it requires."""
    required = [name for name, field in kind.model_fields.items() if field.is_required()]
    for values in itertools.product(EXAMPLES, repeat=len(required)):
        parameters = dict(zip(required, values, strict=True))
        try:
            kind.model_validate(parameters)
        except ValidationError:
            continue
        words = "".join(f",{name}={value}" for name, value in parameters.items())
        end = "" if kind.instant else f"-{END_S:g}s"
        return f"{kind.name}:{TARGET}{words}@{START_S:g}s{end}"
    raise ValueError(f"no example of {kind.name}: add values for {', '.join(required)}")


def traces(made: LocalTestbed) -> dict[str, Mapping[str, object]]:
    """Return by host what a fault can leave."""
    answers = made.fleet.run(f"exec python3 -I -S -c '{TRACES}'", deadline=60).raise_for_failures("inspect")
    return {host: json.loads(answer.stdout) for host, answer in answers.items()}


def differences(before: Mapping[str, Mapping[str, object]], now: Mapping[str, Mapping[str, object]]) -> str:
    """Return in which respects hosts differ."""
    found = {name for host, each in now.items() for name, value in each.items() if value != before[host][name]}
    return ", ".join(sorted(found))


def try_cell(made: LocalTestbed, folder: Path, kind: str, state: str, victim: str) -> Cell:
    """Run with a fault, kill in a state, and time the healing; the hosts are clean afterwards."""
    made.testbed.clean().raise_for_failures("clean")
    before = traces(made)
    words = [str(folder / "inventory.json"), example(KINDS[kind]), state, victim, str(folder / "results")]
    command = [sys.executable, "-m", "tools.accuracy.fault_victim", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout
            lines = []
            for line in process.stdout:
                lines.append(line.strip())
                if line.startswith("struck "):
                    break
            else:
                return Cell(kind, state, victim, None, f"state not reached: {' '.join(lines)[-200:]}")
            struck = float(lines[-1].split()[1])
            while left := differences(before, traces(made)):
                if time.time() > struck + DEADLINE_S:
                    return Cell(kind, state, victim, None, left)
            return Cell(kind, state, victim, time.time() - struck, "")
        finally:
            process.kill()


def cells(kinds: Sequence[str], states: Sequence[str], victims: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return the cells of the table; what is healed at once is never held."""
    every = itertools.product(kinds, states, victims)
    return [(kind, state, victim) for kind, state, victim in every if state != "hold" or not KINDS[kind].instant]


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--states", nargs="+", choices=STATES, default=STATES)
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS)
    options = parser.parse_args()
    healed = True
    print(f"{'kind':<11} {'state':<9} {'killed':<7} {'healed after':>12}  left")
    with tempfile.TemporaryDirectory() as name, testbed(f"healing-{os.getpid()}", Path(name)) as made:
        for kind, state, victim in cells(options.kinds, options.states, options.victims):
            cell = try_cell(made, Path(name), kind, state, victim)
            healed = healed and cell.healed
            seconds = "-" if cell.seconds is None else f"{cell.seconds:.1f} s"
            print(f"{kind:<11} {state:<9} {victim:<7} {seconds:>12}  {cell.left or 'nothing'}", flush=True)
    return 0 if healed else 1


if __name__ == "__main__":
    sys.exit(main())

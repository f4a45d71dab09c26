"""Run etcd under random schedules of faults, and check that it stays linearizable.

    python -m tools.accuracy.random_faults [--stack S] [--protocol P] [--seeds 1 20] [--committee N] [--load L]

For each seed, it draws up to three faults, which may overlap, within a window of 40 s: kinds, targets and times. Draws
that cannot be combined are drawn again, so every seed is a run. The nodes are determined by the seed as well, unless
they depend on the leader. It prints a line for each seed with its schedule and the verdicts on linearizability and
progress, then their numbers, and exits with 1 unless all runs stayed linearizable with all faults proved.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from benchmark.cli.target import Target
from benchmark.errors import TestbedError, UsageError
from benchmark.faults.schedule import make_schedule
from benchmark.faults.targets import Committee
from benchmark.inventory import Inventory
from benchmark.plan.deployment import deploy
from benchmark.plan.request import Request, RunOptions, make_request
from benchmark.results.summary import Summary, parse_summary
from benchmark.settings import parse_fault

DURATION_S = 40
LATEST_END_S = 32
"""The system has the rest of the window to recover."""
TARGETS = ("one", "minority", "max_faulty", "majority", "all", "leader", "followers")
KINDS = {
    "crash": ("", TARGETS),
    "pause": ("", TARGETS),
    "restart": ("", TARGETS),
    "partition": ("", ("one", "minority", "leader", "halves")),
    "loss": (",share=30%", ("one", "minority", "leader")),
    "host_down": ("", ("one", "minority", "leader")),
}
"""Parameters and targets of each kind."""


def draw(choices: random.Random) -> tuple[str, ...]:
    """Return the texts of up to three faults."""
    faults = []
    for _ in range(choices.randint(1, 3)):
        kind = choices.choice(list(KINDS))
        parameters, targets = KINDS[kind]
        start = choices.randrange(2, LATEST_END_S - 10)
        end = "" if kind == "restart" else f"-{start + choices.randrange(3, 11)}s"
        faults.append(f"{kind}:{choices.choice(targets)}{parameters},seed={choices.getrandbits(16)}@{start}s{end}")
    return tuple(faults)


def schedule(seed: int, inventory: Inventory, request: Request) -> tuple[str, ...]:
    """Return the first draw of a seed that a run of `request` accepts."""
    choices = random.Random(seed)
    deployment = deploy(inventory, request, request.loads[0])
    committee = Committee.of(deployment, request.protocol, monitored=inventory.monitoring is not None)
    while True:
        faults = draw(choices)
        try:
            make_schedule(tuple(map(parse_fault, faults)), committee, request.duration_s, seed)
        except UsageError:
            continue
        return faults


def run(options: argparse.Namespace, faults: Sequence[str]) -> Summary | str:
    """Run one schedule; return the summary, or why there is none."""
    command = [sys.executable, "-m", "benchmark", "run", "--json", "--protocol", options.protocol]
    command += ["--stack", options.stack] if options.stack else []
    command += ["--committee", str(options.committee), "--dedicated-clients", "1", "--loads", str(options.load)]
    command += ["--duration", f"{DURATION_S}s", "--warm-up", "5s", "--faults", *faults]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        (found,) = json.loads(done.stdout)
    except ValueError:
        return " ".join(done.stderr.split())[-300:] or f"exit code {done.returncode}"
    return parse_summary(json.dumps(found))


def judge(found: Summary | str) -> tuple[str, str]:
    """Return the verdict on a run, and what to print of it."""
    if isinstance(found, str) or found.verification is None:
        return "failed", found if isinstance(found, str) else "; ".join(found.reasons)
    unproved = [reason for reason in found.reasons if reason.startswith("fault ")]
    progress = found.progress.verdict if found.progress else "-"
    text = f"{found.verification}; progress {progress}; {found.run_id}"
    verdict = "fault not proved" if unproved else found.verification.verdict
    why = [*unproved, found.verification.reason, found.progress.reason if found.progress else ""]
    return verdict, "; ".join([text, *filter(None, why)])


def main() -> int:
    """Run all seeds and print the results; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stack")
    parser.add_argument("--protocol", default="etcd")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 20), metavar=("FIRST", "LAST"))
    parser.add_argument("--committee", type=int, default=5)
    parser.add_argument("--load", type=int, default=50)
    options = parser.parse_args()
    try:
        target = Target(options.stack, None, None)
        run_options = RunOptions(
            protocol=options.protocol,
            committee=options.committee,
            dedicated_clients=1,
            duration=timedelta(seconds=DURATION_S),
        )
        request = make_request(target.settings, run_options, (options.load,), target.results_dir)
        schedules = {
            seed: schedule(seed, target.inventory, request) for seed in range(options.seeds[0], options.seeds[1] + 1)
        }
    except TestbedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    verdicts: Counter[str] = Counter()
    for seed, faults in schedules.items():
        verdict, text = judge(run(options, faults))
        verdicts[verdict] += 1
        print(f"seed {seed:3}  {verdict:<16} {' '.join(faults)}\n          {text}", flush=True)
    print(f"{len(schedules)} schedules: " + ", ".join(f"{count} {name}" for name, count in verdicts.most_common()))
    return int(set(verdicts) != {"ok"})


if __name__ == "__main__":
    sys.exit(main())

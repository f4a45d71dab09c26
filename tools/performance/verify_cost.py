"""Measure what `--verify` costs: the load's latency with and without it, and the check of a long history.

    python -m tools.performance.verify_cost [--stack S] [--committee N] [--load L] [--duration D] [--pairs K]

Runs etcd on an existing testbed in pairs, with and without the probe workload in alternating order, and prints p50 and
p99 of each pair, and the median of the differences with its range. Then it checks histories of 10 minutes (60,000
operations of 8 clients on 10 keys): a linearizable one, one in which 10 % of the operations have no answer, and such a
one with a stale read; it prints processor time and memory of the checker. `--pairs 0` only checks the histories.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmark.results.summary import Summary, parse_summary
from benchmark.verify.linearizability import build_checker

CLIENTS, KEYS, RATE, SECONDS = 8, 10, 100, 600
CHECK_S = 45


def one_run(options: argparse.Namespace, *, verify: bool) -> Summary:
    """Run the benchmark once; invalid runs count, too."""
    command = [sys.executable, "-m", "benchmark", "run", "--json", "--verify" if verify else "--no-verify"]
    command += ["--stack", options.stack] if options.stack else []
    command += ["--committee", str(options.committee), "--loads", str(options.load), "--duration", options.duration]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        sys.exit(done.stderr)
    (found,) = json.loads(done.stdout)
    return parse_summary(json.dumps(found))


def quantiles(summary: Summary) -> tuple[float, float]:
    """Return p50 and p99 of the load in ms."""
    known = summary.latency_s.quantiles if summary.latency_s else {}
    if not {"p50", "p99"} <= known.keys():
        sys.exit(f"{summary.run_id} has no latencies: {summary.reasons}")
    return 1000 * known["p50"].estimate, 1000 * known["p99"].estimate


def pairs(options: argparse.Namespace) -> None:
    """Run the pairs and print them."""
    print(f"{options.committee} nodes, {options.load} tx/s, {options.duration} per run; latencies in ms")
    print("pair    p50 without   p50 with    p99 without   p99 with   probe")
    changes = []
    for pair in range(options.pairs):
        found = {verify: one_run(options, verify=verify) for verify in (bool(pair % 2), not pair % 2)}
        (p50, p99), (p50_with, p99_with) = quantiles(found[False]), quantiles(found[True])
        print(f"{pair + 1:4}{p50:15.2f}{p50_with:11.2f}{p99:15.2f}{p99_with:11.2f}   {found[True].verification}")
        changes.append((p50_with - p50, p99_with - p99))
    for name, values in zip(("p50", "p99"), zip(*changes, strict=True), strict=True):
        median = statistics.median(values)
        print(f"{name} with minus without: median {median:+.2f} ms, {min(values):+.2f} to {max(values):+.2f} ms")


def make_history(path: Path, *, unknown: float = 0.0, stale: bool = False, seconds: int = SECONDS) -> int:
    """Write the history of a correct system in which a share of the operations is `unknown`; return their number.

    With `stale`, a read in the middle returns the first value of its key.
    """
    choices, interval = random.Random(1), CLIENTS * 1_000_000_000 // RATE
    # Each operation takes effect at one moment between its start and its end, and moments are processed in order.
    planned = []
    for client in range(CLIENTS):
        for number in range(seconds * RATE // CLIENTS):
            start = number * interval + client * interval // CLIENTS
            end = start + choices.randrange(1_000_000, interval * 2 // 3)
            planned.append((choices.randrange(start, end), start, end, client, f"c{client}-{number}"))
    state: dict[str, str] = {}
    first: dict[str, str] = {}
    middle = len(planned) // 2
    lines = []
    for index, (_, start, end, client, value) in enumerate(sorted(planned)):
        key, op = str(choices.randrange(KEYS)), choices.choices(("read", "write", "cas"), (2, 2, 1))[0]
        line: dict[str, object] = {"client": client, "op": op, "key": key, "start": start, "end": end, "outcome": "ok"}
        lost = choices.random() < unknown
        if op == "read":
            line["found"] = state.get(key)
            if stale and not lost and index >= middle and key in first:
                line["found"], stale = first[key], False
        else:
            line["value"] = value
            swapped = True
            if op == "cas":
                line["expected"] = state.get(key, "c0-x") if choices.random() < 0.5 else "c0-x"
                swapped = line["expected"] == state.get(key)
                line["swapped"] = swapped
            if swapped and not (lost and choices.random() < 0.5):
                state[key] = value
                first.setdefault(key, value)
        if lost:
            line = {name: each for name, each in line.items() if name not in ("found", "swapped")}
            line["outcome"] = "unknown"
        lines.append(line)
    header = {"format": 1, "started": 0, "started_unix": 0.0}
    every = [header, *lines, {"complete": True, "unread": []}]
    path.write_text("".join(json.dumps(line) + "\n" for line in every), encoding="utf-8")
    return len(lines)


def check(path: Path) -> tuple[str, float, float]:
    """Run the checker; return the verdict, its processor time in s and its largest memory in MB."""
    command = [str(build_checker()), str(path), str(CHECK_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        verdict = json.loads(process.stdout.read())["verdict"]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return verdict, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def histories() -> None:
    """Check histories of 10 minutes and print what that takes."""
    print(f"check of {SECONDS // 60} minutes   operations        MB   verdict     CPU s   memory MB")
    kinds = {"all answered": (0.0, False), "10 % unknown": (0.1, False), "stale read": (0.1, True)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.jsonl")
        for name, (unknown, stale) in kinds.items():
            operations = make_history(path, unknown=unknown, stale=stale)
            verdict, seconds, memory = check(path)
            size = path.stat().st_size / 1e6
            print(f"{name:<19}{operations:13}{size:10.1f}   {verdict:<9}{seconds:8.2f}{memory:12.0f}")


def main() -> None:
    """Measure both and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stack")
    parser.add_argument("--committee", type=int, default=3)
    parser.add_argument("--load", type=int, default=200)
    parser.add_argument("--duration", default="30s")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    if options.pairs:
        pairs(options)
    histories()


if __name__ == "__main__":
    main()

"""Inject each kind of fault into etcd with five nodes in five regions, and compare what it does with expectations.

    python -m tools.accuracy.fault_table                    # 60 s per fault, 20 s of it with the fault; needs root
    python -m tools.accuracy.fault_table --kinds crash delay --duration 20s --load 50
    python -m tools.accuracy.fault_table --stack S          # a testbed that exists, with an emulated network

Without a stack it creates local hosts and removes them at the end. It prints the expectations before the first run,
then one row per fault: latencies are mean / p99 of completed requests. Exits with 1 unless all runs are valid, stayed
linearizable and met the expectations.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.local_testbed import local_testbed  # noqa: E402

from benchmark.cli.target import Target  # noqa: E402
from benchmark.errors import TestbedError, UsageError  # noqa: E402
from benchmark.faults.kinds import KINDS  # noqa: E402
from benchmark.measure.fault_impact import FaultImpact  # noqa: E402
from benchmark.measure.window_stats import WindowStats  # noqa: E402
from benchmark.orchestrator.sweep import run_benchmark  # noqa: E402
from benchmark.plan.deployment import deploy  # noqa: E402
from benchmark.plan.request import Request, RunOptions, make_request  # noqa: E402
from benchmark.report.formatting import duration, plain, quantile  # noqa: E402
from benchmark.results.find import find_run  # noqa: E402
from benchmark.results.manifest import read_manifest  # noqa: E402
from benchmark.settings import format_duration, parse_duration  # noqa: E402
from benchmark.testbed.testbed import Testbed  # noqa: E402
from tools.accuracy.fault_cases import NODES, Case, System, make_cases  # noqa: E402

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1")
START, HOLD = 1 / 4, 1 / 3
"""When the fault begins and how long it lasts, as shares of the window."""
COLUMNS = (
    *("fault", "expected", "before: tx/s, latency", "during", "after"),
    *("outage s", "recovery s", "linearizable", "proof", "result"),
)


@contextmanager
def open_testbed(stack: str | None) -> Iterator[Testbed]:
    """Yield the testbed of a stack, or one that exists until the end."""
    if stack:
        with Target(stack, None, None).open() as testbed:
            testbed.connect()
            yield testbed
        return
    hosts = {region: 3 if region == REGIONS[0] else 2 for region in REGIONS}  # one of them is the monitoring host
    with (
        tempfile.TemporaryDirectory() as folder,
        local_testbed(Path(folder), f"faulttable-{os.getpid()}", hosts) as made,
    ):
        yield made.testbed


def make_run(testbed: Testbed, options: argparse.Namespace, faults: Sequence[str]) -> Request:
    """Return the request for a run with some faults; UsageError if they are rejected."""
    run_options = RunOptions(
        protocol="etcd", committee=NODES, dedicated_clients=NODES, duration=options.duration,
        warm_up=options.warm_up, faults=tuple(faults), verify=True,
    )  # fmt: skip
    return make_request(testbed.settings, run_options, (options.load,), options.results_dir)


def describe(testbed: Testbed, options: argparse.Namespace) -> System:
    """Return what the expectations are computed from."""
    round_trips = {
        (pair[0], pair[1]): each.rtt_ms
        for name, each in testbed.inventory.round_trips.items()
        if len(pair := name.split("/")) == 2
    }
    deployment = deploy(testbed.inventory, make_run(testbed, options, ()), options.load, round_trips)
    return System.of(deployment, round_trips, hold_s(options.duration))


def hold_s(duration: timedelta) -> float:
    """Return how long the fault lasts."""
    return round(HOLD * duration.total_seconds(), 1)


def deviations(case: Case, impact: FaultImpact, verdict: str, regions: Mapping[str, str], cut_s: float) -> list[str]:
    """Return how a valid run differs from what was expected.

    `verdict` is that on linearizability, `regions` those of the members, `cut_s` the least outage of those cut off.
    """
    found = [] if verdict == "ok" else [f"linearizability: {verdict}"]
    if impact.outage_s is None:
        found.append(f"outage unknown: {impact.unknown.get('outage_s') or impact.unknown.get('all')}")
    elif not case.outage.holds(impact.outage_s):
        found.append(f"outage {impact.outage_s:.1f} s")
    if case.added:
        before, during = mean_s(impact.before), mean_s(impact.during)
        if before is None or during is None:
            found.append("mean latency unknown")
        elif not case.added.holds(during - before):
            found.append(f"mean latency {during - before:+.2f} s")
    if case.errors is not None and (impact.lost is None or (impact.lost > 0) != case.errors):
        found.append(f"errors: {'unknown' if impact.lost is None else impact.lost}")
    for name in case.cut_off:
        seen = impact.regions.get(regions[name])
        outage = seen.longest_outage_s if seen else None
        if outage is None or outage < cut_s:
            found.append(f"clients of {name}: outage {'unknown' if outage is None else f'{outage:.1f} s'}")
    return found


def mean_s(stats: WindowStats | None) -> float | None:
    """Return the mean latency of completed requests."""
    return stats.successful_latency_s.mean if stats and stats.successful_latency_s else None


def cell(stats: WindowStats | None) -> str:
    """Return throughput, mean and p99 of a part of the window."""
    if stats is None or stats.completed_tps is None:
        return "-"
    latency = stats.successful_latency_s
    if latency is None or latency.mean is None:
        return f"{stats.completed_tps:.1f}"
    return f"{stats.completed_tps:.1f}, {plain(duration(latency.mean))} / {plain(quantile(latency.p99))}"


def row(case: Case, leader: str, testbed: Testbed, options: argparse.Namespace) -> tuple[list[str], bool]:
    """Run a case in which `leader` is expected to lead; return its row and whether it met the expectations."""
    duration_s = options.duration.total_seconds()
    fault = case.fault(round(START * duration_s, 1), hold_s(options.duration))
    first, empty = [case.name, case.expected], ["-"] * 7
    try:
        request = make_run(testbed, options, [fault])
        (summary,) = run_benchmark(testbed, request, lambda _: None, began=time.time())
        if case.rejected:
            return [*first, *empty, "deviation: accepted"], False
    except UsageError as error:
        met = bool(case.rejected) and case.rejected in str(error)
        return [*first, *empty, "ok, rejected" if met else f"rejected: {error}"], met
    except TestbedError as error:
        return [*first, *empty, f"failed: {error}"], False
    manifest = read_manifest(find_run(options.results_dir, summary.run_id))
    if summary.status != "ok" or not summary.faults:
        return [*first, *empty, f"{summary.status}: {'; '.join(summary.reasons)}"], False
    (impact,), (record,) = summary.faults, manifest.faults
    hosts = {host.name: host.region for host in manifest.inventory.hosts}
    regions = {f"node-{index}": hosts[host] for index, host in enumerate(manifest.placement.nodes)}
    verdict = summary.verification.verdict if summary.verification else "unknown"
    found = deviations(case, impact, verdict, regions, 0.9 * hold_s(options.duration))
    if case.target == "leader" and record.nodes != (leader,):
        found.append(f"{', '.join(record.nodes)} led")
    cells = [
        *map(cell, (impact.before, impact.during, impact.after)),
        "-" if impact.outage_s is None else f"{impact.outage_s:.1f}",
        "-" if impact.recovery_s is None else f"{impact.recovery_s:.1f}",
        verdict,
        record.proof if len(record.proof) <= 70 else f"{record.proof[:69]}…",
    ]
    return [*first, *cells, f"deviation: {', '.join(found)}" if found else "ok"], not found


def line(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(each.replace('|', '/').replace(chr(10), ' ') for each in cells)} |"


def rule(columns: Sequence[str]) -> str:
    """Return the line below the names of columns."""
    return f"|{'---|' * len(columns)}"


def tabulate(testbed: Testbed, options: argparse.Namespace) -> bool:
    """Print the expectations, then run all cases and print their rows; return whether all were met."""
    system = describe(testbed, options)
    cases = [case for case in make_cases(system) if case.kind in options.kinds]
    nodes = ", ".join(f"{name} ({system.rtt_s.get((system.leader, name), 0) * 1000:.0f} ms)" for name in system.nodes)
    print(f"members by their round trip to the leader: {nodes}; election timeout {system.election_s:g} s; ", end="")
    print(f"{options.load} tx/s; window {format_duration(options.duration)}, fault {system.hold_s:g} s\n")
    print("\n".join([line(["fault", "expected", "because"]), rule("abc")]))
    print("\n".join(line([case.name, case.expected, case.because]) for case in cases), end="\n\n")
    print("\n".join([line(COLUMNS), rule(COLUMNS)]), flush=True)
    failed = []
    for case in cases:
        cells, met = row(case, system.leader, testbed, options)
        failed += [] if met else [case.name]
        print(line(cells), flush=True)
    print(f"\n{len(cases) - len(failed)} of {len(cases)} as expected" + "".join(f"; not {name}" for name in failed))
    return not failed


def main() -> int:
    """Print the tables; return the exit code."""
    kinds = [*KINDS, "clock"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", help="testbed to use, instead of a new one")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--duration", type=parse_duration, default=timedelta(seconds=60))
    parser.add_argument("--warm-up", type=parse_duration, default=timedelta(seconds=10))
    parser.add_argument("--load", type=int, default=100, help="tx/s of all clients together")
    parser.add_argument("--results-dir", type=Path, help="folder of the runs, which are removed otherwise")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, open_testbed(options.stack) as testbed:
            options.results_dir = options.results_dir or Path(folder)
            return 0 if tabulate(testbed, options) else 1
    except TestbedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""Check that a run can start on a testbed, without changing anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmark.orchestrator.latency_logs import require_measurable
from benchmark.orchestrator.supervisor import Clock, read_clocks
from benchmark.plan.placement import place, ports
from benchmark.protocols.base import Protocol
from benchmark.remote.deadlines import ANSWER_S
from benchmark.testbed import machines
from benchmark.testbed.facts import Facts
from benchmark.testbed.round_trips import deviations, steady
from benchmark.testbed.testbed import Testbed


@dataclass(frozen=True)
class Check:
    """What was found, by host; a run is not possible on a host that has problems."""

    facts: Mapping[str, Facts]
    clocks: Mapping[str, Clock]
    problems: Mapping[str, str]
    rtt_ms: Mapping[str, Mapping[str, float]]
    """Round trips that a host measured, in ms, by the region of the other host."""
    rtt_error_ms: float | None
    """Largest difference from a requested round trip of an emulated network without jitter; None on real ones."""
    ends: Mapping[str, datetime]
    """When hosts terminate automatically, for those that do."""

    def to_dict(self) -> dict[str, object]:
        """Return what `check --json` prints."""
        return {
            name: {
                "clock": dataclasses.asdict(self.clocks[name]),
                "free_memory_mb": fact.memory_free_mb,
                "free_disk_mb": fact.disk_free_mb,
                "stale_processes": fact.stale_processes,
                "rtt_ms": dict(self.rtt_ms.get(name, {})),
                "login_output": fact.login_output or None,
                "expires_at": self.ends[name].isoformat() if name in self.ends else None,
                "problem": self.problems.get(name),
            }
            for name, fact in self.facts.items()
        }


def check_testbed(
    testbed: Testbed, protocol: Protocol, report: Callable[[str], None], committee: int | None = None
) -> Check:
    """Check every running host for a run of `protocol`; HostError if hosts cannot be reached or failed to bootstrap.

    `report` gets a line when hosts are waited for. UsageError if the testbed has too few hosts, or nothing that would
    measure the run.
    """
    plan = place(testbed.inventory, type(protocol), len(testbed.running), committee)
    require_measurable(testbed, protocol, plan)
    ends = testbed.make_ready(report)
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(testbed.round_trips)
        facts = testbed.probe(clean=False)
        round_trips = measuring.result()
    clocks = read_clocks(testbed.fleet, [host.name for host in testbed.running], ANSWER_S)
    wanted = ports([*protocol.nodes(plan), *protocol.clients(plan)])
    found = testbed.problems(wanted, facts)
    for name, problem in machines.problems(testbed).items():
        found[name].append(problem)
    if problem := testbed.monitoring_problem():
        found[testbed.monitoring.name].append(problem)
    requested, measured = testbed.inventory.round_trips, round_trips.shortest_ms()
    first = {host.region: host.name for host in reversed(testbed.running)}
    rtt_ms: dict[str, dict[str, float]] = {}
    for (region, other), milliseconds in measured.items():
        rtt_ms.setdefault(first[region], {})[other] = milliseconds
    for (region, _), text in deviations(requested, measured, testbed.running).items():
        found[first[region]].append(text)
    for name, reason in round_trips.failed.items():
        found[name].append(f"could not measure round trips: {reason}")
    for name, end in ends.items():
        if end <= datetime.now(UTC):
            found[name].append("its time to live is over; `geobench extend 4h` extends it")
    return Check(
        facts,
        clocks,
        {name: "; ".join(texts) for name, texts in found.items() if texts},
        rtt_ms,
        max(
            (abs(measured[pair] - wanted) for pair, wanted in steady(requested).items() if pair in measured),
            default=None,
        ),
        ends,
    )

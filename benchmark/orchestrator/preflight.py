"""Check that a run can start on a testbed, without changing anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmark.orchestrator.supervisor import Clock, read_clocks
from benchmark.plan.placement import place, ports
from benchmark.protocols.base import Protocol
from benchmark.remote.deadlines import ANSWER_S
from benchmark.testbed import machines
from benchmark.testbed.facts import Facts
from benchmark.testbed.testbed import Testbed


@dataclass(frozen=True)
class Check:
    """What was found, by host; a run is not possible on a host that has problems."""

    facts: Mapping[str, Facts]
    clocks: Mapping[str, Clock]
    problems: Mapping[str, str]
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
                "rtt_ms": dict(fact.rtt_ms),
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

    `report` gets a line when hosts are waited for.
    """
    plan = place(testbed.inventory, type(protocol), len(testbed.running), committee)
    ends = testbed.make_ready(report)
    facts = testbed.probe(clean=False)
    clocks = read_clocks(testbed.fleet, [host.name for host in testbed.running], ANSWER_S)
    wanted = ports([*protocol.nodes(plan), *protocol.clients(plan)])
    found = testbed.problems(wanted, facts)
    for name, problem in machines.problems(testbed).items():
        found[name].append(problem)
    if problem := testbed.monitoring_problem():
        found[testbed.monitoring.name].append(problem)
    for name, end in ends.items():
        if end <= datetime.now(UTC):
            found[name].append("its time to live is over; `geobench extend 4h` extends it")
    return Check(facts, clocks, {name: "; ".join(texts) for name, texts in found.items() if texts}, ends)

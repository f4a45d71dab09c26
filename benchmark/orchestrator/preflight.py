"""Whether a run can take place on a testbed: what `python -m benchmark check` finds out, changing nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmark.orchestrator.supervisor import Clock, Supervisor
from benchmark.plan.placement import place, ports
from benchmark.protocols.base import Protocol
from benchmark.testbed import machines
from benchmark.testbed.facts import Facts, problems
from benchmark.testbed.testbed import Testbed

_CLOCK_DEADLINE_S = 10.0
# Speaks the one word of the supervisor that a clock is measured with.
_CLOCK_COMMAND = "exec bash -c 'export LC_ALL=C; while read -r _; do echo \"pong $EPOCHREALTIME\"; done'"


@dataclass(frozen=True)
class Check:
    """What was found, by host; `problems` says why hosts are not fit for a run."""

    facts: Mapping[str, Facts]
    clocks: Mapping[str, Clock]
    problems: Mapping[str, str]
    ends: Mapping[str, datetime]
    """When the hosts that do so end themselves."""

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            name: {
                "clock": dataclasses.asdict(self.clocks[name]),
                "free_memory_mb": fact.memory_free_mb,
                "free_disk_mb": fact.disk_free_mb,
                "stale_processes": fact.stale_processes,
                "rtt_ms": dict(fact.rtt_ms),
                "expires_at": self.ends[name].isoformat() if name in self.ends else None,
                "problem": self.problems.get(name),
            }
            for name, fact in self.facts.items()
        }


def check_testbed(
    testbed: Testbed, protocol: Protocol, tell: Callable[[str], None], committee: int | None = None
) -> Check:
    """Check every running host for a run of `protocol`; HostError if hosts cannot be reached or are not set up.

    `tell` is told what is waited for.
    """
    plan = place(testbed.inventory, type(protocol), len(testbed.running), committee)
    ends = testbed.make_ready(tell)
    facts = testbed.probe(clean=False)
    sessions = testbed.fleet.open(
        _CLOCK_COMMAND, hosts=[host.name for host in testbed.running], deadline=_CLOCK_DEADLINE_S
    ).raise_for_failures("clocks cannot be read:")
    supervised = Supervisor(sessions, ())
    clocks = supervised.measure_clocks(_CLOCK_DEADLINE_S)
    for session in sessions.values():
        session.close()
    wanted = ports([*protocol.nodes(plan), *protocol.clients(plan)])
    found = {name: problems(fact, wanted.get(name, ())) for name, fact in facts.items()}
    for name, problem in machines.problems(testbed).items():
        found[name].append(problem)
    for name, end in ends.items():
        if end <= datetime.now(UTC):
            found[name].append("its time is over; `python -m benchmark extend 4h` gives it more")
    return Check(facts, clocks, {name: "; ".join(texts) for name, texts in found.items() if texts}, ends)

"""What each kind of fault is expected to do to five etcd members, computed from round trips and timeouts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from benchmark.errors import UsageError
from benchmark.faults.kinds import KINDS
from benchmark.plan.deployment import Deployment
from benchmark.protocols.load_generator import nearest

NODES = 5
_INTERVAL_S = 0.1
"""Outages are known to an interval of the latency logs."""
_SLACK_S = 1.0
"""For connections that are opened again, and for requests on their way."""
_RECONNECT_S = 5.0
"""Members that were separated notice within the timeout of their connections, 5 s, that they can connect again."""
_START_S = 5.0
"""A process that starts again replays its log, and its proof of being ready takes as long."""
_LEAST_RETRANSMISSION_S = 0.2
"""Linux waits at least this long before it sends a lost packet again (TCP_RTO_MIN)."""


class Range(NamedTuple):
    """Limits of a figure in s, both included."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a measured value is within the limits."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.high == 0:
            return "none"
        return f"{self.low:.3g} to {self.high:.3g} s" if self.low else f"{self.high:.3g} s or less"


NO_OUTAGE = Range(0, 0)


@dataclass(frozen=True)
class System:
    """What the expectations are computed from: members with the leader first, then from near to far of it."""

    nodes: tuple[str, ...]
    clients: tuple[str, ...]
    """The member that each client uses."""
    rtt_s: Mapping[tuple[str, str], float]
    """Round trips between members."""
    election_s: float
    """The election timeout; a follower waits for one to two of them, chosen at random."""
    hold_s: float
    """How long each fault lasts."""

    @classmethod
    def of(cls, deployment: Deployment, rtt_ms: Mapping[tuple[str, str], float], hold_s: float) -> System:
        """Return what a deployment of etcd is; UsageError if a round trip between its members is unknown."""
        regions = {node.name: node.host.region for node in deployment.nodes}
        pairs = {(a, b): (regions[a], regions[b]) for a in regions for b in regions if a != b}
        if unknown := sorted("/".join(pair) for pair in pairs.values() if pair not in rtt_ms):
            raise UsageError(f"round trips must be known beforehand, as those of local testbeds are: {unknown[0]}")
        rtt_s = {pair: rtt_ms[each] / 1000 for pair, each in pairs.items()}
        names = {node.host.name: node.name for node in deployment.nodes}
        leader = deployment.nodes[0].name
        plan = deployment.plan
        return cls(
            nodes=(leader, *sorted(regions.keys() - {leader}, key=lambda name: rtt_s[leader, name])),
            clients=tuple(
                names[nearest(host, plan.nodes, index, rtt_ms).name] for index, host in enumerate(plan.clients)
            ),
            rtt_s=rtt_s,
            election_s=_election_timeout_s(deployment.nodes[0].argv),
            hold_s=hold_s,
        )

    @property
    def leader(self) -> str:
        """The member that leads before the fault."""
        return self.nodes[0]

    def mean_s(self, down: Collection[str] = (), added_s: float = 0.0) -> float:
        """Return the mean latency of the clients of members that are not `down`; `added_s` lengthens round trips."""
        trips = {
            name: self.rtt_s[self.leader, name] + added_s
            for name in self.nodes
            if name != self.leader and name not in down
        }
        quorum = sorted(trips.values())[len(self.nodes) // 2 - 1]
        return fmean(quorum + trips.get(name, 0.0) for name in self.clients if name not in down)

    def change_s(self, down: Collection[str] = (), added_s: float = 0.0) -> float:
        """Return by how much the mean latency changes."""
        return self.mean_s(down, added_s) - self.mean_s()

    def elections(self, count: int = 1) -> Range:
        """Return how long elections take: one to two timeouts each, three if the vote is split."""
        return Range(self.election_s - _INTERVAL_S, count * (3 * self.election_s + _SLACK_S))

    @property
    def at_most_elections(self) -> Range:
        """Return the limits where the leader may remain, or may be lost and return as a candidate."""
        return Range(0, self.elections(2).high)

    def whole(self, then_s: float) -> Range:
        """Return the limits of an outage as long as the fault, then up to `then_s` and an election."""
        return Range(self.hold_s - _INTERVAL_S, self.hold_s + then_s + self.elections().high)


def _election_timeout_s(argv: tuple[str, ...]) -> float:
    flag = "--election-timeout="
    return next(int(each.removeprefix(flag)) for each in argv if each.startswith(flag)) / 1000


@dataclass(frozen=True)
class Case:
    """A fault and what it is expected to do; None is not predicted."""

    kind: str
    target: str
    because: str
    outage: Range
    """Time without a success of any client."""
    added: Range | None = None
    """By how much the mean latency of completed requests rises."""
    errors: bool | None = None
    """Whether requests fail."""
    cut_off: tuple[str, ...] = ()
    """Members whose clients have an outage as long as the fault."""
    parameters: str = ""
    instant: bool = False
    rejected: str = ""
    """Part of the reason for which a run rejects the fault; empty if it accepts it."""

    @property
    def name(self) -> str:
        """The fault without times."""
        return f"{self.kind}:{self.target}{self.parameters}"

    def fault(self, start_s: float, hold_s: float) -> str:
        """Return the fault in words."""
        return f"{self.name}@{start_s:g}s" + ("" if self.instant else f"-{start_s + hold_s:g}s")

    @property
    def expected(self) -> str:
        """What is expected, in words."""
        if self.rejected:
            return "rejected before the run"
        parts = [f"outage: {self.outage}"]
        if self.added:
            parts.append(f"mean latency {self.added.low:+.2f} to {self.added.high:+.2f} s")
        if self.errors is not None:
            parts.append("some errors" if self.errors else "no errors")
        if self.cut_off:
            parts.append(f"no success of clients of {', '.join(self.cut_off)}")
        return "; ".join(parts)


def near(value: float) -> Range:
    """Return the limits around a change of the mean: 20 % and 30 ms, for work and disks."""
    return Range(value - 0.2 * abs(value) - 0.03, value + 0.2 * abs(value) + 0.03)


def make_cases(system: System) -> list[Case]:
    """Return a case or more for each kind, in the order of `KINDS`, and one for the kind that is rejected."""
    cases = [*_process_cases(system), *_partition_cases(system), *_link_cases(system), *_host_cases(system)]
    order = [*KINDS, "clock"]
    return sorted(cases, key=lambda case: order.index(case.kind))


def _process_cases(system: System) -> list[Case]:
    leader, far, most = system.leader, system.nodes[3:], system.nodes[2:]
    elected = f"the others elect a leader after one to two timeouts of {system.election_s:g} s"
    none_left = "two of five are no majority; afterwards they start and elect a leader"
    return [
        Case("crash", "+".join(far), "a majority remains with the leader", NO_OUTAGE,
             near(system.change_s(far)), errors=True, cut_off=far),
        Case("crash", "leader", elected, system.elections(), errors=True, cut_off=(leader,)),
        Case("pause", "leader", elected, system.elections(), errors=True, cut_off=(leader,)),
        Case("pause", "+".join(most), "two of five are no majority; afterwards they go on", system.whole(_RECONNECT_S)),
        Case("restart", "leader", "SIGTERM hands the leadership over, or the others elect", system.at_most_elections,
             instant=True),
        Case("host_down", "leader", elected, system.elections(2), errors=True, cut_off=(leader,)),
        Case("host_down", "+".join(most), none_left, system.whole(_START_S + _RECONNECT_S), errors=True),
    ]  # fmt: skip


def _partition_cases(system: System) -> list[Case]:
    leader, second, third, fourth, fifth = system.nodes
    return [
        Case("partition", f"{fourth}+{fifth}", "the majority keeps its leader until the others return as candidates",
             system.at_most_elections, cut_off=(fourth, fifth)),
        Case("partition", "leader", "the others elect, and again when the old leader returns as a candidate",
             system.elections(2), cut_off=(leader,)),
        Case("partition", f"{leader}+{second}", "with the bridge, the leader keeps a majority until the others return",
             system.at_most_elections, parameters=f",bridge={third}", cut_off=(fourth, fifth)),
    ]  # fmt: skip


def _link_cases(system: System) -> list[Case]:
    far = system.nodes[-1]
    delay_s, jitter_s = 0.1, 0.1
    delayed, widest = system.change_s(added_s=2 * delay_s), system.change_s(added_s=2 * jitter_s)
    return [
        Case("loss", far, "a majority without losses remains; commits reach the member late",
             NO_OUTAGE, Range(0.01, 0.5), parameters=",share=20%"),
        Case("loss", "leader", f"lost packets are sent again after {_LEAST_RETRANSMISSION_S:g} s or a round trip",
             system.at_most_elections, Range(0.01, 1.0), parameters=",share=5%"),
        Case("delay", "leader", "0.2 s more per round trip with the leader, of which a write has two or, there, one",
             NO_OUTAGE, near(delayed), errors=False, parameters=",delay=100ms"),
        Case("jitter", "leader", "on average half of what 100 ms in each direction add, at most all of it",
             NO_OUTAGE, Range(0.25 * widest, 1.1 * widest + 0.03), errors=False, parameters=",jitter=100ms"),
        Case("bandwidth", "leader", "the load needs less; a buffer holds 0.1 s", NO_OUTAGE, Range(-0.03, 0.25),
             errors=False, parameters=",rate=5Mbit"),
        Case("flap", "leader", "packets wait for a retransmission while links are down, for 0.4 s of 2 s",
             Range(0, system.hold_s), Range(0.04, 2.0), parameters=",period=2s,share=20%"),
    ]  # fmt: skip


def _host_cases(system: System) -> list[Case]:
    stalled = "the leader cannot save entries nor send heartbeats; the others elect"
    return [
        Case("disk_full", "leader", "etcd ends when its disk is full, as after a crash", system.at_most_elections),
        Case("disk_slow", "leader", "entries are saved in milliseconds, or wait behind the writes of 1 s that prove it",
             Range(0, 2.0), Range(-0.03, 1.0), errors=False, parameters=",bandwidth=1MB/s"),
        Case("disk_stall", "leader", stalled, system.elections(2)),
        Case("cpu", "leader", "etcd needs a small share of a processor", NO_OUTAGE, Range(-0.03, 0.5), errors=False,
             parameters=",share=50%"),
        Case("memory", "leader", "enough memory remains", NO_OUTAGE, Range(-0.03, 0.1), errors=False,
             parameters=",share=20%"),
        Case("clock", "leader", "no program would prove it", NO_OUTAGE, rejected="cannot be proved"),
    ]  # fmt: skip

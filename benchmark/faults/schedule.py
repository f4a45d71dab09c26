"""The faults of a run with their times and nodes, checked before the run.

Nodes are chosen before the run where that is possible. Where they depend on the leader, or on what a fault of the
leader affects, they are chosen when the fault is injected.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from benchmark.errors import UsageError
from benchmark.faults.kinds import DiskFull, HostDown, Kind, LinkKind, Partition, make_kind
from benchmark.faults.targets import BRIDGE, HALVES, Committee, choose, count_nodes, depends_on_leader, is_random
from benchmark.protocols.process import Process
from benchmark.settings import FaultRequest, format_duration

_MOST_FAULTS = 1000


@dataclass(frozen=True)
class Effect:
    """What a fault affects."""

    nodes: tuple[str, ...]
    """Names of processes."""
    hosts: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()
    """Hosts (from, to) between which packets are dropped or impaired, one pair per direction."""
    bridge: tuple[str, ...] = ()
    """Names of processes that still reach both sides of a partition."""


@dataclass(frozen=True)
class ScheduledFault:
    """One fault at one time, in seconds since the measured window began."""

    id: str
    """Unique in the run, such as `f1` or, where a request means several faults, `f1-2`."""
    kind: Kind
    target: str
    """As requested."""
    spare: tuple[str, ...]
    seed: int
    occurrence: int
    """Which of the faults of its request it is, from 0."""
    start_s: float
    end_s: float | None
    """None if it stays until the end of the run; `start_s` if it is healed as soon as it was in force."""
    effect: Effect | None = None
    """None if its nodes are chosen when it is injected."""

    @property
    def depends_on_leader(self) -> bool:
        """Whether its nodes are known only when it is injected."""
        return depends_on_leader(self.target) or (isinstance(self.kind, Partition) and self.kind.leader_of is not None)

    def __str__(self) -> str:
        end = "" if self.end_s in (None, self.start_s) else f"-{self.end_s:g}s"
        return f"{self.kind.name}:{self.target}@{self.start_s:g}s{end}"


def make_schedule(
    requests: Sequence[FaultRequest], committee: Committee, duration_s: float, seed: int
) -> tuple[ScheduledFault, ...]:
    """Return the faults that `requests` mean in a measured window of `duration_s`, sorted by start.

    `seed` determines the seeds of requests without one. UsageError if a request is not possible, exceeds the window, or
    may affect what another one affects at the same time in a way that cannot be combined with it.
    """
    faults = [
        fault
        for index, request in enumerate(requests)
        for fault in _occurrences(index, request, committee, duration_s, seed)
    ]
    if len(faults) > _MOST_FAULTS:
        raise UsageError(f"faults: found {len(faults)} in one run, expected at most {_MOST_FAULTS}")
    faults.sort(key=lambda each: each.start_s)
    # Named nodes first, as random ones have to avoid them.
    for index, fault in enumerate(faults):
        if fault.effect is None and not fault.depends_on_leader and not is_random(fault.target):
            faults[index] = _with_effect(fault, committee, faults)
    for index, fault in enumerate(faults):
        if is_random(fault.target) and not any(
            each.depends_on_leader and (each is fault or _exclude(fault, each)) for each in faults
        ):
            faults[index] = _with_effect(fault, committee, faults)
    for one, other in itertools.combinations(faults, 2):
        if reason := _conflict(one, other):
            raise UsageError(f"faults {one} and {other} {reason}; let the first end before the second begins")
    return tuple(faults)


def resolve(
    fault: ScheduledFault, committee: Committee, others: Sequence[ScheduledFault], leader: str | None
) -> ScheduledFault:
    """Return `fault` with its nodes, if they had to wait for its injection.

    `others` are the faults of the run with what they affected so far, `leader` is the name of the process that leads
    now. UsageError if the target means no node now.
    """
    if fault.effect is not None:
        return fault
    found = _with_effect(fault, committee, others, leader)
    for other in others:
        if other.id != fault.id and (reason := _conflict(found, other)):
            raise UsageError(f"faults {found} and {other} {reason}")
    return found


def _occurrences(
    index: int, request: FaultRequest, committee: Committee, duration_s: float, seed: int
) -> Iterator[ScheduledFault]:
    """Yield the faults of a request, those that can be known with their effects."""
    kind = make_kind(request.kind, request.parameters)
    start, end = request.start.total_seconds(), request.end.total_seconds() if request.end else None
    _check(request, kind, committee, duration_s)
    own = random.Random(f"{seed}/{index}").getrandbits(32) if request.seed is None else request.seed
    fault = ScheduledFault(f"f{index + 1}", kind, request.target, request.spare, own, 0, start, end)
    if fault.depends_on_leader and isinstance(kind, Partition) and kind.leader_of:
        try:
            _is_smaller(fault, _without(committee, _bridge(fault, committee, "", None)))
        except UsageError as error:
            raise UsageError(f"fault {fault}: {error}") from None
    if kind.instant:
        fault = dataclasses.replace(fault, end_s=start)
    repeated = [fault]
    if request.every is not None:
        period, length = request.every.total_seconds(), (end or start) - start
        count = min(math.floor((duration_s - start - length) / period + 1e-9) + 1, _MOST_FAULTS + 1)
        if start + (count - 1) * period >= duration_s:
            count -= 1
        repeated = [_moved(fault, number, number * period) for number in range(count)]
    for each in repeated:
        if kind.instant and end is not None:
            nodes = choose(request.target, committee, "", spare=request.spare)
            step = (end - start) / len(nodes)
            for number, node in enumerate(nodes):
                moved = _moved(each, each.occurrence * len(nodes) + number, number * step)
                yield dataclasses.replace(moved, effect=_effect(kind, (node,), committee))
        else:
            yield each


def _moved(fault: ScheduledFault, occurrence: int, seconds: float) -> ScheduledFault:
    return dataclasses.replace(
        fault,
        id=f"{fault.id.partition('-')[0]}-{occurrence + 1}",
        occurrence=occurrence,
        start_s=fault.start_s + seconds,
        end_s=None if fault.end_s is None else fault.end_s + seconds,
    )


def _check(request: FaultRequest, kind: Kind, committee: Committee, duration_s: float) -> None:
    """Reject requests that no run of this duration and committee can fulfil."""
    name = f"fault {request.kind}:{request.target}"
    window = format_duration(timedelta(seconds=duration_s))
    if request.start.total_seconds() >= duration_s:
        raise UsageError(
            f"{name}: it begins at {format_duration(request.start)}, but the measured window lasts {window}"
        )
    if request.end is not None and request.end.total_seconds() > duration_s:
        raise UsageError(f"{name}: it ends at {format_duration(request.end)}, but the measured window lasts {window}")
    if request.every is not None:
        if request.end is None and not kind.instant:
            raise UsageError(f"{name}: it is repeated, so it needs an end: write @START-END every PERIOD")
        if request.end is not None and request.every <= request.end - request.start:
            raise UsageError(
                f"{name}: it lasts {format_duration(request.end - request.start)}, so it cannot begin again every "
                f"{format_duration(request.every)}; write a longer period"
            )
    if kind.instant and request.end and (depends_on_leader(request.target) or is_random(request.target)):
        raise UsageError(
            f"{name}: only `all`, regions and named nodes can be restarted one after another; omit the end"
        )
    if request.target in (HALVES, BRIDGE) and not isinstance(kind, Partition):
        raise UsageError(f"{name}: only partitions have the target {request.target}")
    if isinstance(kind, Partition) and kind.leader_of and not is_random(request.target):
        raise UsageError(
            f"{name}: leader_of chooses nodes, so it needs one of the targets {HALVES}, {BRIDGE}, one, minority, "
            "majority, max_faulty or a number"
        )
    if (depends_on_leader(request.target) or getattr(kind, "leader_of", None)) and not committee.knows_leader:
        raise UsageError(
            f"{name}: the leader is unknown without a metric of the protocol that reports it and a monitoring host; "
            "name the nodes"
        )
    generators = {client.host.name for client in committee.clients}
    shared = [node.host.name for node in committee.nodes if node.host.name in generators]
    if shared and isinstance(kind, HostDown | DiskFull):
        what = "fill the disk of" if isinstance(kind, DiskFull) else "stop"
        instead = "disk_stall" if isinstance(kind, DiskFull) else "crash or partition"
        raise UsageError(
            f"{name}: it would {what} the load generator on {shared[0]}; move the load to other hosts with "
            f"--dedicated-clients, or use {instead}"
        )


def _with_effect(
    fault: ScheduledFault, committee: Committee, others: Sequence[ScheduledFault], leader: str | None = None
) -> ScheduledFault:
    """Choose the nodes of a fault besides those of `others` at the same time."""
    busy = {
        node
        for other in others
        if other.id != fault.id and other.effect and _exclude(fault, other)
        for node in other.effect.nodes
    }
    seed = f"{fault.seed}/{fault.occurrence}"
    try:
        bridge = _bridge(fault, committee, seed, leader)
        sides = _without(committee, bridge)
        with_leader = None
        if isinstance(fault.kind, Partition) and fault.kind.leader_of:
            if leader in [node.name for node in bridge]:
                raise UsageError(f"{leader} leads, but is the bridge, so it is on neither side; omit leader_of")
            with_leader = _is_smaller(fault, sides) == (fault.kind.leader_of == "minority")
        target = HALVES if fault.target == BRIDGE else fault.target
        nodes = choose(target, sides, seed, spare=fault.spare, busy=busy, leader=leader, with_leader=with_leader)
        return dataclasses.replace(fault, effect=_effect(fault.kind, nodes, committee, bridge))
    except UsageError as error:
        raise UsageError(f"fault {fault}: {error}") from None


def _bridge(fault: ScheduledFault, committee: Committee, seed: str, leader: str | None) -> tuple[Process, ...]:
    """Choose the nodes that still reach both sides of a partition."""
    if not isinstance(fault.kind, Partition) or not (fault.kind.bridge or fault.target == BRIDGE):
        return ()
    words = fault.kind.bridge or "1"
    spared = {leader} if fault.kind.leader_of and leader else set()
    found = choose(words, committee, f"{seed}/bridge", busy=spared)
    if len(found) > len(committee.nodes) - 2:
        raise UsageError(f"bridge {words}: it leaves fewer than two other nodes, so there are no two sides")
    return found


def _without(committee: Committee, nodes: Sequence[Process]) -> Committee:
    return dataclasses.replace(committee, nodes=tuple(node for node in committee.nodes if node not in nodes))


def _is_smaller(fault: ScheduledFault, committee: Committee) -> bool:
    """Return whether the target of a partition is the smaller side; UsageError if the sides are equal."""
    target = HALVES if fault.target == BRIDGE else fault.target
    inside = count_nodes(target, committee)
    outside = len(committee.nodes) - inside
    if inside == outside:
        raise UsageError(f"both sides have {inside} nodes, so neither is the majority; omit leader_of")
    return inside < outside


def _effect(kind: Kind, nodes: Sequence[Process], committee: Committee, bridge: Sequence[Process] = ()) -> Effect:
    """Return what a fault of `nodes` affects; UsageError if there is nothing else to cut them from."""
    inside = list(dict.fromkeys(node.host.name for node in nodes))
    links: list[tuple[str, str]] = []
    if kind.changes:
        processes = (*committee.nodes, *committee.clients) if isinstance(kind, HostDown) else committee.nodes
        spared = {node.host.name for node in bridge}
        others = [each for each in dict.fromkeys(process.host.name for process in processes) if each not in spared]
        if isinstance(kind, Partition):
            others = [host for host in others if host not in inside]
        leaving = [(a, b) for a in inside for b in others if a != b]
        one_way = kind.one_way if isinstance(kind, LinkKind) else None
        links += leaving if one_way != "in" else []
        links += [(b, a) for a, b in leaving if one_way != "out" and (one_way or (b, a) not in links)]
        if not links:
            raise UsageError("there are no other nodes to cut it from")
    names = tuple(node.name for node in bridge)
    return Effect(tuple(node.name for node in nodes), tuple(inside), tuple(links), names)


def _overlap(one: ScheduledFault, other: ScheduledFault) -> bool:
    """Return whether two faults are in force at the same time; healing takes time, so ends count."""
    one_end = math.inf if one.end_s is None else one.end_s
    other_end = math.inf if other.end_s is None else other.end_s
    return one.start_s <= other_end and other.start_s <= one_end


def _compete(one: ScheduledFault, other: ScheduledFault) -> bool:
    """Return whether two faults at the same time cannot affect the same process."""
    pairs = (one.kind, other.kind), (other.kind, one.kind)
    return _overlap(one, other) and any(
        kind.stops_processes and (another.stops_processes or another.ends_processes) for kind, another in pairs
    )


def _exclude(one: ScheduledFault, other: ScheduledFault) -> bool:
    return _compete(one, other) or _take_the_same(one, other)


def _take_the_same(one: ScheduledFault, other: ScheduledFault) -> bool:
    """Return whether two faults at the same time cannot affect the same host."""
    return bool(one.kind.takes) and one.kind.takes == other.kind.takes and _overlap(one, other)


def _conflict(one: ScheduledFault, other: ScheduledFault) -> str:
    """Return why two faults cannot be combined; empty if they can."""
    if not _overlap(one, other):
        return ""
    if _compete(one, other):
        if one.effect and other.effect:
            if shared := set(one.effect.nodes).intersection(other.effect.nodes):
                return f"stop {min(shared)} at the same time"
        elif one.effect or other.effect:
            # Whoever leads is not under an earlier fault, but may be named by a later one. Random nodes avoid both.
            known, unknown = (one, other) if one.effect else (other, one)
            if unknown.depends_on_leader and known.start_s >= unknown.start_s:
                return "may stop the same node"
    if _take_the_same(one, other):
        if not (one.effect and other.effect):
            return f"may take the {one.kind.takes} of the same host"
        if hosts := set(one.effect.hosts).intersection(other.effect.hosts):
            return f"take the {one.kind.takes} of {min(hosts)} at the same time"
    if _collide(one.kind, other.kind):
        dropped = {one.kind.changes, other.kind.changes} <= {"reach", "loss"}
        what = "drop packets" if dropped else "change the delivery of packets"
        if not (one.effect and other.effect):
            return f"may {what} on the same link"
        if shared_links := set(one.effect.links).intersection(other.effect.links):
            return f"{what} from {' to '.join(min(shared_links))} at the same time"
    return ""


def _collide(one: Kind, other: Kind) -> bool:
    """Return whether two kinds cannot be combined on one link: nothing else can be proved where no packet passes."""
    both = one.changes, other.changes
    return all(both) and (both[0] == both[1] or "reach" in both) and {HostDown} != {type(one), type(other)}

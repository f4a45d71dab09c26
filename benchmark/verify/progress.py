"""Judge whether a system made progress whenever the faults in force were within what it tolerates."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmark.faults.kinds import KINDS
from benchmark.faults.record import FaultRecord
from benchmark.measure.client_logs import ClientLog
from benchmark.measure.histogram import Array
from benchmark.measure.scrapes import RunSamples
from benchmark.metrics.latency_log import INTERVAL_MS, SCHEDULING_DELAY
from benchmark.protocols.process import Process
from benchmark.results.verification import Progress


@dataclass(frozen=True)
class Witness:
    """Someone whose successes show progress, and who can be expected to have some while no fault affects it."""

    successes: Array
    """When they ended, unix s."""
    node: str | None
    """The only node that it uses; None if that is unknown, so that any fault may affect it."""
    host: str
    """Where it runs."""


@dataclass(frozen=True)
class _InForce:
    """A fault in force, with what it affects; times in unix s."""

    start: float
    end: float
    nodes: frozenset[str]
    hosts: frozenset[str]

    @classmethod
    def of(cls, record: FaultRecord, end: float) -> _InForce | None:
        if record.injected is None:
            return None
        kind = KINDS.get(record.kind)
        only_processes = kind is not None and kind.stops_processes and not kind.changes
        hosts = frozenset() if only_processes else frozenset(record.hosts)
        until = end if record.healed is None else min(end, record.healed)
        return cls(record.injected, until, frozenset(record.nodes), hosts)


def judge_progress(
    witnesses: Sequence[Witness],
    faults: Iterable[FaultRecord],
    tolerated: int,
    window: tuple[float, float],
    limit_s: float,
) -> Progress:
    """Return whether some witness had a success in every `limit_s` in which it was required.

    It is required while no fault begins or ends and at most `tolerated` nodes are under a fault, of a witness that none
    affects. `window` is when the load ran (unix s).
    """
    start, end = window
    in_force = [each for record in faults if (each := _InForce.of(record, end))]
    changes = {moment for each in in_force for moment in (each.start, each.end) if start < moment < end}
    required, longest = 0.0, None
    for begin, until in pairwise(sorted({start, end, *changes})):
        active = [each for each in in_force if each.start <= begin < each.end]
        nodes = frozenset[str]().union(*(each.nodes for each in active))
        hosts = frozenset[str]().union(*(each.hosts for each in active))
        free = [each for each in witnesses if _unaffected(each, nodes, hosts)]
        if until - begin < limit_s or len(nodes) > tolerated or not free:
            continue
        gap, at = _longest_gap(free, begin, until)
        required += until - begin
        if longest is None or gap > longest[0]:
            longest = (gap, at, len(nodes))
    if longest is None:
        why = f"there were no {limit_s:g} s in which the faults in force were tolerated"
        if not witnesses:
            why = "only a probe workload, latency logs, or nodes that count transactions show it"
        return Progress(verdict="unknown", reason=why, limit_s=limit_s)
    gap, at, affected = longest
    found = Progress(verdict="ok", limit_s=limit_s, required_s=round(required, 3), longest_s=round(gap, 3))
    if gap <= limit_s:
        return found
    under = f"{affected} nodes were under a fault, and {tolerated} may be" if affected else "no fault was in force"
    reason = f"nothing succeeded for {gap:.1f} s from {at - start:.1f} s after the load began, while {under}"
    return found.model_copy(update={"verdict": "no progress", "reason": reason})


def _unaffected(witness: Witness, nodes: Collection[str], hosts: Collection[str]) -> bool:
    if witness.host in hosts:
        return False
    return not nodes if witness.node is None else witness.node not in nodes


def _longest_gap(witnesses: Sequence[Witness], start: float, end: float) -> tuple[float, float]:
    """Return the longest time without a success, and when it began."""
    times = np.sort(np.concatenate([each.successes for each in witnesses]))
    edges = np.concatenate([[start], times[(times > start) & (times < end)], [end]])
    longest = int(np.argmax(np.diff(edges)))
    return float(edges[longest + 1] - edges[longest]), float(edges[longest])


def witnesses_of_history(history: Path, host: str, offset_s: float) -> list[Witness]:
    """Return the clients of a probe workload on `host`, whose clock is `offset_s` ahead, by the node that they use.

    Only writes and swaps count: a system may serve reads without agreeing on anything new. Damaged lines are left out,
    as the check of the history reports them. ValueError without a header.
    """
    with history.open(encoding="utf-8", errors="replace") as lines:
        header = json.loads(next(lines, ""))
        known = header if isinstance(header, dict) else {}
        nodes, started, began = (known.get(name) for name in ("replicas", "started", "started_unix"))
        if not (isinstance(nodes, list) and nodes and isinstance(started, int) and isinstance(began, float)):
            raise ValueError("the history has no header")
        # With more nodes than clients, some have no client.
        clients = known.get("clients")
        used = nodes[:clients] if isinstance(clients, int) else nodes
        successes: dict[str, list[float]] = {str(node): [] for node in used}
        for line in lines:
            try:
                found = json.loads(line)
                if found["outcome"] == "ok" and found["op"] != "read" and found.get("swapped", True):
                    node = str(nodes[found["client"] % len(nodes)])
                    successes[node].append(began - offset_s + (found["end"] - started) / 1e9)
            except (ValueError, TypeError, LookupError, ArithmeticError):
                continue
    return [Witness(np.array(times), node, host) for node, times in successes.items()]


def witnesses_of_logs(clients: Iterable[ClientLog]) -> list[Witness]:
    """Return the clients of the load, from their latency logs."""
    found = []
    for client in clients:
        good = client.log.rows_of(lambda tag: not tag.error and tag.workload != SCHEDULING_DELAY)
        times = np.unique(client.log.starts_ms[good & (client.log.totals() > 0)]) / 1000 + INTERVAL_MS / 2000
        found.append(Witness(times, None, client.host))
    return found


def witnesses_of_nodes(samples: RunSamples, nodes: Iterable[Process], metric: str) -> list[Witness]:
    """Return nodes that count all transactions in `metric`, from their samples."""
    by_host = {target.host: target for target in samples.targets("node", (metric,))}
    found = []
    for node in nodes:
        if target := by_host.get(node.host.name):
            risen = np.diff(target.increases(metric).sum(axis=0)) > 0
            found.append(Witness(target.times[1:][risen], node.name, node.host.name))
    return found

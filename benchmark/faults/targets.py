"""Choose the nodes that a fault affects from the words of its target."""

from __future__ import annotations

import difflib
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

from benchmark.errors import UsageError
from benchmark.plan.deployment import Deployment
from benchmark.protocols.base import Protocol
from benchmark.protocols.process import Process

HALVES = "halves"
"""Target of a partition into two sides as equal as possible."""
BRIDGE = "bridge"
"""Target of a partition into two sides as equal as possible that both still reach one node."""
_CHOSEN_AT_INJECTION = ("leader", "followers")
_CHOSEN_AT_RANDOM = ("one", "minority", "majority", "max_faulty", HALVES, BRIDGE)
TARGETS = ("one", "minority", "majority", "max_faulty", "all", "leader", "followers")
"""Words that choose nodes, for any kind of fault."""


@dataclass(frozen=True)
class Committee:
    """The processes of a run, as far as targets depend on them."""

    nodes: tuple[Process, ...]
    clients: tuple[Process, ...] = ()
    tolerated: int = 0
    """Nodes that may crash while the system still responds."""
    knows_leader: bool = False
    """Whether a run can find out which node leads."""

    @classmethod
    def of(cls, deployment: Deployment, protocol: Protocol, *, monitored: bool) -> Self:
        """Return the committee of a deployment of `protocol`, whose metrics are scraped if it is `monitored`."""
        tolerated = protocol.tolerated_faults(len(deployment.nodes))
        knows_leader = monitored and protocol.leader_metric is not None
        return cls(deployment.nodes, deployment.clients, tolerated, knows_leader)


def depends_on_leader(target: str) -> bool:
    """Return whether the nodes are known only when the fault is injected."""
    return target in _CHOSEN_AT_INJECTION


def is_random(target: str) -> bool:
    """Return whether the nodes are chosen at random."""
    return target in _CHOSEN_AT_RANDOM or target.isdecimal()


def choose(
    target: str,
    committee: Committee,
    seed: str,
    *,
    spare: Collection[str] = (),
    busy: Collection[str] = (),
    leader: str | None = None,
    with_leader: bool | None = None,
) -> tuple[Process, ...]:
    """Return the nodes that `target` means, in the order of the committee.

    Nodes in the regions of `spare` are never chosen. Those in `busy`, the names of processes under a fault that cannot
    be combined with this one, are chosen only if the target names them. `leader` is the name of the leading process;
    `with_leader` requires that nodes chosen at random include it, or not.
    UsageError if the target is unknown or means no node.
    """
    regions = {node.host.region for node in committee.nodes}
    if unknown := [region for region in spare if region not in regions]:
        raise UsageError(
            f"target {target}: no node in spared region {unknown[0]!r}; regions are: {_join(sorted(regions))}"
        )
    spared = [node for node in committee.nodes if node.host.region not in spare]
    free = [node for node in spared if node.name not in busy]
    if depends_on_leader(target):
        if leader is None:
            raise UsageError(f"target {target}: no node leads")
        found = [node for node in free if (node.name == leader) == (target == "leader")]
    elif is_random(target):
        count = count_nodes(target, committee)
        first = []
        if with_leader is not None:
            if leader is None:
                raise UsageError(f"target {target}: no node leads")
            first = _with_leader(target, free, leader) if with_leader else []
            free = [node for node in free if node.name != leader]
        if count > (available := len(first) + len(free)):
            raise UsageError(
                f"target {target}: it means {count} of {len(committee.nodes)} nodes, but only {available} are "
                "neither spared nor under another fault"
            )
        chosen = [*first, *random.Random(seed).sample(free, count - len(first))]
        found = [node for node in spared if node in chosen]
    else:
        found = spared if target == "all" else _named(target, committee.nodes, spared)
    if not found:
        raise UsageError(f"target {target}: it means none of the {len(committee.nodes)} nodes")
    return tuple(found)


def _with_leader(target: str, free: Sequence[Process], leader: str) -> list[Process]:
    """Return the leading node; UsageError if it may not be chosen."""
    found = [node for node in free if node.name == leader]
    if not found:
        raise UsageError(f"target {target}: {leader} leads, but is spared, a bridge or under another fault")
    return found


def count_nodes(target: str, committee: Committee) -> int:
    """Return how many nodes a target means that is random."""
    size = len(committee.nodes)
    counts = {
        "one": 1,
        "minority": (size - 1) // 2,
        "majority": size // 2 + 1,
        "max_faulty": committee.tolerated,
        HALVES: size // 2,
    }
    return counts[target] if target in counts else int(target)


def _named(target: str, nodes: Sequence[Process], spared: Sequence[Process]) -> list[Process]:
    """Return the nodes in regions, on hosts or with names that are joined by `+`."""
    wanted = [word.strip() for word in target.split("+")]
    names = {name for node in nodes for name in (node.name, node.host.name, node.host.region)}
    for word in wanted:
        if word not in names:
            near = difflib.get_close_matches(word, [*TARGETS, *sorted(names)], n=1)
            known = f"write {_join(TARGETS)}, a number, a region or a node: {_join(sorted(names))}"
            raise UsageError(f"unknown target {word!r}; {f'did you mean {near[0]!r}?' if near else known}")
    return [node for node in spared if {node.name, node.host.name, node.host.region}.intersection(wanted)]


def _join(names: Collection[str]) -> str:
    shown = list(names)[:12]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")

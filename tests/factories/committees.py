"""Committees for tests: regions and how many nodes each has."""

from __future__ import annotations

from factories.hosts import inventory

from benchmark.faults.targets import Committee
from benchmark.protocols.process import Process


def committee(*, dedicated: int = 1, knows_leader: bool = True, **regions: int) -> Committee:
    """Return a committee of node-0, node-1, ... on all hosts but the last `dedicated`, which run clients.

    Without any, the clients run on the hosts of the nodes. A minority of the nodes may crash.
    """
    hosts = inventory(monitoring=False, **regions).hosts
    nodes = [Process(f"node-{i}", "node", host, ("x",)) for i, host in enumerate(hosts[: len(hosts) - dedicated])]
    clients = [Process(f"client-{i}", "client", host, ("x",)) for i, host in enumerate(hosts[-dedicated:])]
    return Committee(tuple(nodes), tuple(clients), (len(nodes) - 1) // 2, knows_leader)

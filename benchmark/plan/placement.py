"""Which hosts carry nodes and which carry clients: round-robin over regions, stated before the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from benchmark.errors import UsageError
from benchmark.inventory import Host, Inventory
from benchmark.metrics.targets import Endpoint
from benchmark.protocols.base import Protocol
from benchmark.protocols.load_generator import split
from benchmark.protocols.process import Plan, Process, RateSegments


def interleave(hosts: Sequence[Host]) -> tuple[Host, ...]:
    """Order hosts so that every region gives one before any gives its second."""
    by_region: dict[str, list[Host]] = {}
    for host in hosts:
        by_region.setdefault(host.region, []).append(host)
    return tuple(host for host in chain(*zip_longest(*by_region.values())) if host is not None)


def place(
    inventory: Inventory,
    protocol: type[Protocol],
    load: int,
    committee: int | None = None,
    dedicated_clients: int = 0,
    *,
    rtt_ms: Mapping[tuple[str, str], float] | None = None,
    duration_s: float = 0.0,
    rate_segments: RateSegments = (),
) -> Plan:
    """Assign nodes, clients and the load's shares to the running instances; the rest is kept in the plan as it is.

    Without `committee` all instances that are left carry a node, up to the size that the system's own documents advise.
    With no dedicated clients each node's host also carries a client; where nodes make the load there are no clients.
    Raises UsageError that does the sum.
    """
    if protocol.load_from == "node" and dedicated_clients:
        raise UsageError(
            f"nodes of {protocol.name} make the load themselves, so there is nothing to run on "
            f"{dedicated_clients} dedicated clients; set dedicated_clients to 0"
        )
    hosts = interleave([host for host in inventory.instances if host.state != "stopped"])
    left = len(hosts) - dedicated_clients
    size = committee if committee is not None else min(left, protocol.most_nodes or left)
    if size < protocol.minimum_nodes or size > left:
        raise UsageError(_sum(inventory, protocol, max(size, protocol.minimum_nodes), dedicated_clients, len(hosts)))
    if load < 1:
        raise UsageError(f"a load of {load} tx/s cannot be offered; give at least 1")
    nodes = hosts[:size]
    carriers = hosts[size : size + dedicated_clients] if dedicated_clients else nodes
    shares = split(load, len(carriers), protocol.load_step)
    clients: tuple[Host, ...] = ()
    if protocol.load_from == "client":
        clients = tuple(host for host, share in zip(carriers, shares, strict=True) if share)
        shares = shares[: len(clients)]
    return Plan(nodes, clients, load, shares, rtt_ms or {}, duration_s, rate_segments)


def _sum(inventory: Inventory, protocol: type[Protocol], nodes: int, clients: int, found: int) -> str:
    """Say which hosts are needed, which were found (`found` of them may carry nodes and clients), and what to do."""
    monitoring = 1 if inventory.monitoring else 0
    parts = [f"{nodes} nodes"] + [f"{clients} dedicated clients"] * bool(clients) + ["1 monitoring"] * monitoring
    needed, stopped = nodes + clients + monitoring, sum(host.state == "stopped" for host in inventory.hosts)
    smaller = found - clients
    advice = [f"`--committee {smaller}` or less"] if smaller >= protocol.minimum_nodes else []
    return (
        f"need {needed} hosts ({' + '.join(parts)}), found {len(inventory.hosts) - stopped} running"
        f"{f' and {stopped} stopped' if stopped else ''} in testbed {inventory.testbed_id}; "
        f"{' or '.join([*advice, _more_hosts(inventory, needed, stopped)])}"
    )


def _more_hosts(inventory: Inventory, needed: int, stopped: int) -> str:
    """Say how the testbed comes to have as many running hosts as are needed: no cloud makes the user's machines."""
    if stopped and needed <= len(inventory.hosts):
        return "`pulumi up -c state=running`"
    machines = sum(host.capabilities.user_owned for host in inventory.hosts)
    regions = {(host.provider, host.region) for host in inventory.hosts if not host.capabilities.user_owned}
    if not regions:
        return "list more `machines` in the settings and `pulumi up`"
    start = "-c state=running " if stopped else ""
    return f"`pulumi up {start}-c instances={-(-(needed - machines) // len(regions))}`"


def ports(processes: Sequence[Process]) -> dict[str, list[int]]:
    """The ports that must be free, by host."""
    ports: dict[str, list[int]] = {}
    for process in processes:
        ports.setdefault(process.host.name, []).extend(process.ports)
    return ports


def endpoints(processes: Sequence[Process]) -> list[Endpoint]:
    """Where the processes serve their metrics."""
    return [
        Endpoint(process.host.name, process.metrics_port, process.job, process.metrics_path)
        for process in processes
        if process.metrics_port is not None
    ]

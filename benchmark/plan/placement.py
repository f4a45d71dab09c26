"""Assign nodes and clients to hosts, round-robin over regions."""

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
    """Order hosts round-robin over their regions."""
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
    """Assign nodes, clients and shares of the load to the running instances; the plan keeps the other arguments.

    Without `committee`, every instance that is not a dedicated client runs a node, up to the largest size that the
    documentation of the system recommends. Without dedicated clients, the host of each node also runs a client. If the
    nodes generate the load, there are no clients. UsageError says which hosts are missing.
    """
    if protocol.load_from == "node" and dedicated_clients:
        raise UsageError(
            f"dedicated_clients is {dedicated_clients}, but the nodes of {protocol.name} generate the load themselves: "
            "set it to 0"
        )
    hosts = interleave([host for host in inventory.instances if host.state != "stopped"])
    left = len(hosts) - dedicated_clients
    size = committee if committee is not None else min(left, protocol.most_nodes or left)
    if size < protocol.minimum_nodes or size > left:
        needed = max(size, protocol.minimum_nodes)
        raise UsageError(_missing_hosts(inventory, protocol, needed, dedicated_clients, len(hosts)))
    if load < 1:
        raise UsageError(f"a load of {load} tx/s is too low: request at least 1")
    nodes = hosts[:size]
    carriers = hosts[size : size + dedicated_clients] if dedicated_clients else nodes
    shares = split(load, len(carriers), protocol.load_step)
    clients: tuple[Host, ...] = ()
    if protocol.load_from == "client":
        clients = tuple(host for host, share in zip(carriers, shares, strict=True) if share)
        shares = shares[: len(clients)]
    return Plan(nodes, clients, load, shares, rtt_ms or {}, duration_s, rate_segments)


def _missing_hosts(inventory: Inventory, protocol: type[Protocol], nodes: int, clients: int, found: int) -> str:
    """Explain which hosts are needed and found (`found` of them for nodes and clients), and how to get the others."""
    monitoring = 1 if inventory.monitoring else 0
    parts = [f"{nodes} nodes"] + [f"{clients} dedicated clients"] * bool(clients) + ["1 monitoring"] * monitoring
    needed, stopped = nodes + clients + monitoring, sum(host.state == "stopped" for host in inventory.hosts)
    smaller = found - clients
    advice = [f"`--committee {smaller}` or less"] if smaller >= protocol.minimum_nodes else []
    cloud_regions = {(host.provider, host.region) for host in inventory.hosts if not host.capabilities.user_owned}
    if stopped and needed <= len(inventory.hosts):
        advice.append("`pulumi up -c state=running`")
    elif not cloud_regions:
        advice.append("list more `machines` in the settings and `pulumi up`")
    else:
        to_create = needed - sum(host.capabilities.user_owned for host in inventory.hosts)
        start = "-c state=running " if stopped else ""
        advice.append(f"`pulumi up {start}-c instances={-(-to_create // len(cloud_regions))}`")
    return (
        f"need {needed} hosts ({' + '.join(parts)}), found {len(inventory.hosts) - stopped} running"
        f"{f' and {stopped} stopped' if stopped else ''} in testbed {inventory.testbed_id}; {' or '.join(advice)}"
    )


def ports(processes: Sequence[Process]) -> dict[str, list[int]]:
    """Return the ports that must be free, by host."""
    ports: dict[str, list[int]] = {}
    for process in processes:
        ports.setdefault(process.host.name, []).extend(process.ports)
    return ports


def endpoints(processes: Sequence[Process]) -> list[Endpoint]:
    """Return the endpoints at which the processes serve their metrics."""
    return [
        Endpoint(process.host.name, process.metrics_port, process.job, process.metrics_path)
        for process in processes
        if process.metrics_port is not None and process.job != "probe"
    ]

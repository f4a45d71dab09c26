"""The mechanisms of inject.pyz that a fault is made of, as the orders to its hosts name them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from benchmark.faults.kinds import HostKind, Impairment, Kind, Loss, Pause, Restart
from benchmark.faults.schedule import ScheduledFault
from benchmark.faults.targets import Committee
from benchmark.host_layout import NODE_EXPORTER_PORT


def mechanism_names(kind: Kind) -> list[str]:
    """Return the names of the mechanisms of a kind; processes first, which then do not see the network fail."""
    names = []
    if kind.stops_processes:
        names.append({Pause: "pause", Restart: "end"}.get(type(kind), "crash"))
    if kind.changes:
        names.append("impair" if isinstance(kind, Impairment) else "drop")
    if isinstance(kind, HostKind):
        names.append(kind.mechanism)
    return names


def mechanisms(fault: ScheduledFault, committee: Committee, addresses: Mapping[str, str]) -> dict[str, list[JsonValue]]:
    """Return what a fault with an effect is made of, by the host that has to do it; `addresses` are those of hosts."""
    assert fault.effect is not None
    if isinstance(fault.kind, Impairment):
        return _impairments(fault, fault.kind, addresses)
    found: dict[str, list[JsonValue]] = {host: [] for host in fault.effect.hosts}
    for name in mechanism_names(fault.kind):
        for host, parts in found.items():
            if name == "drop":
                share = fault.kind.share if isinstance(fault.kind, Loss) else 1.0
                parts.append({"kind": name, "peers": _peers(fault, host, addresses), "share": share})
                continue
            processes: list[JsonValue] = [
                node.name for node in committee.nodes if node.host.name == host and node.name in fault.effect.nodes
            ]
            if isinstance(fault.kind, HostKind):
                parts.append({"kind": name, "processes": processes, **fault.kind.order()})
            else:
                parts.append({"kind": name, "processes": processes, "again": fault.end_s is not None})
    return found


def _impairments(fault: ScheduledFault, kind: Impairment, addresses: Mapping[str, str]) -> dict[str, list[JsonValue]]:
    """Return what holds packets.

    Delayed packets are held where they arrive: on the host that sends them, they would count as unsent, and the kernel
    would hardly send more (TCP small queues).
    """
    assert fault.effect is not None
    hosts = fault.effect.hosts
    if kind.held_by_receiver:
        hosts = tuple(dict.fromkeys(to for _, to in fault.effect.links))
    parameters: JsonValue = dict(kind.parameters())
    order: dict[str, JsonValue] = {"kind": "impair", "impairment": kind.changes, "parameters": parameters}
    return {host: [{**order, "peers": _peers(fault, host, addresses, only_in=kind.held_by_receiver)}] for host in hosts}


def _peers(fault: ScheduledFault, host: str, addresses: Mapping[str, str], *, only_in: bool = False) -> list[JsonValue]:
    """Return the other ends of the links that `host` has to disturb: all that lead to it, if `only_in`.

    Otherwise the sender alone disturbs a link between two hosts of the fault, so that packets are lost with the
    requested probability.
    """
    assert fault.effect is not None
    links = fault.effect.links
    ends = [("in", a) for a, b in links if b == host and (only_in or a not in fault.effect.hosts)]
    if not only_in:
        ends = [("out", b) for a, b in links if a == host] + ends
    return [
        {
            "address": addresses[other],
            "port": NODE_EXPORTER_PORT,
            "in": ("in", other) in ends,
            "out": ("out", other) in ends,
            "ways": ((host, other) in links) + ((other, host) in links),
        }
        for other in dict.fromkeys(other for _, other in ends)
    ]

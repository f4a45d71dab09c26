"""The deployment of one run: its plan and the processes that the plan means. It is made once and passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.errors import UsageError
from benchmark.inventory import Inventory
from benchmark.plan.load_shape import rate_segments
from benchmark.plan.placement import place
from benchmark.plan.request import Request
from benchmark.protocols.probe import probe
from benchmark.protocols.process import Plan, Process


@dataclass(frozen=True)
class Deployment:
    """A plan with its processes, for the round trips that `plan.rtt_ms` holds."""

    plan: Plan
    nodes: tuple[Process, ...]
    clients: tuple[Process, ...]
    probe: Process | None = None
    """The probe workload of `--verify`."""

    @property
    def processes(self) -> tuple[Process, ...]:
        """All processes, nodes first."""
        return (*self.nodes, *self.clients, *([self.probe] if self.probe else []))

    def by_host(self) -> dict[str, list[Process]]:
        """Return the processes of each host that has any, by its name."""
        found: dict[str, list[Process]] = {}
        for process in self.processes:
            found.setdefault(process.host.name, []).append(process)
        return found


def make_plan(
    inventory: Inventory, request: Request, load: int, rtt_ms: Mapping[tuple[str, str], float] | None = None
) -> Plan:
    """Plan a run of `request` at `load` tx/s; `rtt_ms` are the round trips between regions, once they are measured.

    Raises UsageError if the inventory or the protocol does not allow the run.
    """
    protocol = type(request.protocol)
    segments = rate_segments(request.load_shape, request.warm_up_s, request.duration_s)
    if segments and not protocol.load_shapes:
        raise UsageError(f"{protocol.name} supports a constant load only, found load shape {request.load_shape!r}")
    return place(
        inventory,
        protocol,
        load,
        request.committee,
        request.dedicated_clients,
        rtt_ms=rtt_ms or {},
        duration_s=request.warm_up_s + request.duration_s,
        rate_segments=segments,
    )


def deploy(
    inventory: Inventory, request: Request, load: int, rtt_ms: Mapping[tuple[str, str], float] | None = None
) -> Deployment:
    """Plan a run as `make_plan` does, and describe its processes."""
    plan, protocol = make_plan(inventory, request, load, rtt_ms), request.protocol
    if request.verify and not protocol.checks:
        raise UsageError(
            f"--verify: {protocol.name} has no key-value interface to check; etcd has one, and the file of a declared "
            "system can describe one, or what its nodes must agree on: docs/protocols.md"
        )
    probing = None
    if request.verify and "linearizability" in protocol.checks:
        probing = probe(protocol.key_value_api(plan), plan)
    return Deployment(plan, protocol.nodes(plan), protocol.clients(plan), probing)

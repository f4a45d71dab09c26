"""What a command will do, found without starting anything: placement, versions, ports, faults, duration, cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmark.errors import UsageError
from benchmark.faults.schedule import ScheduledFault, make_schedule
from benchmark.faults.targets import Committee, is_random
from benchmark.inventory import Inventory
from benchmark.orchestrator.outlook import OVERHEAD_S
from benchmark.plan.deployment import deploy, make_plan
from benchmark.plan.request import Request
from benchmark.plan.source import Binaries, describe
from benchmark.results.manifest import read_manifest

_RECENT = 10
"""Stored runs that the expected overhead is taken from, at most."""


@dataclass(frozen=True)
class PlacedProcess:
    """A process, its host, and the ports that it listens on."""

    name: str
    host: str
    region: str
    ports: tuple[int, ...]


@dataclass(frozen=True)
class PlannedFault:
    """A fault of each run."""

    fault: str
    nodes: tuple[str, ...] | None
    """None if they are chosen in each run."""
    chosen: str
    """How they are chosen."""


@dataclass(frozen=True)
class Side:
    """All runs of one request: those of the command, or of A or B."""

    protocol: str
    source: str
    """What it is built or installed from."""
    packages: tuple[str, ...]
    requested_tps: tuple[int, ...]
    scheduled_tps: tuple[int, ...]
    load_shape: str
    warm_up_s: float
    duration_s: float
    phases: tuple[str, ...]
    """Parts of the measured window; none if it is not divided."""
    processes: tuple[PlacedProcess, ...]
    faults: tuple[PlannedFault, ...]


@dataclass(frozen=True)
class DryRun:
    """What a command will do."""

    testbed_id: str
    hosts_exist: bool
    """Whether the testbed is up; if not, its hosts are those that the settings describe."""
    sides: Mapping[str, Side]
    runs: int
    at_most: bool
    """Whether there may be fewer runs, as in a search."""
    overhead_s: float
    """Expected time of each run beside its load: start, stop and collection."""
    overhead_from: int
    """Stored runs that this is the mean of; 0 if it is assumed."""
    duration_s: float
    """Expected time of all runs, without retries, builds and the installation of packages."""
    hourly_usd: float | None
    """Price of the testbed; None if it is unknown."""
    cost_usd: float | None
    results_dir: str


def plan_command(
    inventory: Inventory, requests: Mapping[str, Request], repeat: int, *, hosts_exist: bool, most: int | None = None
) -> DryRun:
    """Return what the runs of `requests` will do, each load `repeat` times; `most` is how many runs a search may take.

    UsageError if the runs are not possible on the hosts.
    """
    sides = {name: _side(inventory, request) for name, request in requests.items()}
    each = next(iter(requests.values()))
    overhead_s, known = _overhead(each.results_dir / inventory.testbed_id, each.protocol.name)
    loads = {name: repeat * len(request.loads) if most is None else most for name, request in requests.items()}
    seconds = sum(
        loads[name] * (request.warm_up_s + request.duration_s + overhead_s) for name, request in requests.items()
    )
    hourly = inventory.hourly_cost_usd
    return DryRun(
        testbed_id=inventory.testbed_id,
        hosts_exist=hosts_exist,
        sides=sides,
        runs=sum(loads.values()),
        at_most=most is not None,
        overhead_s=overhead_s,
        overhead_from=known,
        duration_s=seconds,
        hourly_usd=hourly,
        cost_usd=None if hourly is None else hourly * seconds / 3600,
        results_dir=str(each.results_dir),
    )


def _side(inventory: Inventory, request: Request) -> Side:
    plans = [make_plan(inventory, request, load) for load in request.loads]
    deployment = deploy(inventory, request, max(request.loads))
    committee = Committee.of(deployment, request.protocol, monitored=inventory.monitoring is not None)
    faults = make_schedule(request.faults, committee, request.duration_s, seed=0)
    seeded = {f"f{index}" for index, fault in enumerate(request.faults, 1) if fault.seed is not None}
    return Side(
        protocol=request.protocol.name,
        source=_source(request),
        packages=request.protocol.packages,
        requested_tps=tuple(request.loads),
        scheduled_tps=tuple(plan.scheduled_tps for plan in plans),
        load_shape=request.load_shape,
        warm_up_s=request.warm_up_s,
        duration_s=request.duration_s,
        phases=tuple(map(str, request.phases)),
        processes=tuple(
            PlacedProcess(each.name, each.host.name, each.host.region, each.ports) for each in deployment.processes
        ),
        faults=tuple(_fault(fault, seeded) for fault in faults),
    )


def _source(request: Request) -> str:
    """Return the source; a branch or tag is resolved to a commit only before the build."""
    if request.source is None:
        return "packages of the hosts' distribution"
    if isinstance(request.source, Binaries):
        return f"binaries in {describe(request.source)}"
    return str(describe(request.source))


def _fault(fault: ScheduledFault, seeded: set[str]) -> PlannedFault:
    if fault.depends_on_leader or fault.effect is None:
        return PlannedFault(str(fault), None, "when it is injected")
    if is_random(fault.target) and fault.id.partition("-")[0] not in seeded:
        return PlannedFault(str(fault), None, "at random in each run")
    return PlannedFault(str(fault), fault.effect.nodes, "before the run")


def _overhead(folder: Path, protocol: str) -> tuple[float, int]:
    """Return the mean time beside the load of the newest stored runs of a protocol, and how many they are."""
    found: list[float] = []
    paths = sorted((path for path in folder.glob("*") if not path.is_symlink()), key=lambda path: path.name)
    for path in reversed(paths[-_RECENT:]):
        try:
            manifest = read_manifest(path)
        except UsageError:
            continue
        timings = manifest.timings_s
        if manifest.protocol == protocol and "overhead" in timings:
            found.append(timings["overhead"] + timings.get("system_start", 0.0))
    return (fmean(found), len(found)) if found else (OVERHEAD_S, 0)

"""What is fixed when a run begins, and what has happened in it since."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from benchmark.faults.record import FaultRecord
from benchmark.measure.warm_up import WarmUp
from benchmark.orchestrator.injector import Injector
from benchmark.orchestrator.live import LiveWriter
from benchmark.orchestrator.network import RunNetwork
from benchmark.orchestrator.outlook import Position
from benchmark.orchestrator.prepare import Prepared
from benchmark.orchestrator.supervisor import RUN_DIRECTORY, Clock, Supervisor
from benchmark.plan.deployment import Deployment
from benchmark.plan.request import Request
from benchmark.results.events import Events
from benchmark.results.manifest import RunTimes
from benchmark.results.run_folder import RunFolder, new_run_id
from benchmark.results.summary import Identity
from benchmark.results.verification import Agreement
from benchmark.testbed.round_trips import RoundTrips
from benchmark.testbed.testbed import Testbed


@dataclass(frozen=True)
class RunContext:
    """One load on one deployment; every phase of the run gets it."""

    testbed: Testbed
    request: Request
    deployment: Deployment
    prepared: Prepared
    events: Events
    identity: Identity
    folder: RunFolder
    position: Position
    ends: float | None
    """Estimated end of the last run of the command, unix s; null if it is unknown."""

    @classmethod
    def create(
        cls,
        testbed: Testbed,
        request: Request,
        deployment: Deployment,
        prepared: Prepared,
        events: Events,
        position: Position,
        ends: float | None,
    ) -> RunContext:
        """Name the run and create its folder, which also gets all events. Raises UsageError."""
        plan = deployment.plan
        identity = Identity(
            run_id=new_run_id(request.protocol.name, prepared.commit, len(plan.nodes), plan.load),
            protocol=request.protocol.name,
            commit=prepared.commit,
            nodes=len(plan.nodes),
            clients=len(deployment.clients),
            requested_tps=float(plan.load),
            closed_loop=request.protocol.closed_loop,
        )
        folder = RunFolder.create(request.results_dir, testbed.inventory.testbed_id, identity.run_id)
        events.observers.insert(0, folder.append_event)
        return cls(testbed, request, deployment, prepared, events, identity, folder, position, ends)

    @property
    def directory(self) -> str:
        """The run's folder on every host."""
        return f"{self.testbed.settings.working_dir}/{RUN_DIRECTORY}"


@dataclass
class RunState:
    """What has happened in a run so far; it is written also if the run fails."""

    supervisor: Supervisor | None = None
    """None until the supervisors of all hosts are open."""
    injector: Injector | None = None
    """None in runs without faults."""
    live: LiveWriter | None = None
    """None until the supervisors are open."""
    times: RunTimes | None = None
    """None until the load has begun."""
    changed_clocks: dict[str, Clock] = field(default_factory=dict)
    """The clocks that were set during the run, with the larger one of their offsets."""
    warm_up: WarmUp | None = None
    """None until the samples are collected."""
    round_trips: Future[RoundTrips] | None = None
    """Measured before the load, while the processes start."""
    network: RunNetwork | None = None
    """None until the run has ended."""
    log_notes: list[str] = field(default_factory=list)
    """What is wrong with the latency logs: warnings of the summary."""
    agreement: Agreement | None = None
    """None until the nodes were asked; also if they never are."""
    hung: Sequence[str] = ()
    """A sentence for each node that did not pass its readiness check at the end of the window."""

    @property
    def faults(self) -> list[FaultRecord]:
        """All scheduled faults, with what was observed of them so far."""
        return list(self.injector.records.values()) if self.injector else []

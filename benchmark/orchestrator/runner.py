"""Run loads on a testbed that is connected, locked and prepared once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType

from benchmark.errors import InfrastructureError, UsageError
from benchmark.faults.schedule import make_schedule
from benchmark.faults.targets import Committee
from benchmark.orchestrator.context import RunContext
from benchmark.orchestrator.latency_logs import require_measurable
from benchmark.orchestrator.outlook import Position, estimated_end
from benchmark.orchestrator.prepare import Prepared, prepare
from benchmark.orchestrator.run import execute
from benchmark.plan.deployment import Deployment, deploy, make_plan
from benchmark.plan.request import Request
from benchmark.results.events import AnnouncedLoad, Events, Observer, PlanAnnounced, Step
from benchmark.results.summary import Summary
from benchmark.testbed.expiry import check_time_left
from benchmark.testbed.facts import Facts
from benchmark.testbed.testbed import Testbed


class Runner:
    """A testbed for runs: connected and locked once, prepared for one request after the other, until it is closed.

    A failure of the infrastructure closes it; the next run opens it again. `began` is when the process began, in Unix
    seconds: the time until now counts as overhead.
    """

    def __init__(self, testbed: Testbed, observer: Observer, began: float) -> None:
        self.testbed = testbed
        self.events = Events(observer)
        self.events.phases["begin"] = time.time() - began
        self._lock = ExitStack()
        self._tunnel = ExitStack()
        self._connected = False
        self._prepared: tuple[Request, Prepared] | None = None
        self._deployments: dict[int, Deployment] = {}
        """By load, of the request that the testbed is prepared for."""
        self._just_prepared = False
        self._min_seconds_left = 0.0
        self.position = Position()
        """Of the next run among those of the command."""
        self._overheads_s: list[float] = []
        """What earlier runs took beyond their load."""

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the tunnel and release the lock."""
        self._prepared, self._connected = None, False
        try:
            self._tunnel.close()
        finally:
            self._lock.close()

    def announce(self, request: Request, runs: int) -> None:
        """Announce `runs` runs of `request`; UsageError if they are not possible, before any host is reached."""
        plans = [make_plan(self.testbed.inventory, request, load) for load in request.loads]
        require_measurable(self.testbed, request.protocol, plans[0])
        if request.faults:
            inventory = self.testbed.inventory
            deployment, monitored = deploy(inventory, request, request.loads[0]), inventory.monitoring is not None
            committee = Committee.of(deployment, request.protocol, monitored=monitored)
            make_schedule(request.faults, committee, request.duration_s, seed=0)  # every run has its own seed
        self._min_seconds_left += runs * request.load_s
        nodes, clients = plans[0].nodes, plans[0].clients
        self.events.emit(
            PlanAnnounced(
                testbed_id=self.testbed.inventory.testbed_id,
                protocol=request.protocol.name,
                nodes_by_region=Counter(host.region for host in nodes),
                clients=len(clients),
                dedicated_clients=not set(clients) & set(nodes),
                loads=tuple(AnnouncedLoad(plan.load, plan.scheduled_tps) for plan in plans),
            )
        )

    def prepare(self, request: Request) -> Prepared:
        """Prepare the testbed for `request` unless it is; raises InfrastructureError, SystemFailure, UsageError."""
        if self._prepared and self._prepared[0] is request:
            return self._prepared[1]
        if not self._connected:
            with self.events.phase("connect"):
                ends = self.testbed.make_ready(lambda text: self.events.emit(Step(text)))
                check_time_left(ends, self._min_seconds_left, datetime.now(UTC))
                self._lock.enter_context(self.testbed.lock())
            self._connected = True
        self._tunnel.close()
        self._deployments = {}
        prepared = prepare(self.testbed, request, self.events, self._tunnel)
        self._prepared, self._just_prepared = (request, prepared), True
        return prepared

    def run(self, request: Request, load: int, begin: Callable[[str], None] = lambda run_id: None) -> Summary:
        """Run one load on clean hosts; `begin` gets the run's id.

        Raises InfrastructureError, SystemFailure or Interrupted; by then the processes are stopped and what is known
        of the run is written.
        """
        try:
            prepared = self.prepare(request)
            began = time.time()
            # Every run has its phases, the first one also those before it.
            events = Events(*self.events.observers)
            events.phases, self.events.phases = self.events.phases, {}
            if not self._just_prepared:
                with events.phase("check"):
                    self.testbed.clean().raise_for_failures("could not clean up hosts:")
            self._just_prepared = False
            if load not in self._deployments:
                self._deployments[load] = deploy(self.testbed.inventory, request, load, prepared.rtt_ms)
            context = RunContext.create(
                self.testbed,
                request,
                self._deployments[load],
                prepared,
                events,
                self.position,
                estimated_end(began, request.load_s, self.position, self._overheads_s),
            )
            begin(context.identity.run_id)
            summary = execute(context)
            self._min_seconds_left -= request.load_s
            self._overheads_s.append(time.time() - began - request.load_s)
            return summary
        except InfrastructureError:
            self.close()
            raise


def require_same_commit(what: str, known: str, commit: str) -> str:
    """Return `commit`; UsageError if the earlier runs of `what` are of another one, `known`."""
    if known and known != commit:
        raise UsageError(
            f"the earlier runs of {what} are of commit {known}, now it is {commit}; begin a new "
            f"{what.partition(' ')[0]}, with the hash of a commit instead of a branch"
        )
    return commit


def require_same_hosts(what: str, known: Mapping[str, str], facts: Mapping[str, Facts]) -> dict[str, str]:
    """Return the platform of each host; UsageError if one differs from `known`, that of the earlier runs of `what`."""
    now = {name: each.platform for name, each in facts.items()}
    changed = [
        f"{name} was {known[name]}, now {now[name]}" for name in known if now.get(name, known[name]) != known[name]
    ]
    if changed:
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UsageError(
            f"the hosts differ from those of the earlier runs of {what}: {'; '.join(changed[:3])}{more}; "
            f"begin a new {what.partition(' ')[0]}"
        )
    return {**known, **now}

"""A testbed prepared for runs: connected and locked once, reused for each run."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType

from benchmark.errors import InfrastructureError, UsageError
from benchmark.orchestrator.prepare import Prepared, prepare
from benchmark.orchestrator.run import Run
from benchmark.plan.load_shape import rate_segments
from benchmark.plan.placement import place
from benchmark.plan.request import Request
from benchmark.protocols.process import Plan
from benchmark.results.events import AnnouncedLoad, Events, Observer, PlanAnnounced, Step
from benchmark.results.summary import Summary
from benchmark.testbed.expiry import check_time_left
from benchmark.testbed.testbed import Testbed

RETRIES = 2
"""How often a run is repeated whose infrastructure failed."""


def _ignore(run_id: str) -> None:
    """Take no notice of a run's beginning."""


class Bench:
    """A testbed for runs: connected and locked once, made ready for each request in turn, until it is closed.

    A failure of the infrastructure closes what is open; the next run opens it anew.
    """

    def __init__(self, testbed: Testbed, observer: Observer, began: float) -> None:
        self.testbed = testbed
        self.events = Events(observer)
        self.events.phases["begin"] = time.time() - began
        self._held = ExitStack()
        self._way = ExitStack()
        self._ready: tuple[Request, Prepared] | None = None
        self._least_s = 0.0
        self._connected = self._fresh = False

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the testbed."""
        self._ready, self._connected = None, False
        self._way.close()
        self._held.close()

    def plan(self, request: Request, load: int) -> Plan:
        """Place a run; UsageError where that cannot be done."""
        if self.testbed.inventory.monitoring is None:
            raise UsageError("the testbed has no monitoring host, so nothing can be measured; set `monitoring: true`")
        inventory, protocol = self.testbed.inventory, type(request.protocol)
        plan = place(inventory, protocol, load, request.committee, request.dedicated_clients)
        segments = rate_segments(request.load_shape, request.warm_up_s, request.duration_s)
        if segments and not protocol.load_shapes:
            raise UsageError(f"{protocol.name} supports a constant load only, found load shape {request.load_shape!r}")
        return dataclasses.replace(plan, duration_s=request.warm_up_s + request.duration_s, rate_segments=segments)

    def announce(self, request: Request, runs: int) -> None:
        """Announce what will be run, `runs` times in all; UsageError where it cannot be, before anything is touched."""
        plans = [self.plan(request, load) for load in request.loads]
        self._least_s += runs * _seconds(request)
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

    def ready(self, request: Request) -> Prepared:
        """Make the testbed ready for runs of `request`, unless it is; raises InfrastructureError, SystemFailure."""
        if self._ready and self._ready[0] is request:
            return self._ready[1]
        if not self._connected:
            with self.events.phase("connect"):
                ends = self.testbed.make_ready(lambda text: self.events.emit(Step(text)))
                check_time_left(ends, self._least_s, datetime.now(UTC))
                self._held.enter_context(self.testbed.lock())
            self._connected = True
        self._way.close()
        most = self.plan(request, max(request.loads))
        prepared = prepare(self.testbed, request, most, self.events, self._way)
        self._ready, self._fresh = (request, prepared), True
        return prepared

    def run(self, request: Request, load: int, begin: Callable[[str], None] = _ignore) -> Summary:
        """Run one load from a clean state; `begin` is told the run's id.

        Raises InfrastructureError, SystemFailure or Interrupted; by then everything that was started has been stopped
        and what is known of the run has been written.
        """
        try:
            prepared = self.ready(request)
            # Every run's own phases, after those that were done once for all.
            own = Events(*self.events.observers)
            own.phases, self.events.phases = self.events.phases, {}
            if not self._fresh:
                with own.phase("check"):
                    self.testbed.probe(clean=True)
            self._fresh = False
            plan = dataclasses.replace(self.plan(request, load), rtt_ms=prepared.rtt_ms)
            run = Run(self.testbed, request, plan, prepared, own)
            begin(run.identity.run_id)
            summary = run.execute()
            self._least_s -= _seconds(request)
            return summary
        except InfrastructureError:
            self.close()
            raise


def _seconds(request: Request) -> float:
    """How long one run takes at least."""
    return request.warm_up_s + request.duration_s


def same_commit(what: str, known: str, commit: str) -> str:
    """Return `commit`, of which `what` is; UsageError if the runs so far were of another one, `known`."""
    if known and known != commit:
        new = f"begin a new {what.partition(' ')[0]}"
        raise UsageError(
            f"the runs of {what} so far are of commit {known}, now it is {commit}; give the commit's hash, or {new}"
        )
    return commit

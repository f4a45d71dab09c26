"""The runs of one command, one after the other on a testbed that is held throughout."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType

from benchmark.errors import InfrastructureError, LockedError, SystemFailure, UsageError
from benchmark.events import Events, Observer
from benchmark.journal import Attempt, Slot, SweepFolder
from benchmark.lifetime import check_time_left
from benchmark.load_profile import load_profile
from benchmark.placement import place
from benchmark.prepare import Prepared, prepare
from benchmark.protocols import Plan
from benchmark.request import Request
from benchmark.run import Run
from benchmark.summary import Summary
from benchmark.testbed import Testbed

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
        profile = load_profile(request.profile, request.warm_up_s, request.duration_s)
        if profile and not protocol.profiles:
            raise UsageError(f"{protocol.name} makes a constant load only, found profile {request.profile!r}")
        return dataclasses.replace(plan, duration_s=request.warm_up_s + request.duration_s, profile=profile)

    def announce(self, request: Request, runs: int) -> None:
        """Tell what will be run, `runs` times in all; UsageError where it cannot be, before anything is touched."""
        plans = [self.plan(request, load) for load in request.loads]
        testbed_id = self.testbed.inventory.testbed_id
        self._least_s += runs * _seconds(request)
        self.events.tell("plan", plans=plans, testbed=testbed_id, protocol=request.protocol.name)

    def ready(self, request: Request) -> Prepared:
        """Make the testbed ready for runs of `request`, unless it is; raises InfrastructureError, SystemFailure."""
        if self._ready and self._ready[0] is request:
            return self._ready[1]
        if not self._connected:
            with self.events.phase("connect"):
                ends = self.testbed.make_ready(lambda text: self.events.tell("step", text=text))
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


def run_benchmark(testbed: Testbed, request: Request, observer: Observer, began: float) -> list[Summary]:
    """Run every load and return the summaries, in order; `began` is when the process did, in Unix seconds.

    The first failure ends it: UsageError before anything is touched, InfrastructureError, SystemFailure or
    Interrupted later.
    """
    with Bench(testbed, observer, began) as bench:
        bench.announce(request, len(request.loads))
        return [bench.run(request, load) for load in request.loads]


def run_sweep(
    testbed: Testbed,
    requests: Mapping[str, Request],
    folder: SweepFolder,
    observer: Observer,
    began: float,
    retries: int = RETRIES,
) -> None:
    """Do the runs of a sweep that are not done yet; `requests` are by arm, `folder` keeps what came of each.

    A system that fails is recorded, and the next run begins. A failure of the infrastructure is repeated, `retries`
    times at most: then it is raised, as is everything else.
    """
    folder.settle()
    with Bench(testbed, observer, began) as bench:
        slots = folder.journal.slots
        for arm, request in requests.items():
            bench.announce(request, sum(slot.arm == arm and not slot.done for slot in slots))
        for number, slot in enumerate(slots, 1):
            if slot.done:
                continue
            bench.events.tell("step", text=f"run {number} of {len(slots)}: {slot}")
            _fill(bench, requests[slot.arm], slot, folder, retries)


def _fill(bench: Bench, request: Request, slot: Slot, folder: SweepFolder, retries: int) -> None:
    """Try a run until it has a result or its failure is not the infrastructure's."""
    for left in range(retries, -1, -1):
        before = len(slot.attempts)
        try:
            _know_commit(folder, slot.arm, bench.ready(request).commit)
            summary = bench.run(request, slot.load, lambda run_id: _begin(folder, slot, run_id))
            folder.end(slot.attempts[-1], summary)
            return
        except LockedError:
            raise
        except SystemFailure as error:
            folder.fail(slot, _tried(slot, before), error)
            bench.events.tell("warning", text=f"{slot}: the system failed, which is a result: {error}")
            return
        except InfrastructureError as error:
            bench.close()
            folder.fail(slot, _tried(slot, before), error)
            if not left:
                journal = folder.journal
                again = f"`python -m benchmark {journal.command} --resume {journal.sweep_id}` goes on from here"
                raise InfrastructureError(
                    f"{slot}: failed {retries + 1} times, {again}; the last time: {error}"
                ) from None
            bench.events.tell("warning", text=f"{slot}: the infrastructure failed, repeating it: {error}")
        except BaseException as error:
            folder.fail(slot, _tried(slot, before), error)
            raise


def _begin(folder: SweepFolder, slot: Slot, run_id: str) -> None:
    folder.begin(slot, run_id)


def _tried(slot: Slot, before: int) -> Attempt | None:
    """Return the attempt that was begun since there were `before` of them."""
    return slot.attempts[-1] if len(slot.attempts) > before else None


def _know_commit(folder: SweepFolder, arm: str, commit: str) -> None:
    """Record the commit of an arm, which must stay the same."""
    known = folder.journal.commits.get(arm, "")
    folder.journal.commits[arm] = same_commit(f"sweep {folder.journal.sweep_id}", known, commit)


def same_commit(what: str, known: str, commit: str) -> str:
    """Return `commit`, of which `what` is; UsageError if the runs so far were of another one, `known`."""
    if known and known != commit:
        new = f"begin a new {what.partition(' ')[0]}"
        raise UsageError(
            f"the runs of {what} so far are of commit {known}, now it is {commit}; give the commit's hash, or {new}"
        )
    return commit

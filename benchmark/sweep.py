"""The runs of one command, one after the other on a testbed that is held throughout."""

from __future__ import annotations

import dataclasses
import time
from contextlib import ExitStack

from benchmark.errors import UsageError
from benchmark.events import Observer, Timeline
from benchmark.load_profile import load_profile
from benchmark.placement import place
from benchmark.prepare import prepare
from benchmark.protocols import Plan
from benchmark.request import Request
from benchmark.run import Run
from benchmark.summary import Summary
from benchmark.testbed import Testbed


def run_benchmark(testbed: Testbed, request: Request, observer: Observer, began: float) -> list[Summary]:
    """Run every load and return the summaries, in order; `began` is when the process did, in Unix seconds.

    Raises UsageError before anything is touched, InfrastructureError, SystemFailure or Interrupted later; by then
    everything that was started has been stopped and what is known of the run has been written.
    """
    timeline = Timeline(observer)
    timeline.phases["begin"] = time.time() - began
    plans = [_plan(testbed, request, load) for load in request.loads]
    timeline.tell("plan", plans=plans, testbed=testbed.inventory.testbed_id, protocol=request.protocol.name)
    with ExitStack() as stack:
        with timeline.phase("connect"):
            testbed.connect()
            stack.enter_context(testbed.lock())
        prepared = prepare(testbed, request, max(plans, key=lambda plan: plan.load), timeline, stack)
        summaries: list[Summary] = []
        for index, plan in enumerate(plans * request.repeat):
            measured = dataclasses.replace(plan, rtt_ms=prepared.rtt_ms)
            # Every run's own phases, after those that were done once for all.
            own = Timeline(*timeline.observers)
            own.phases = dict(timeline.phases) if index == 0 else {}
            if index > 0:
                with own.phase("check"):
                    testbed.probe(clean=True)
            summaries.append(Run(testbed, request, measured, prepared, own).execute())
    return summaries


def _plan(testbed: Testbed, request: Request, load: int) -> Plan:
    if testbed.inventory.monitoring is None:
        raise UsageError("the testbed has no monitoring host, so nothing can be measured; set `monitoring: true`")
    protocol = type(request.protocol)
    plan = place(testbed.inventory, protocol, load, request.committee, request.dedicated_clients)
    profile = load_profile(request.profile, request.warm_up_s, request.duration_s)
    if profile and not protocol.profiles:
        raise UsageError(f"{protocol.name} makes a constant load only, found profile {request.profile!r}")
    return dataclasses.replace(plan, duration_s=request.warm_up_s + request.duration_s, profile=profile)

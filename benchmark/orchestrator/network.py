"""Measure the round trips that a run had, before its load and after its end, while other work goes on."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from benchmark.inventory import EmulatedRoundTrip
from benchmark.protocols.process import Plan
from benchmark.results.manifest import RoundTripRecord
from benchmark.testbed.round_trips import RoundTrips, changes, deviations
from benchmark.testbed.testbed import Testbed


@dataclass(frozen=True)
class RunNetwork:
    """The round trips of a run, and what was requested of an emulated network."""

    requested: Mapping[str, EmulatedRoundTrip]
    before: RoundTrips
    after: RoundTrips

    def records(self) -> dict[str, RoundTripRecord]:
        """Return what the manifest records, by `FROM/TO`."""
        before, after = self.before.shortest_ms(), self.after.shortest_ms()
        return {
            "/".join(pair): RoundTripRecord(before_ms=before.get(pair), after_ms=after.get(pair))
            for pair in sorted({*before, *after})
        }

    def reasons(self) -> list[str]:
        """Return why the run is invalid: the emulated network was not the requested one."""
        before = deviations(self.requested, self.before.shortest_ms())
        after = deviations(self.requested, self.after.shortest_ms())
        found = [f"before the load, {text}" for text in before.values()]
        return found + [f"after the run, {text}" for pair, text in after.items() if pair not in before]

    def warnings(self) -> list[str]:
        """Return what changed, and what is unknown."""
        before, after = self.before.shortest_ms(), self.after.shortest_ms()
        found = changes(self.requested, before, after)
        for when, measured, other in (("before", before, self.after), ("after", after, self.before)):
            lost = [f"{source} to {target}" for source, target in other.samples if (source, target) not in measured]
            if lost:
                more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
                found.append(f"round trips {when} the run are unknown from {', '.join(lost[:3])}{more}")
        failed = {**self.before.failed, **self.after.failed}
        return found + [f"{host} could not measure round trips: {reason}" for host, reason in failed.items()]


def begin(testbed: Testbed, plan: Plan) -> Future[RoundTrips]:
    """Begin to measure the round trips between the hosts of a run."""
    hosts = list({host.name: host for host in (*plan.nodes, *plan.clients)}.values())
    pool = ThreadPoolExecutor(1, thread_name_prefix="round-trips")
    try:
        return pool.submit(testbed.round_trips, hosts)
    finally:
        pool.shutdown(wait=False)


def result(measuring: Future[RoundTrips] | None) -> RoundTrips:
    """Wait for a measurement; empty if it never began."""
    return measuring.result() if measuring else RoundTrips()

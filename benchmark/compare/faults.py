"""Summarise outages and recoveries over several faults: a distribution, as a maximum depends on their number."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmark.model import Finite, StrictModel
from benchmark.results.summary import Summary


class Spread(StrictModel):
    """A time over several faults; null if it is unknown for all of them."""

    median_s: Finite | None
    least_s: Finite | None
    most_s: Finite | None
    values_s: list[Finite]
    """Those that are known, by run and time."""
    unknown: int
    """Number of faults for which it is unknown, such as those from which the system did not recover."""


class FaultSpread(StrictModel):
    """The faults of one kind and target in all runs of one load."""

    fault: str
    """Kind and target, such as `crash:leader`."""
    outage_s: Spread
    """Time without any success."""
    recovery_s: Spread


class ComparedFault(StrictModel):
    """The faults of one kind and target at one load, without a test for significance."""

    requested_tps: Finite
    a: FaultSpread
    b: FaultSpread


def fault_spreads(summaries: Sequence[Summary]) -> list[FaultSpread]:
    """Return the outages and recoveries of each kind and target of fault, over all runs."""
    found = [fault for summary in summaries for fault in summary.faults]
    spreads = []
    for name in dict.fromkeys(f"{fault.kind}:{fault.target}" for fault in found):
        same = [fault for fault in found if f"{fault.kind}:{fault.target}" == name]
        spreads.append(
            FaultSpread(
                fault=name,
                outage_s=_spread([fault.outage_s for fault in same]),
                recovery_s=_spread([fault.recovery_s for fault in same]),
            )
        )
    return spreads


def compare_faults(a: Sequence[Summary], b: Sequence[Summary], loads: Sequence[float]) -> list[ComparedFault]:
    """Return the faults that both A and B had at each load."""
    compared = []
    for load in loads:
        sides = [
            {each.fault: each for each in fault_spreads([run for run in runs if run.requested_tps == load])}
            for runs in (a, b)
        ]
        compared += [
            ComparedFault(requested_tps=load, a=found, b=sides[1][name])
            for name, found in sides[0].items()
            if name in sides[1]
        ]
    return compared


def _spread(values: Sequence[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    return Spread(
        median_s=median(known) if known else None,
        least_s=min(known, default=None),
        most_s=max(known, default=None),
        values_s=known,
        unknown=len(values) - len(known),
    )

"""Summarise what several faults did: a distribution, as a maximum depends on their number."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.compare.sides import in_both
from benchmark.measure.fault_impact import FaultImpact, RegionImpact
from benchmark.measure.window_stats import median_of
from benchmark.model import Finite, StrictModel
from benchmark.results.summary import Summary


class Spread(StrictModel):
    """A figure over several faults, in its own unit; null if it is unknown for all of them."""

    median: Finite | None
    least: Finite | None
    most: Finite | None
    values: list[Finite]
    """Those that are known, by run and time."""
    unknown: int
    """Number of faults for which it is unknown, such as those from which the system did not recover."""


class RegionSpread(StrictModel):
    """What the clients of one region saw."""

    outage_s: Spread
    """Time without any success."""
    recovery_s: Spread
    availability: Spread


class FaultSpread(RegionSpread):
    """The faults of one kind and target in all runs of one load."""

    fault: str
    """Kind and target, such as `crash:leader`."""
    catch_up_s: Spread
    """Until the last of its nodes had caught up; without values where that is not measured."""
    late: Spread
    lost: Spread
    regions: dict[str, RegionSpread] = {}
    """By region of the clients; empty if all are in one."""


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
        regions = dict.fromkeys(region for fault in same for region in fault.regions)
        spreads.append(
            FaultSpread(
                fault=name,
                **_common(same),
                catch_up_s=_spread([fault.slowest_catch_up_s for fault in same if fault.catch_up_s]),
                late=_spread([fault.late for fault in same]),
                lost=_spread([fault.lost for fault in same]),
                regions={
                    region: RegionSpread(**_common([each.regions[region] for each in same if region in each.regions]))
                    for region in regions
                },
            )
        )
    return spreads


def _common(impacts: Sequence[FaultImpact] | Sequence[RegionImpact]) -> dict[str, Spread]:
    return {
        "outage_s": _spread([each.outage_s for each in impacts]),
        "recovery_s": _spread([each.recovery_s for each in impacts]),
        "availability": _spread([each.availability for each in impacts]),
    }


def compare_faults(a: Sequence[Summary], b: Sequence[Summary], loads: Sequence[float]) -> list[ComparedFault]:
    """Return the faults that both A and B had at each load."""

    def by_name(runs: Sequence[Summary]) -> dict[str, FaultSpread]:
        return {each.fault: each for each in fault_spreads(runs)}

    pairs = in_both(a, b, loads, by_name)
    return [ComparedFault(requested_tps=load, a=of_a, b=of_b) for load, _, of_a, of_b in pairs]


def _spread(values: Sequence[float | None]) -> Spread:
    known = [value for value in values if value is not None]
    return Spread(
        median=median_of(known),
        least=min(known, default=None),
        most=max(known, default=None),
        values=known,
        unknown=len(values) - len(known),
    )

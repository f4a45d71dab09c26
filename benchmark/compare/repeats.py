"""Summarise the runs of one load: medians with intervals over the repeats, outliers named, failures counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmark.compare.faults import FaultSpread, fault_spreads
from benchmark.compare.phases import PhaseMedians, phase_medians
from benchmark.compare.statistics import Interval, median_interval, outliers
from benchmark.measure.run_metrics import COMPARED
from benchmark.model import Finite, StrictModel
from benchmark.results.summary import Summary


class Repeated(StrictModel):
    """One metric over the repeats of a load."""

    median: Interval
    values: list[Finite]
    """Of each run, in the order of `LoadSummary.run_ids`."""
    outliers: list[str]
    """Ids of the runs whose value is far from the others; they count like every other run."""
    at_least: int = 0
    """How many of the values are only known to be higher."""

    @property
    def prefix(self) -> str:
        """What to write before the median: `> ` where it is only known to be higher."""
        return "> " if 2 * self.at_least >= len(self.values) else ""


class LoadSummary(StrictModel):
    """All runs of one load."""

    requested_tps: Finite
    run_ids: list[str]
    """The runs that count: those with status `ok`."""
    failed: int | None = None
    """Requests that failed in the runs that count; null if one of them does not know."""
    set_aside: dict[str, str]
    """Why other runs do not count, by their id."""
    saturated: int
    """How many of the runs that count completed less than was scheduled."""
    metrics: dict[str, Repeated]
    """By the metric's name; without those that a run has no value of."""
    phases: list[PhaseMedians] = []
    """Phases of the runs that count."""
    faults: list[FaultSpread] = []
    """Outages and recoveries of the faults in the runs that count."""


def over_repeats(summaries: Sequence[Summary], confidence: float = 0.95) -> list[LoadSummary]:
    """Summarise runs by their load, ascending; runs of one load must differ in nothing but chance."""
    result = []
    for load in sorted({summary.requested_tps for summary in summaries}):
        runs = [summary for summary in summaries if summary.requested_tps == load]
        counted = [summary for summary in runs if summary.status == "ok"]
        run_ids = [summary.run_id for summary in counted]
        metrics = {}
        for metric in COMPARED:
            values = [value for summary in counted if (value := metric.of(summary)) is not None]
            if values and len(values) == len(counted):
                far = [run_ids[index] for index in outliers(values)]
                median, higher = median_interval(values, confidence), sum(metric.exceeds(each) for each in counted)
                metrics[metric.name] = Repeated(median=median, values=values, outliers=far, at_least=higher)
        result.append(
            LoadSummary(
                requested_tps=load,
                run_ids=run_ids,
                failed=_sum(summary.failed for summary in counted),
                set_aside={each.run_id: why_not_counted(each) for each in runs if each.status != "ok"},
                saturated=sum(summary.saturated for summary in counted),
                metrics=metrics,
                phases=phase_medians(counted),
                faults=fault_spreads(counted),
            )
        )
    return result


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count or 0 for count in known)


def why_not_counted(summary: Summary) -> str:
    """Return the status of a run that is not `ok`, with the reasons."""
    kind = f" ({summary.failure})" if summary.failure else ""
    return f"{summary.status}{kind}: {'; '.join(summary.reasons)}"

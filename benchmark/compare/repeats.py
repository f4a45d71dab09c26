"""The runs of one load together: medians with intervals over the repeats, outliers named, failures counted."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from benchmark.compare.statistics import Interval, median_interval, outliers
from benchmark.measure.run_metrics import COMPARED, Metric
from benchmark.results.summary import Summary


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Repeated(_Model):
    """One figure over the repeats of a load."""

    median: Interval
    values: list[float]
    """Of each run, in the order of `LoadSummary.run_ids`."""
    outliers: list[str]
    """Ids of the runs whose value lies far from the others; they count like every other run."""


class LoadSummary(_Model):
    """All runs of one load."""

    requested_tps: float
    run_ids: list[str]
    """The runs that count: those with status `ok`."""
    set_aside: dict[str, str]
    """Why other runs do not count, by their id."""
    saturated: int
    """How many of the runs that count completed less than was offered."""
    figures: dict[str, Repeated]
    """By the figure's name; empty where no run counts."""


def over_repeats(summaries: Sequence[Summary], confidence: float = 0.95) -> list[LoadSummary]:
    """Sum up runs by their load, ascending; runs of one load must differ in nothing but chance."""
    loads = sorted({summary.requested_tps for summary in summaries})
    return [_one_load(load, [each for each in summaries if each.requested_tps == load], confidence) for load in loads]


def _one_load(load: float, summaries: Sequence[Summary], confidence: float) -> LoadSummary:
    counted = [summary for summary in summaries if summary.status == "ok"]
    return LoadSummary(
        requested_tps=load,
        run_ids=[summary.run_id for summary in counted],
        set_aside={each.run_id: _why(each) for each in summaries if each.status != "ok"},
        saturated=sum(summary.saturated for summary in counted),
        figures={metric.name: made for metric in COMPARED if (made := _repeated(metric, counted, confidence))},
    )


def _repeated(metric: Metric, counted: Sequence[Summary], confidence: float) -> Repeated | None:
    values = {summary.run_id: value for summary in counted if (value := metric.of(summary)) is not None}
    if not values or len(values) < len(counted):
        return None
    far = outliers(list(values.values()))
    return Repeated(
        median=median_interval(list(values.values()), confidence),
        values=list(values.values()),
        outliers=[list(values)[index] for index in far],
    )


def _why(summary: Summary) -> str:
    kind = f" ({summary.failure})" if summary.failure else ""
    return f"{summary.status}{kind}: {'; '.join(summary.reasons)}"

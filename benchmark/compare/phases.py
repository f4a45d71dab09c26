"""Summarise the phases of several runs, and compare those of two variants, without a test for significance."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.compare.sides import in_both
from benchmark.measure.run_metrics import COMPARED
from benchmark.measure.window_stats import WindowStats, median_of
from benchmark.model import Finite, StrictModel
from benchmark.results.summary import Summary


class PhaseMedians(StrictModel):
    """One phase over the runs of a load: medians, null where unknown in any of them."""

    phase: str
    """Its label."""
    metrics: dict[str, Finite | None]
    """By the metric's name, and `failed`: failed transactions."""
    values: dict[str, list[Finite | None]]
    """Of each run, in their order."""


class ComparedPhase(StrictModel):
    """The same phase of two variants at one load."""

    requested_tps: Finite
    a: PhaseMedians
    b: PhaseMedians


def phase_medians(summaries: Sequence[Summary]) -> list[PhaseMedians]:
    """Return the medians of each phase that all runs have."""
    found = []
    for label in [phase.label for phase in summaries[0].phases] if summaries else []:
        parts = [[phase.stats for phase in summary.phases if phase.label == label] for summary in summaries]
        if all(parts):
            stats = [part[0] for part in parts]
            values = {metric.name: [metric.of(each) if each else None for each in stats] for metric in COMPARED}
            values["failed"] = [_failed(each) for each in stats]
            medians = {name: median_of(each) for name, each in values.items()}
            found.append(PhaseMedians(phase=label, metrics=medians, values=values))
    return found


def compare_phases(a: Sequence[Summary], b: Sequence[Summary], loads: Sequence[float]) -> list[ComparedPhase]:
    """Return the phases that all runs of A and B have, at each load."""

    def by_name(runs: Sequence[Summary]) -> dict[str, PhaseMedians]:
        return {each.phase: each for each in phase_medians(runs)}

    pairs = in_both(a, b, loads, by_name)
    return [ComparedPhase(requested_tps=load, a=of_a, b=of_b) for load, _, of_a, of_b in pairs]


def _failed(stats: WindowStats | None) -> float | None:
    return None if stats is None or stats.failed is None else float(stats.failed)

"""What captions of a paper state beside what is shown: n, intervals, the window, and limits of the values."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.measure.run_metrics import COMPARED
from benchmark.report.paper_experiment import Experiment, confidence, listed, percent, span, window_of


def context_of(experiment: Experiment, name: str) -> str:
    """Return what a caption has to state: the sides, n, the intervals of this figure or table, and the window."""
    sides = ", ".join(side for side in experiment.sides if side)
    parts = [_number(experiment), _intervals(experiment, name), window_of(experiment), *_lower_bounds(experiment, name)]
    return f"{f'{sides}. ' if sides else ''}{'; '.join(part for part in parts if part)}."


def _number(experiment: Experiment) -> str:
    if experiment.curves is None:
        return "n = 1 run"
    numbers = sorted({len(load.run_ids) for loads in experiment.curves.values() for load in loads if load.run_ids})
    return f"n = {span(numbers, str)} {'run' if numbers == [1] else 'runs'} per load"


def _intervals(experiment: Experiment, name: str) -> str:
    """Return the confidence of the intervals that a figure or table shows; empty if it is not of that kind."""
    if name == "results":
        known = experiment.precision.completed_tps is not None or experiment.precision.mean_s is not None
        within = "95\N{NO-BREAK SPACE}% confidence intervals within the run by batch means"
        return within if known else "too short for confidence intervals"
    if name in ("differences", "compared") and experiment.compared:
        metrics = experiment.compared.metrics
        tested = [at.comparison.relative for metric in metrics for at in metric.loads if at.comparison.relative]
        reached = {each.confidence for each in (*tested, *(metric.relative for metric in metrics))}
        return percent(reached) if reached else ""
    if name in ("curve", "loads") and experiment.curves is not None:
        return confidence(experiment.curves) or "no confidence intervals"
    return ""


def _lower_bounds(experiment: Experiment, name: str) -> Iterator[str]:
    """Yield which quantiles of medians exceed the largest bucket of their histogram, so that more is not known."""
    if experiment.curves is None or name not in ("curve", "loads", "differences", "compared"):
        return
    for metric in COMPARED:
        loads = {
            run.summary.requested_tps
            for run in experiment.runs
            if run.summary.latency_s
            and (quantile := run.summary.latency_s.quantiles.get(metric.key))
            and quantile.upper is None
        }
        if loads:
            where = listed([f"{load:g}" for load in sorted(loads)])
            yield f"{metric.short} at {where} tx/s is a lower bound, beyond the largest bucket of the histogram"

"""The tables of a sweep and of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmark.compare.comparison import AtLoad, Compared, FigureComparison
from benchmark.compare.repeats import LoadSummary, Repeated
from benchmark.compare.statistics import Interval
from benchmark.measure.run_metrics import COMPARED
from benchmark.report import format as words
from benchmark.report.sweep_charts import Curves
from benchmark.report.tables import Cell, Table
from benchmark.results.sweep import Attempt, SweepFolder

_WRITTEN: Mapping[str, Callable[[float | None], str]] = {"tx/s": words.rate, "s": words.duration}


def loads_table(curves: Curves) -> Table:
    """Return the medians of each load."""
    columns = (["side"] if len(curves) > 1 else []) + [
        "load tx/s",
        "runs",
        *(metric.label for metric in COMPARED),
        "notes",
    ]
    rows = []
    for side, loads in curves.items():
        for load in loads:
            head = [Cell(side)] if len(curves) > 1 else []
            figures = [_median_cell(load.figures.get(metric.name), _WRITTEN[metric.unit]) for metric in COMPARED]
            rows.append([*head, Cell(f"{load.requested_tps:g}"), Cell(str(len(load.run_ids))), *figures, _notes(load)])
    return Table("loads", "By load: medians over the repeats, with their confidence intervals", columns, rows)


def _median_cell(repeated: Repeated | None, written: Callable[[float | None], str]) -> Cell:
    if repeated is None:
        return Cell(words.NONE)
    median = repeated.median
    if median.lower is None:
        return Cell(written(median.estimate), "one run")
    detail = f"{written(median.lower)} to {written(median.upper)}"
    return Cell(written(median.estimate), f"{detail}, {median.confidence * 100:.3g} %")


def _notes(load: LoadSummary) -> Cell:
    notes = [f"{load.saturated} saturated"] if load.saturated else []
    notes += [f"{len(load.set_aside)} set aside"] if load.set_aside else []
    far = {run for repeated in load.figures.values() for run in repeated.outliers}
    notes += [f"{len(far)} outlier{'s' if len(far) > 1 else ''}: {', '.join(sorted(far))}"] if far else []
    return Cell("; ".join(notes) or words.NONE)


def compared_table(compared: Compared) -> Table:
    """Return every difference that was looked at."""
    columns = ("figure", "load tx/s", "A", "B", "B against A", "p", "p adjusted", "difference")
    rows = []
    for figure in compared.figures:
        rows.append(
            [
                Cell(figure.label),
                Cell("all"),
                Cell(""),
                Cell(""),
                _relative(figure.relative),
                *_tested(figure.p_value, figure),
            ]
        )
        for at in figure.loads:
            found = at.comparison
            medians = [Cell(_WRITTEN[figure.unit](side.estimate)) for side in (found.a, found.b)]
            load, change = Cell(f"{at.requested_tps:g}"), _relative(found.relative)
            rows.append([Cell(figure.label), load, *medians, change, *_tested(found.p_value, at)])
    caption = "B against A, over all loads and at each; p is adjusted for all that was looked at (Holm)"
    return Table("compared", caption, columns, rows)


def _tested(p_value: float, found: FigureComparison | AtLoad) -> list[Cell]:
    return [Cell(f"{p_value:.2g}"), Cell(f"{found.p_adjusted:.2g}"), Cell("shown" if found.shown else "not shown")]


def _relative(interval: Interval | None) -> Cell:
    if interval is None:
        return Cell(words.NONE)
    known = interval.lower is not None and interval.upper is not None
    return Cell(f"{interval.estimate:+.1%}", f"{interval.lower:+.1%} to {interval.upper:+.1%}" if known else "")


def attempts_table(sweep: SweepFolder) -> Table:
    """Return every run that was tried, in the order they ran, those repeated too, with who led."""
    rows = []
    for slot in sweep.journal.slots:
        for number, attempt in enumerate(slot.attempts, 1):
            again = f"try {number}" if len(slot.attempts) > 1 else ""
            rows.append([Cell(str(slot), again), *_attempt_cells(sweep, attempt)])
        if not slot.attempts:
            rows.append([Cell(str(slot)), Cell("not run yet"), Cell(words.NONE), Cell(words.NONE), Cell(words.NONE)])
    columns = ("run", "id", "outcome", "mean latency", "leader")
    return Table("attempts", "Every run, in the order they ran", columns, rows, prose=True)


def _attempt_cells(sweep: SweepFolder, attempt: Attempt) -> list[Cell]:
    outcome = attempt.outcome + (f" ({attempt.failure})" if attempt.failure else "")
    mark = "" if attempt.outcome == "ok" else "bad"
    summary = sweep.summary(attempt.run_id)
    latency = summary.latency_s if summary else None
    mean, leader = words.duration(latency.mean if latency else None), (summary.leader if summary else None)
    return [_linked(attempt.run_id), Cell(outcome, attempt.reason, mark=mark), Cell(mean), Cell(leader or words.NONE)]


def _linked(run_id: str | None) -> Cell:
    """Return a run's id as a link to its report, which lies beside the sweep's folder."""
    return Cell(run_id, link=f"../{run_id}/report.html") if run_id else Cell("no run")

"""The table of a search's steps."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.report import format as words
from benchmark.report.search_charts import COLUMNS, point_row
from benchmark.report.search_record import SearchRecord
from benchmark.report.tables import Cell, Table
from benchmark.results.search import Taken
from benchmark.results.summary import Summary


def steps_table(record: SearchRecord) -> Table:
    """Return every step and every run of it, in the order they ran."""
    rows = []
    for number, step in enumerate(record.search.steps, 1):
        for index, run_id in enumerate(step.run_ids, 1):
            again = f"try {index}" if len(step.run_ids) > 1 else ""
            rows.append([Cell(str(number), again), Cell(str(step.requested_tps)), *_run_cells(record, step, run_id)])
    columns = ("step", "load tx/s", "limits", "completed tx/s", "p99 latency", "run")
    unrounded = [point_row(point) for point in record.points]
    return Table("steps", "Every step, in the order they were taken", columns, rows, (COLUMNS, unrounded))


def _run_cells(record: SearchRecord, step: Taken, run_id: str) -> list[Cell]:
    run = record.runs.get(run_id)
    link = Cell(run_id, link=f"../{run_id}/report.html" if run else "")
    if step.met is None or run_id != step.run_ids[-1]:
        why = run.status if run else "killed"
        return [Cell("does not count", why, mark="bad"), Cell(words.NONE), Cell(words.NONE), link]
    missed = record.missed(step)
    verdict = Cell("met") if step.met else Cell("not met", ", ".join(missed), mark="bad")
    return [verdict, *_figure_cells(record.counted(step), missed), link]


def _figure_cells(run: Summary | None, missed: Sequence[str]) -> list[Cell]:
    if run is None or run.completed_tps is None or run.latency_s is None:
        return [Cell(words.NONE), Cell(words.NONE)]
    p99, share = run.latency_s.p99, words.tenths(run.completed_tps / run.requested_tps)
    few, slow = ("bad" if name in missed else "" for name in ("throughput", "p99"))
    return [
        Cell(words.rate(run.completed_tps), share, mark=few),
        Cell(words.duration(p99.estimate), words.bounds(p99), mark=slow),
    ]

"""Render the reports of sweeps and comparisons."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmark.compare.comparison import Compared, Variant, compare_variants, variant_of
from benchmark.compare.repeats import over_repeats
from benchmark.compare.statistics import Interval
from benchmark.report import formatting
from benchmark.report.chart import Chart
from benchmark.report.difference_chart import difference_chart
from benchmark.report.page import render
from benchmark.report.sweep_charts import Curves, achieved_chart, curve_chart
from benchmark.report.sweep_tables import (
    attempts_table,
    compared_table,
    faults_table,
    loads_table,
    parts_table,
    phases_table,
)
from benchmark.report.tables import Table
from benchmark.results.manifest import read_manifest
from benchmark.results.summary import Summary
from benchmark.results.sweep import SweepFolder
from benchmark.settings import redact

_FIGURE = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w.-]*\w-)")
"""A number in a warning that is no part of a name, such as that of a host."""


@dataclass(frozen=True)
class SweepRecord:
    """A sweep, or the two sides of a comparison; the report is written to `folder`."""

    title: str
    folder: Path
    sides: Mapping[str, Variant]
    compared: Compared | None
    facts: Sequence[tuple[str, str]]
    command: str
    attempts: Table | None = None

    @cached_property
    def curves(self) -> Curves:
        """The statistics per load of each side."""
        return {side.named(name): over_repeats(side.summaries) for name, side in self.sides.items()}

    @property
    def charts(self) -> list[Chart]:
        """The charts that the data of these runs allow."""
        made = [
            difference_chart(self.compared) if self.compared else None,
            curve_chart(self.curves),
            achieved_chart(self.curves),
        ]
        return [chart for chart in made if chart is not None]

    @property
    def tables(self) -> list[Table]:
        """The tables that the data of these runs allow."""
        made = [
            compared_table(self.compared) if self.compared else None,
            parts_table(self.compared) if self.compared else None,
            loads_table(self.curves),
            phases_table(self.curves),
            faults_table(self.curves),
            self.attempts,
        ]
        return [table for table in made if table is not None]


def read_sweep_record(folder: Path) -> SweepRecord:
    """Read a sweep or a comparison run by one command; UsageError if `folder` holds none."""
    sweep = SweepFolder.read(folder)
    arms = sweep.journal.arms
    sides = {arm.upper(): variant_of(sweep, arm) for arm in arms} if len(arms) > 1 else {"": variant_of(sweep)}
    measured = all(any(run.status == "ok" for run in side.summaries) for side in sides.values())
    compared = (
        compare_variants(sides["A"], sides["B"], interleaved=True) if set(sides) == {"A", "B"} and measured else None
    )
    return SweepRecord(
        title=f"{'Comparison' if len(arms) > 1 else 'Sweep'} of {systems(_runs(sides))}",
        folder=folder,
        sides=sides,
        compared=compared,
        facts=[*_sweep_facts(sweep), *((name, side.title) for name, side in sides.items() if name and side.title)],
        command=first_command(side.folder / run.run_id for side in sides.values() for run in side.summaries),
        attempts=attempts_table(sweep),
    )


def comparison(a: Variant, b: Variant) -> SweepRecord:
    """Compare two runs or sweeps; UsageError if they have no load in common."""
    sides = {"A": a, "B": b}
    return SweepRecord(
        title=f"Comparison of {systems(_runs(sides))}",
        folder=a.folder,
        sides=sides,
        compared=compare_variants(a, b),
        facts=[(name, f"{side.name}{f', {side.title}' if side.title else ''}") for name, side in sides.items()],
        command=f"geobench compare {shlex.join([a.name, b.name])}",
    )


def sweep_page(record: SweepRecord) -> str:
    """Return the report of a sweep or a comparison: HTML that needs no other file."""
    runs = _runs(record.sides)
    context = {
        "title": record.title,
        "record": record,
        "compared": record.compared,
        "claims": _claims(record.curves),
        "charts": {chart.name: chart for chart in record.charts},
        "tables": {table.name: table for table in record.tables},
        "not_used": [f"{run.run_id}: {run.status}: {'; '.join(run.reasons)}" for run in runs if run.status != "ok"],
        "warnings": common_warnings(runs),
        "runs": len(runs),
        "links": {
            run.run_id: Path(os.path.relpath(side.folder / run.run_id / "report.html", record.folder)).as_posix()
            for side in record.sides.values()
            for run in side.summaries
        },
    }
    return render("sweep.html", context)


def _claims(curves: Curves) -> list[str]:
    """Return the highest throughput of each side as a sentence."""
    sentences = []
    for side, loads in curves.items():
        counted = [load for load in loads if "completed_tps" in load.metrics]
        if not counted:
            sentences.append(f"{side or 'The sweep'} has no valid run.")
            continue
        best = max(counted, key=lambda load: load.metrics["completed_tps"].median.estimate)
        who = f"{side}: the" if side else "The"
        completed = _interval(best.metrics["completed_tps"].median, formatting.rate, " tx/s")
        text = f"{who} highest throughput is {completed}, at {best.requested_tps:g} tx/s requested"
        latencies = [
            f"a {words} of {_interval(best.metrics[name].median, formatting.duration)}"
            for name, words in (("mean_s", "mean latency"), ("p99_s", "99th percentile"))
            if name in best.metrics
        ]
        text += f", with {' and '.join(latencies)}" if latencies else ""
        kept = [load for load in counted if not load.saturated]
        text += f"; the full load was completed up to {max(load.requested_tps for load in kept):g} tx/s" if kept else ""
        sentences.append(text + ".")
    return sentences


def _interval(interval: Interval, written: Callable[[float | None], str], unit: str = "") -> str:
    if interval.lower is None or interval.upper is None:
        return f"{written(interval.estimate)}{unit} (one run)"
    bounds = f"{written(interval.lower)} to {written(interval.upper)}"
    return f"{written(interval.estimate)}{unit} ({bounds} at {interval.confidence * 100:.3g} % confidence)"


def common_warnings(runs: Sequence[Summary]) -> list[str]:
    """Return one warning for each cause, with its loads unless it occurred at all of them.

    Warnings have the same cause if they differ only in their figures, of which those of one run are shown.
    """
    causes: dict[str, dict[str, set[float]]] = {}
    for run in runs:
        for text in run.warnings:
            causes.setdefault(_FIGURE.sub("#", text), {}).setdefault(text, set()).add(run.requested_tps)
    every = {run.requested_tps for run in runs}
    shown = []
    for texts in causes.values():
        found = set().union(*texts.values())
        where = "" if found == every else f"at {', '.join(f'{load:g}' for load in sorted(found))} tx/s: "
        others = f" (and {len(texts) - 1} with other figures)" if len(texts) > 1 else ""
        shown.append(f"{where}{next(iter(texts))}{others}")
    return shown


def _sweep_facts(sweep: SweepFolder) -> list[tuple[str, str]]:
    journal = sweep.journal
    commits = ", ".join(f"{arm.upper()} {commit}".strip() for arm, commit in journal.commits.items())
    loads = sorted({planned.requested_tps for planned in journal.planned_runs})
    done = sum(planned.done for planned in journal.planned_runs)
    order = "random in each round" if journal.seed is not None else "as given, round by round"
    facts = [
        ("id", journal.sweep_id),
        ("testbed", journal.testbed_id),
        ("started", formatting.moment(journal.created_at.timestamp())),
        ("commit", commits),
        ("loads", f"{', '.join(map(str, loads))} tx/s"),
        ("repeats", str(max((planned.repeat for planned in journal.planned_runs), default=0))),
        ("order", f"{order}{f' (seed {journal.seed})' if journal.seed is not None else ''}"),
        ("runs done", f"{done} of {len(journal.planned_runs)}"),
    ]
    return [(name, text) for name, text in facts if text]


def systems(runs: Iterable[Summary]) -> str:
    """Return the systems measured, each once."""
    found = dict.fromkeys(f"{run.protocol} {formatting.version(run.commit)}, {run.nodes} nodes" for run in runs)
    return " and ".join(found) or "runs"


def first_command(folders: Iterable[Path]) -> str:
    """Return the command that started the first of these runs; empty if there is none."""
    for folder in folders:
        given = read_manifest(folder).command[1:]
        return redact(f"geobench {shlex.join(given)}")
    return ""


def _runs(sides: Mapping[str, Variant]) -> list[Summary]:
    return [run for side in sides.values() for run in side.summaries]

"""Tables over several runs: sweeps, searches and comparisons; each yields what is printed, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from benchmark.compare.repeats import FIGURES, LoadSummary, over_repeats
from benchmark.compare.statistics import Interval

if TYPE_CHECKING:
    from benchmark.compare.comparison import AtLoad, Compared, FigureComparison
    from benchmark.results.search import Search
    from benchmark.results.sweep import SweepFolder

Shown = Table | str


def sweep(folder: SweepFolder) -> Iterator[Shown]:
    """Show the median of each load with its interval, then outliers and all that failed."""
    journal = folder.journal
    for arm in journal.arms:
        loads = over_repeats(folder.summaries(arm))
        title = f"{journal.sweep_id}{' ' + arm.upper() if arm else ''}: medians over the repeats"
        table = _table("load\ntx/s", "runs", *(figure.label for figure in FIGURES), "satu-\nrated", title=title)
        for load in loads:
            table.add_row(*_load_row(load))
        yield table
        yield from _remarks(loads)
    for slot in journal.slots:
        for attempt in slot.attempts:
            if attempt.outcome != "ok":
                kind = f" ({attempt.failure})" if attempt.failure else ""
                which = f"{attempt.outcome}{kind}: {slot}: {attempt.run_id or 'before the run'}: {attempt.reason}"
                yield f"[red]{escape(which)}[/red]"
    yield f"results: {folder.path}"


def search(found: Search, folder: Path) -> Iterator[Shown]:
    """Show every step, then the answer."""
    table = Table("step", "load tx/s", "limits", "why", title=found.search_id)
    for number, step in enumerate(found.steps, 1):
        colour, word = ("green", "met") if step.met else ("red", "not met")
        table.add_row(str(number), str(step.requested_tps), f"[{colour}]{word}[/]", escape(step.text))
    yield table
    if found.answer_tps is None:
        yield f"[red]no load meets the limits: {escape(found.reason)}[/red]"
    else:
        sure = "confirmed" if found.confirmed else "[yellow]not confirmed[/yellow]"
        yield f"highest load: [bold]{found.answer_tps} tx/s[/bold], {sure}: {escape(found.reason)}"
    yield f"results: {folder}"


def compared(comparison: Compared) -> Iterator[Shown]:
    """Show what differs, the figures, and the verdict last."""
    runs = {side: f"{len(ids)} run{'s' if len(ids) > 1 else ''}" for side, ids in comparison.runs.items()}
    yield f"A: {comparison.a}, {runs['a']}; B: {comparison.b}, {runs['b']}"
    if comparison.differences:
        yield "they differ in " + escape("; ".join(str(each) for each in comparison.differences[:6]))
    else:
        yield "they differ in nothing that is recorded"
    table = _table("figure", "load\ntx/s", "A", "B", "B - A", "p", "differ-\nence")
    for figure in comparison.figures:
        for at in figure.loads:
            table.add_row(*_at_load(figure, at))
        if len(figure.loads) > 1:
            table.add_row(*_over_all(figure), end_section=True)
    yield table
    yield _brackets(comparison)
    yield "p-values allow for several figures, and for several loads (Holm); intervals do not"
    for warning in comparison.warnings:
        yield f"[yellow]warning: {escape(warning)}[/yellow]"
    yield f"[bold]{escape(comparison.verdict)}[/bold]"
    if comparison.gate:
        colour = {"pass": "green", "fail": "red", "inconclusive": "yellow"}[comparison.gate.outcome]
        yield f"[{colour}]{comparison.gate.outcome}: {escape(comparison.gate.text)}[/{colour}]"


def _table(*columns: str, title: str | None = None) -> Table:
    """A table that fits 80 columns with intervals in its cells."""
    return Table(*columns, title=title, box=SIMPLE_HEAD, padding=0, show_edge=False)


def _brackets(comparison: Compared) -> str:
    """Say how sure the intervals are."""
    each = [at.comparison for figure in comparison.figures for at in figure.loads]
    sides = min((side.confidence for one in each for side in (one.a, one.b)), default=0.0)
    between = min((one.difference.confidence for one in each), default=0.0)
    if between == 0:
        return "no intervals: one run of each is too few"
    return f"in brackets: intervals of {sides:.0%} confidence for A and B, of {between:.0%} for B - A"


def _load_row(load: LoadSummary) -> list[str]:
    cells = [
        _interval(load.figures[figure.name].median, figure.unit) if figure.name in load.figures else "-"
        for figure in FIGURES
    ]
    runs = f"{len(load.run_ids)} of {len(load.run_ids) + len(load.set_aside)}"
    return [f"{load.requested_tps:g}", runs, *cells, f"{load.saturated}" if load.saturated else "no"]


def _remarks(loads: list[LoadSummary]) -> Iterator[str]:
    reached = [repeated.median.confidence for load in loads for repeated in load.figures.values()]
    if reached and min(reached) == 0:
        yield "no intervals where a load has one run"
    elif reached:
        more = "; 6 repeats give 95%" if min(reached) < 0.95 else ""
        yield f"in brackets: intervals of {min(reached):.0%} confidence{more}"
    for load in loads:
        for figure in FIGURES:
            for run_id in load.figures[figure.name].outliers if figure.name in load.figures else ():
                yield f"[yellow]outlier: {figure.label} at {load.requested_tps:g} tx/s: {run_id} (counted)[/yellow]"


def _at_load(figure: FigureComparison, at: AtLoad) -> list[str]:
    each, alone = at.comparison, len(figure.loads) == 1
    relative = _relative(each.relative) if each.relative else "-"
    p_value, shown = (figure.p_adjusted, figure.shown) if alone else (at.p_adjusted, at.shown)
    values = [_interval(side, figure.unit) for side in (each.a, each.b)]
    return [figure.label, f"{at.requested_tps:g}", *values, relative, f"{p_value:.2g}", _yes(shown)]


def _over_all(figure: FigureComparison) -> list[str]:
    return [figure.label, "all", "", "", _relative(figure.relative), f"{figure.p_adjusted:.2g}", _yes(figure.shown)]


def _relative(interval: Interval) -> str:
    text = _change(interval.estimate)
    if interval.lower is None or interval.upper is None or interval.confidence == 0:
        return text
    return f"{text}\n({_change(interval.lower)} to {_change(interval.upper)})"


def _change(share: float) -> str:
    return f"{share:+.1%}" if share < 2 else f"{1 + share:.3g} times"


def _yes(shown: bool) -> str:
    return "[bold]yes[/bold]" if shown else "no"


def _interval(interval: Interval, unit: str) -> str:
    scale, name = (1000, "ms") if unit == "s" else (1, "")
    text = f"{interval.estimate * scale:.4g}{' ' + name if name else ''}"
    if interval.lower is None or interval.upper is None:
        return text
    return f"{text}\n({interval.lower * scale:.4g}-{interval.upper * scale:.4g})"

"""Tables of runs, sweeps, searches and comparisons; each function yields the tables and lines to print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE, SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from benchmark.cli.live import number
from benchmark.cli.output import Shown
from benchmark.compare.repeats import LoadSummary, over_repeats
from benchmark.compare.statistics import Interval
from benchmark.measure.run_metrics import COMPARED, LATENCIES, Metric

if TYPE_CHECKING:
    from benchmark.compare.comparison import AtLoad, Compared, FigureComparison
    from benchmark.results.search import Search
    from benchmark.results.summary import Summary
    from benchmark.results.sweep import SweepFolder


_LATENCIES = [metric for metric in LATENCIES if metric.brief]
_RUN_COLUMNS = (
    "requested\ntx/s", "completed\ntx/s", *(f"{metric.short}\nms" for metric in _LATENCIES), "errors", "status"
)  # fmt: skip


def runs(summaries: Sequence[Summary], folder: Path) -> Iterator[Shown]:
    """Yield a table of runs of one system, their warnings, and the folders of their results."""
    first = summaries[0]
    table = Table(title=f"{first.protocol} {first.commit}, {first.nodes} nodes", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in _RUN_COLUMNS:
        table.add_column(name, justify="right")
    for summary in summaries:
        table.add_row(*_run_row(summary))
    yield table
    for summary in summaries:
        yield from (f"[red]invalid: {escape(text)}[/red]" for text in summary.reasons)
        yield from (f"[yellow]warning: {escape(text)}[/yellow]" for text in summary.warnings)
    for summary in summaries:
        # Panics and crashes are warnings already.
        counts = {name: kinds["error"].count for name, kinds in summary.log_findings.items() if "error" in kinds}
        if counts:
            listed = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:8])
            yield f"errors in logs: {escape(listed)}; see log_findings in summary.json, or `python -m benchmark logs`"
        yield f"results: {escape(str(folder / summary.run_id))}"


def run_lines(path: Path, summary: Summary | None) -> Iterator[Shown]:
    """Yield the name of a run, complete so that it can be copied, and its results in one line."""
    yield f"[bold]{escape(f'{path.parent.name}/{path.name}')}[/bold]"
    if summary is None:
        yield "    [red]killed[/red]"
        return
    requested, completed, *latencies, errors, state = (cell.replace("\n", " ") for cell in _run_row(summary))
    shown = ", ".join(f"{metric.short} {value}" for metric, value in zip(_LATENCIES, latencies, strict=True))
    yield f"    {state}: {completed} of {requested} tx/s, {errors} errors; ms: {shown}"


def _run_row(summary: Summary) -> list[str]:
    colour = {"ok": "green"}.get(summary.status, "red")
    state = "[yellow]saturated[/yellow]" if summary.saturated else f"[{colour}]{summary.status}[/{colour}]"
    return [
        f"{summary.requested_tps:g}",
        number(summary.completed_tps),
        *(_latency(metric, summary) for metric in _LATENCIES),
        str(sum(summary.errors.values())),
        state,
    ]


def _latency(metric: Metric, summary: Summary) -> str:
    """Format a latency in ms, a quantile with its bounds."""
    value = metric.of(summary)
    if value is None or summary.latency_s is None:
        return "-"
    quantile = summary.latency_s.quantiles.get(metric.key)
    if quantile is None:
        return _in_ms(value)
    upper = "∞" if quantile.upper is None else _in_ms(quantile.upper)
    return f"{_in_ms(value)}\n({_in_ms(quantile.lower)}-{upper})"


def _in_ms(seconds: float) -> str:
    return f"{seconds * 1000:.4g}"


def sweep(folder: SweepFolder) -> Iterator[Shown]:
    """Show the median of each load with its interval, then outliers and all that failed."""
    journal = folder.journal
    for arm in journal.arms:
        loads = over_repeats(folder.summaries(arm))
        title = f"{journal.sweep_id}{' ' + arm.upper() if arm else ''}: medians over the repeats"
        table = _table("load\ntx/s", "runs", *(metric.label for metric in COMPARED), "satu-\nrated", title=title)
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
    yield f"results: {escape(str(folder.path))}"


def search(found: Search, folder: Path) -> Iterator[Shown]:
    """Show every step, then the answer."""
    table = Table("step", "load tx/s", "limits", "why", title=found.search_id)
    for index, step in enumerate(found.steps, 1):
        colour, word = ("green", "met") if step.met else ("red", "not met")
        table.add_row(str(index), str(step.requested_tps), f"[{colour}]{word}[/]", escape(step.text))
    yield table
    if found.answer_tps is None:
        yield f"[red]no load meets the limits: {escape(found.reason)}[/red]"
    else:
        sure = "confirmed" if found.confirmed else "[yellow]not confirmed[/yellow]"
        yield f"highest load: [bold]{found.answer_tps} tx/s[/bold], {sure}: {escape(found.reason)}"
    yield f"results: {escape(str(folder))}"


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
        _interval(load.figures[metric.name].median, metric.unit) if metric.name in load.figures else "-"
        for metric in COMPARED
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
        for metric in COMPARED:
            for run_id in load.figures[metric.name].outliers if metric.name in load.figures else ():
                yield f"[yellow]outlier: {metric.label} at {load.requested_tps:g} tx/s: {run_id} (counted)[/yellow]"


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

"""Tables of runs, sweeps, searches and comparisons; each function yields the tables and lines to print."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE, SIMPLE_HEAD
from rich.markup import escape
from rich.padding import PaddingDimensions
from rich.table import Table

from benchmark.cli import numbers
from benchmark.cli.output import Shown
from benchmark.compare.repeats import LoadSummary, over_repeats
from benchmark.measure.run_metrics import COMPARED, LATENCIES, Latency, Metric

if TYPE_CHECKING:
    from benchmark.compare.comparison import Compared
    from benchmark.compare.faults import FaultSpread, Spread
    from benchmark.compare.phases import ComparedPhase
    from benchmark.measure.fault_impact import FaultImpact
    from benchmark.results.search import Search
    from benchmark.results.summary import Summary
    from benchmark.results.sweep import SweepFolder

_LATENCIES = [metric for metric in LATENCIES if metric.brief]
_P99 = next(metric for metric in LATENCIES if metric.key == "p99")

_FINE = 0.005
"""Width of a bucket, as a share of its bound, that three digits do not show."""


_SHAPED = 0.01
"""Share of the requested load from which a difference of the scheduled one is reported."""


def runs(summaries: Sequence[Summary], folder: Path) -> Iterator[Shown]:
    """Yield a table of runs of one system, their warnings, and the folders of their results."""
    first = summaries[0]
    latencies = [metric.short for metric in _LATENCIES]
    table = Table(title=f"{first.protocol} {first.commit}, {first.nodes} nodes", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("requested\ntx/s", "completed\ntx/s", *latencies, "errors", "status"):
        table.add_column(name, justify="right")
    for summary in summaries:
        table.add_row(*_run_cells(summary))
        if (completed := summary.successful_latency_s) and completed != summary.latency_s:
            only = [_latency_cell(metric, completed) for metric in _LATENCIES]
            table.add_row("completed\nonly", "", *(cell.partition("\n")[0] for cell in only), "", "")
    yield table
    for summary in summaries:
        yield from _phases(summary)
        yield from _faults(summary)
    for summary in summaries:
        yield from (f"[red]invalid: {escape(text)}[/red]" for text in summary.reasons)
        yield from (f"[yellow]warning: {escape(text)}[/yellow]" for text in summary.warnings)
        due = summary.scheduled_tps
        if due is not None and abs(due - summary.requested_tps) > _SHAPED * summary.requested_tps:
            yield f"at {summary.requested_tps:g} tx/s, {numbers.rate(due)} tx/s were scheduled on average"
        for name, found in (("linearizability", summary.verification), ("agreement", summary.agreement)):
            if found:
                colour = {"ok": "green", "violation": "bold red", "unknown": "yellow"}[found.verdict]
                yield f"[{colour}]{name} at {summary.requested_tps:g} tx/s: {found}[/]"
        if (progress := summary.progress) and progress.longest_s is not None:
            colour = "green" if progress.verdict == "ok" else "bold red"
            yield f"[{colour}]progress at {summary.requested_tps:g} tx/s: {progress}[/]"
    for summary in summaries:
        # Panics and crashes are warnings already.
        counts = {name: kinds["error"].count for name, kinds in summary.log_findings.items() if "error" in kinds}
        if counts:
            listed = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:8])
            yield f"errors in logs: {escape(listed)}; see log_findings in summary.json, or `geobench logs`"
        yield f"results: {escape(str(folder / summary.run_id))}"


def _phases(summary: Summary) -> Iterator[Shown]:
    """Yield a table of the phases of a run, a line each, and why their statistics are unknown."""
    if not summary.phases or summary.window is None:
        return
    columns = ("phase", "time s", "tx/s", *(metric.short for metric in _LATENCIES), "errors")
    table = _table(*columns, title=f"phases at {summary.requested_tps:g} tx/s", padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for phase in summary.phases:
        begin, end, stats = phase.start - summary.window.start, phase.end - summary.window.start, phase.stats
        table.add_row(
            phase.label,
            f"{begin:g}-{end:g}",
            numbers.rate(stats.completed_tps if stats else None),
            *(_latency_cell(metric, stats.latency_s if stats else None) for metric in _LATENCIES),
            numbers.NONE if stats is None or stats.failed is None else str(stats.failed),
        )
    yield table
    yield from (f"phase {phase.label} unknown: {escape(phase.unknown)}" for phase in summary.phases if phase.unknown)


def _faults(summary: Summary) -> Iterator[Shown]:
    """Yield a table of the faults of a run, a line each, and why figures are unknown."""
    if not summary.faults or summary.window is None:
        return
    table = Table(
        title=f"faults at {summary.requested_tps:g} tx/s", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("fault", overflow="fold")
    for name in ("time s", "tx/s before,\nduring, after", "p99\nduring", "outage", "re-\ncovery", "late", "lost"):
        table.add_column(name, justify="right")
    for fault in summary.faults:
        end = "end" if fault.healed is None else f"{fault.healed - summary.window.start:.1f}"
        rates = [
            numbers.rate(part.completed_tps if part else None) for part in (fault.before, fault.during, fault.after)
        ]
        table.add_row(
            escape(f"{fault.kind}:{fault.target}"),
            f"{fault.injected - summary.window.start:.1f}-{end}",
            " ".join(rates),
            _latency_cell(_P99, fault.during.latency_s if fault.during else None),
            "none" if fault.outage_s == 0 else numbers.latency(fault.outage_s),
            numbers.latency(fault.recovery_s),
            *(numbers.NONE if count is None else str(count) for count in (fault.late, fault.lost)),
        )
    yield table
    for fault in summary.faults:
        yield from _fault_lines(fault)
        name = escape(f"{fault.kind}:{fault.target}")
        for reason in dict.fromkeys(fault.unknown.values()):
            figures = ", ".join(figure for figure, why in fault.unknown.items() if why == reason)
            yield f"{name}: {'effect' if figures == 'all' else figures} unknown: {escape(reason)}"


def _fault_lines(fault: FaultImpact) -> Iterator[str]:
    """Yield how available the system was, when nodes had caught up, and what clients of each region saw."""
    name = escape(f"{fault.kind}:{fault.target}")
    if fault.availability is not None:
        share, slo = numbers.tenths(fault.availability), fault.slo
        yield f"{name}: {share} of the {f'seconds met {slo}' if slo else 'requests neither late nor lost'}"
    if caught := [f"{host} {numbers.latency(value)}" for host, value in fault.catch_up_s.items() if value is not None]:
        yield f"{name}: caught up after healing: {escape(', '.join(caught))}"
    for region, seen in fault.regions.items():
        outage = "no outage" if seen.outage_s == 0 else f"outage {numbers.latency(seen.outage_s)}"
        recovery = f"recovery {numbers.latency(seen.recovery_s)}"
        available = numbers.NONE if seen.availability is None else numbers.tenths(seen.availability)
        lost = numbers.NONE if seen.lost is None else str(seen.lost)
        yield f"{name}: clients in {escape(region)}: {outage}, {recovery}, {available} available, {lost} lost"


def _run_cells(summary: Summary) -> list[str]:
    colour = "green" if summary.status == "ok" else "red"
    return [
        f"{summary.requested_tps:g}",
        numbers.rate(summary.completed_tps),
        *(_latency_cell(metric, summary.latency_s) for metric in _LATENCIES),
        numbers.NONE if summary.window is None or summary.failed is None else str(summary.failed),
        "[yellow]saturated[/yellow]" if summary.saturated else f"[{colour}]{summary.status}[/{colour}]",
    ]


def _latency_cell(metric: Metric, latency: Latency | None) -> str:
    """Return a quantile, with its bounds where they differ by more than the precision that is shown, or the mean."""
    quantile = latency.quantiles.get(metric.key) if latency else None
    if quantile is None or (quantile.upper is None and not quantile.lower):
        return numbers.latency(latency.mean if latency and metric.key == "mean" else None)
    if quantile.upper is None:
        return f"> {numbers.latency(quantile.lower)}"
    if quantile.upper - quantile.lower <= _FINE * quantile.upper:
        return numbers.latency(quantile.estimate)
    return numbers.latency_interval(quantile.estimate, quantile.lower, quantile.upper)


def sweep(folder: SweepFolder) -> Iterator[Shown]:
    """Yield the median of each load with its confidence interval, then outliers, failed attempts and the folder."""
    journal = folder.journal
    for arm in journal.arms:
        loads = over_repeats(folder.summaries(arm))
        title = f"{journal.sweep_id}{' ' + arm.upper() if arm else ''}: medians over the repeats"
        table = _table("load\ntx/s", "runs", *(metric.label for metric in COMPARED), "satu-\nrated", title=title)
        for load in loads:
            medians = [
                load.metrics[metric.name].prefix + numbers.estimate(load.metrics[metric.name].median, metric.unit)
                if metric.name in load.metrics
                else numbers.NONE
                for metric in COMPARED
            ]
            counted = f"{len(load.run_ids)} of {len(load.run_ids) + len(load.set_aside)}"
            table.add_row(f"{load.requested_tps:g}", counted, *medians, f"{load.saturated or 'no'}")
        yield table
        yield from _remarks(loads)
        yield from _phase_medians(loads)
        for load in loads:
            for each in load.faults:
                yield from _fault_spreads(load.requested_tps, {"": each})
    for planned in journal.planned_runs:
        for attempt in planned.attempts:
            if attempt.outcome != "ok":
                kind = f" ({attempt.failure})" if attempt.failure else ""
                which = f"{attempt.outcome}{kind}: {planned}: {attempt.run_id or 'before the run'}: {attempt.reason}"
                yield f"[red]{escape(which)}[/red]"
    yield f"results: {escape(str(folder.path))}"


def _phase_medians(loads: Sequence[LoadSummary]) -> Iterator[Shown]:
    """Yield the medians of each phase and load over the repeats, if there are phases."""
    names = {metric.name: metric.label for metric in COMPARED} | {"failed": "failed"}
    table = _table("phase", "load\ntx/s", *names.values(), title="phases: medians over the repeats")
    for load in loads:
        for phase in load.phases:
            cells = [_phase_value(name, phase.metrics.get(name)) for name in names]
            table.add_row(phase.phase, f"{load.requested_tps:g}", *cells)
    if table.rows:
        yield table


def _compared_phases(phases: Sequence[ComparedPhase]) -> Iterator[Shown]:
    """Yield the medians of A and B in each phase that both had."""
    if not phases:
        return
    table = _table("phase", "load\ntx/s", "metric", "A", "B", "B - A", title="phases: medians, differences not tested")
    for each in phases:
        for metric in COMPARED:
            a, b = (side.metrics.get(metric.name) for side in (each.a, each.b))
            change = numbers.change(b / a - 1) if a and b is not None else numbers.NONE
            cells = [_phase_value(metric.name, value) for value in (a, b)]
            table.add_row(each.a.phase, f"{each.requested_tps:g}", metric.label, *cells, change)
        failed = [_phase_value("failed", side.metrics.get("failed")) for side in (each.a, each.b)]
        table.add_row(each.a.phase, f"{each.requested_tps:g}", "failed", *failed, "", end_section=True)
    yield table


def _phase_value(name: str, value: float | None) -> str:
    if value is None:
        return numbers.NONE
    return f"{value:g}" if name == "failed" else numbers.latency(value) if name.endswith("_s") else numbers.rate(value)


def _remarks(loads: Sequence[LoadSummary]) -> Iterator[str]:
    """Yield the confidence of the intervals in a table of medians, failed requests, lower bounds and outliers."""
    confidences = [repeated.median.confidence for load in loads for repeated in load.metrics.values()]
    if confidences and min(confidences) == 0:
        yield "no confidence intervals where a load has one run"
    elif confidences:
        more = "; 6 repeats give 95 %" if min(confidences) < 0.95 else ""
        yield f"in brackets: {numbers.share(min(confidences))} confidence intervals{more}"
    for load in loads:
        if load.failed:
            yield f"[yellow]failed requests at {load.requested_tps:g} tx/s: {load.failed}[/yellow]"
        for metric in COMPARED:
            if metric.name in load.metrics and (higher := load.metrics[metric.name].at_least):
                text = f"{metric.label} at {load.requested_tps:g} tx/s is higher than shown in {higher} of its runs"
                yield f"[yellow]{text}: only a lower bound is known[/yellow]"
            for run_id in load.metrics[metric.name].outliers if metric.name in load.metrics else ():
                yield f"[yellow]outlier: {metric.label} at {load.requested_tps:g} tx/s: {run_id} (counted)[/yellow]"


def _fault_spreads(load: float, sides: Mapping[str, FaultSpread]) -> Iterator[Shown]:
    """Yield a table of one fault over the repeats at a load, by side and region of the clients."""
    name = next(iter(sides.values())).fault
    table = _table(title=f"{escape(name)} at {load:g} tx/s: median and range", padding=(0, 1, 0, 0))
    table.add_column("clients", overflow="fold")
    for column in ("outage", "recovery", "catch-up", "available", "late", "lost"):
        table.add_column(column, no_wrap=True)
    for side, found in sides.items():
        times = [_time_cell(spread) for spread in (found.outage_s, found.recovery_s, found.catch_up_s)]
        counts = [_number_cell(spread, "{:g}".format) for spread in (found.late, found.lost)]
        table.add_row(f"{side} all".strip(), *times, _number_cell(found.availability, numbers.tenths), *counts)
        for region, seen in found.regions.items():
            times = [_time_cell(spread) for spread in (seen.outage_s, seen.recovery_s)]
            share = _number_cell(seen.availability, numbers.tenths)
            table.add_row(escape(f"{side} {region}".strip()), *times, "", share)
    yield table
    for side, found in sides.items():
        if unknown := found.recovery_s.unknown:
            of = f"{unknown} of {unknown + len(found.recovery_s.values)} faults"
            yield escape(f"{side} {name}".strip() + f" at {load:g} tx/s: recovery unknown for {of}")


def _time_cell(spread: Spread) -> str:
    """Return the median of a time, and below it the range if there are several values."""
    if spread.median is None or spread.least is None or len(spread.values) == 1:
        return numbers.latency(spread.median)
    return numbers.latency_interval(spread.median, spread.least, spread.most)


def _number_cell(spread: Spread, write: Callable[[float], str]) -> str:
    if spread.median is None or spread.least is None or spread.most is None:
        return numbers.NONE
    if len(spread.values) == 1:
        return write(spread.median)
    return f"{write(spread.median)}\n({write(spread.least).removesuffix(' %')}-{write(spread.most).removesuffix(' %')})"


def search(found: Search, folder: Path, summaries: Sequence[Summary] = ()) -> Iterator[Shown]:
    """Yield every step of a search, then its answer and the folder; `summaries` are those of its runs."""
    by_id = {summary.run_id: summary for summary in summaries if summary.status != "failed"}
    table = _table("step", "load\ntx/s", "completed\ntx/s", "p99", "limits", title=found.search_id)
    for column in table.columns[:4]:
        column.justify = "right"
    reasons = []
    for index, step in enumerate(found.steps, 1):
        colour, word = ("green", "met") if step.met else ("red", "not met")
        run = by_id.get(step.run_ids[-1]) if step.run_ids else None
        measured = numbers.rate(run.completed_tps if run else None), _latency_cell(_P99, run.latency_s if run else None)
        table.add_row(str(index), str(step.requested_tps), *measured, f"[{colour}]{word}[/]")
        if run is None:
            reasons.append(f"step {index}: {escape(step.text)}")
    yield table
    yield from reasons
    if found.answer_tps is None:
        yield f"[red]no load meets the limits: {escape(found.reason)}[/red]"
    else:
        confirmed = "confirmed" if found.confirmed else "[yellow]not confirmed[/yellow]"
        yield f"highest load: [bold]{found.answer_tps} tx/s[/bold], {confirmed}: {escape(found.reason)}"
    yield f"results: {escape(str(folder))}"


def compared(comparison: Compared) -> Iterator[Shown]:
    """Yield how A and B differ in their set-up, a table of their metrics, and the verdict."""
    counts = {side: f"{len(ids)} run{'s' if len(ids) > 1 else ''}" for side, ids in comparison.runs.items()}
    yield f"A: {comparison.a}, {counts['a']}; B: {comparison.b}, {counts['b']}"
    differences = "; ".join(str(each) for each in comparison.differences[:6])
    yield f"they differ in {escape(differences)}" if differences else "their manifests do not differ"
    table = _table("metric", "load\ntx/s", "A", "B", "B - A", "p", "signi-\nficant")
    for metric in comparison.metrics:
        several = len(metric.loads) > 1
        for at in metric.loads:
            one, judged = at.comparison, at if several else metric
            sides = [numbers.estimate(side, metric.unit) for side in (one.a, one.b)]
            verdict = [f"{judged.p_adjusted:.2g}", _yes(judged.significant)]
            table.add_row(
                metric.label, f"{at.requested_tps:g}", *sides, numbers.relative_estimate(one.relative), *verdict
            )
        if several:
            overall = [numbers.relative_estimate(metric.relative), f"{metric.p_adjusted:.2g}", _yes(metric.significant)]
            table.add_row(metric.label, "all", "", "", *overall, end_section=True)
    yield table
    each = [at.comparison for metric in comparison.metrics for at in metric.loads]
    sides_confidence = min((side.confidence for one in each for side in (one.a, one.b)), default=0.0)
    confidence = min((one.difference.confidence for one in each), default=0.0)
    if confidence == 0:
        yield "no confidence intervals: one run of each is too few"
    else:
        a_and_b, difference = numbers.share(sides_confidence), numbers.share(confidence)
        yield f"in brackets: {a_and_b} confidence intervals of A and B, {difference} of B - A"
    yield "p-values are adjusted for the number of metrics and loads (Holm), confidence intervals are not"
    if comparison.remark:
        yield comparison.remark
    yield from _compared_phases(comparison.phases)
    for fault in comparison.faults:
        yield from _fault_spreads(fault.requested_tps, {"A": fault.a, "B": fault.b})
    for warning in comparison.warnings:
        yield f"[yellow]warning: {escape(warning)}[/yellow]"
    yield f"[bold]{escape(comparison.verdict)}[/bold]"
    if comparison.gate:
        colour = {"pass": "green", "fail": "red", "inconclusive": "yellow"}[comparison.gate.outcome]
        yield f"[{colour}]{comparison.gate.outcome}: {escape(comparison.gate.text)}[/{colour}]"


def _table(*columns: str, title: str | None = None, padding: PaddingDimensions = 0) -> Table:
    """Return an empty table that fits into 80 columns with confidence intervals in its cells."""
    return Table(*columns, title=title, box=SIMPLE_HEAD, padding=padding, show_edge=False)


def _yes(shown: bool) -> str:
    return "[bold]yes[/bold]" if shown else "no"

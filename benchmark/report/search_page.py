"""Render the report of a search: the highest load within limits, and the steps that led to it."""

from __future__ import annotations

from benchmark.measure.run_metrics import Quantile
from benchmark.report import formatting
from benchmark.report.chart import Chart
from benchmark.report.page import count, render
from benchmark.report.search_charts import search_chart
from benchmark.report.search_data import COLUMNS, SearchRecord
from benchmark.report.sweep_page import common_warnings, first_command, systems
from benchmark.report.tables import Cell, Table


def charts_of_search(record: SearchRecord) -> list[Chart]:
    """Return the charts of a search: none if nothing was judged."""
    chart = search_chart(record.points, record.search.limits, record.next_action)
    return [chart] if chart else []


def search_page(record: SearchRecord) -> str:
    """Return the report of a search: HTML that needs no other file."""
    search, limits, runs = record.search, record.search.limits, list(record.runs.values())
    config = search.config
    facts = [
        ("id", search.search_id),
        ("testbed", search.testbed_id),
        ("started", formatting.moment(search.created_at.timestamp())),
        ("commit", search.commit),
        ("loads", f"from {config.start_tps}, at most {config.maximum_tps} tx/s"),
        ("precision", f"at most {formatting.tenths(config.precision)} below a load that fails"),
        ("confirmations", count(config.confirmations, "further run")),
        ("steps", f"{len(search.steps)}, at most {config.max_runs}"),
        ("outcome", search.reason),
    ]
    context = {
        "title": f"Highest load of {systems(runs)}",
        "state": _state(record),
        "claim": _claim(record),
        "resume": f"geobench search --resume {search.search_id}" if record.next_action.requested_tps else "",
        "limits": f"Limits: p99 ≤ {formatting.duration(limits.p99_s)}, judged by the upper edge of its bucket; "
        f"completed ≥ {formatting.tenths(limits.achieved)} of the requested load.",
        "tiles": _tiles(record),
        "charts": {chart.name: chart for chart in charts_of_search(record)},
        "steps": steps_table(record),
        "unmeasured": _unmeasured(record),
        "warnings": common_warnings(runs),
        "facts": [(name, text) for name, text in facts if text],
        "command": first_command(record.folder.path.parent / run_id for run_id in record.runs),
    }
    return render("search.html", context)


def _state(record: SearchRecord) -> tuple[str, str]:
    """Return the CSS class and the text of the badge."""
    if record.next_action.requested_tps is not None:
        return "warning", "unfinished"
    if record.next_action.answer_tps is None:
        return "bad", "no load meets the limits"
    return ("good", "confirmed") if record.next_action.confirmed else ("warning", "not confirmed")


def _claim(record: SearchRecord) -> str:
    """Return the answer as a sentence."""
    outcome, answer, fails = record.next_action, record.next_action.answer_tps, record.lowest_failing_tps
    if outcome.requested_tps is not None:
        so_far = f"so far the highest load within the limits is {answer} tx/s" if answer else "no load met the limits"
        return f"The search is unfinished: {so_far}; the next load is {outcome.requested_tps} tx/s."
    if answer is None:
        return f"No load meets the limits: {outcome.reason}."
    text = f"The highest load within the limits is {answer} tx/s: it met them in {count(len(record.at_answer), 'run')}"
    text += f"; {fails} tx/s does not" if fails else ", and no higher load was tried"
    return f"{text}." if outcome.confirmed else f"{text}. It is not confirmed: {outcome.reason}."


def _tiles(record: SearchRecord) -> list[tuple[str, str, str]]:
    """Return the answer, the limits, and the results at the answer: name, value and remark."""
    limits, answer, fails = record.search.limits, record.next_action.answer_tps, record.lowest_failing_tps
    at = record.at_answer
    confirmed = "confirmed" if record.next_action.confirmed else "not confirmed"
    latency = completed = why = ""
    if quantiles := [point.p99_s for point in at if point.p99_s]:
        # Bounds that hold the quantile of every run.
        lower, uppers = min(each.lower for each in quantiles), [each.upper for each in quantiles]
        known = [upper for upper in uppers if upper is not None]
        hull = Quantile(estimate=lower, lower=lower, upper=max(known) if len(known) == len(uppers) else None)
        latency = f"measured: {formatting.bounds(hull)}"
    if shares := [point.completed_tps / point.requested_tps for point in at if point.completed_tps is not None]:
        completed = f"measured: {formatting.tenths(min(shares))} or more"
    if fails:
        steps = [step for step in record.search.steps if step.requested_tps == fails and step.met is False]
        why = "not met: " + ", ".join(dict.fromkeys(name for step in steps for name in record.violations(step)))
    return [
        ("highest load", f"{answer} tx/s" if answer else "none", f"{confirmed}, {count(len(at), 'run')}" if at else ""),
        ("p99 limit", f"≤ {formatting.duration(limits.p99_s)}", latency),
        ("throughput limit", f"≥ {formatting.tenths(limits.achieved)}", completed),
        ("lowest failing load", f"{fails} tx/s" if fails else "none", why),
    ]


def _unmeasured(record: SearchRecord) -> list[tuple[str, str]]:
    """Return which runs were repeated and which loads could not be measured: what happened, and the reason."""
    notices = []
    for number, step in enumerate(record.search.steps, 1):
        where = f"step {number}, {step.requested_tps} tx/s"
        repeated = step.run_ids[:-1] if step.met is not None else step.run_ids
        for run in (record.runs[run_id] for run_id in repeated if run_id in record.runs):
            notices.append(("Repeated", f"{where}: {run.run_id} is {run.status}: {'; '.join(run.reasons)}"))
        if step.met is False and not record.counted(step):
            notices.append(("Not measured", f"{where}: {step.text}"))
    return notices


def steps_table(record: SearchRecord) -> Table:
    """Return every run of every step, in the order they ran."""
    unknown = Cell(formatting.NONE)
    rows = []
    for number, step in enumerate(record.search.steps, 1):
        violated = record.violations(step) if step.met is not None else []
        for index, run_id in enumerate(step.run_ids, 1):
            run = record.runs.get(run_id)
            if step.met is None or run_id != step.run_ids[-1]:
                verdict = Cell("does not count", run.status if run else "killed", mark="bad")
            else:
                verdict = Cell("met") if step.met else Cell("not met", ", ".join(violated), mark="bad")
            completed = p99 = unknown
            counted = record.counted(step) if run_id == step.run_ids[-1] else None
            if counted and counted.completed_tps is not None and counted.latency_s is not None:
                quantile, share = counted.latency_s.p99, counted.completed_tps / counted.requested_tps
                few, slow = ("bad" if name in violated else "" for name in ("throughput", "p99"))
                completed = Cell(formatting.rate(counted.completed_tps), formatting.tenths(share), mark=few)
                p99 = Cell(formatting.quantile(quantile), formatting.remark(quantile), mark=slow)
            attempt = f"attempt {index}" if len(step.run_ids) > 1 else ""
            link = Cell(run_id, link=f"../{run_id}/report.html" if run else "")
            rows.append([Cell(str(number), attempt), Cell(str(step.requested_tps)), verdict, completed, p99, link])
    columns = ("step", "load tx/s", "limits", "completed tx/s", "p99 latency", "run")
    data = (COLUMNS, [point.row for point in record.points])
    return Table("steps", "Every step, in order", columns, rows, data)

"""The page of a search: the highest load within limits, and the steps that led to it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.measure.run_metrics import Quantile
from benchmark.report import format as words
from benchmark.report.chart import Chart
from benchmark.report.page import render
from benchmark.report.search_charts import search_chart
from benchmark.report.search_record import SearchRecord
from benchmark.report.search_tables import steps_table
from benchmark.report.sweep_page import common_warnings, first_command, systems
from benchmark.report.tables import Table
from benchmark.results.search import Limits, Search, Taken


def charts_of_search(record: SearchRecord) -> list[Chart]:
    """Return every chart that a search allows: none if nothing was judged."""
    made = search_chart(record.points, record.search.limits, record.step)
    return [made] if made else []


def tables_of_search(record: SearchRecord) -> list[Table]:
    """Return every table that a search allows."""
    return [steps_table(record)]


def search_page(record: SearchRecord) -> str:
    """Return the page of a search: HTML that needs no other file."""
    runs, beside = list(record.runs.values()), record.folder.path.parent
    context = {
        "title": f"Highest load of {systems(runs)}",
        "state": _state(record),
        "claim": _claim(record),
        "resume": f"python -m benchmark search --resume {record.search.search_id}" if record.step.requested_tps else "",
        "limits": _limits(record.search.limits),
        "tiles": _tiles(record),
        "charts": {chart.name: chart for chart in charts_of_search(record)},
        "tables": {table.name: table for table in tables_of_search(record)},
        "unmeasured": _unmeasured(record),
        "warnings": common_warnings(runs),
        "facts": _facts(record.search),
        "command": first_command(beside / run_id for run_id in record.runs),
    }
    return render("search.html", context)


def _limits(limits: Limits) -> str:
    """Return the limits as a sentence."""
    return (
        f"The limits: at least {words.tenths(limits.achieved)} of the load is completed, with a 99th percentile of "
        f"the latency of at most {words.duration(limits.p99_s)}, for certain: the upper bound of its bucket counts."
    )


def _state(record: SearchRecord) -> tuple[str, str]:
    if record.step.requested_tps is not None:
        return "warning", "not ended"
    if record.step.answer_tps is None:
        return "bad", "no load meets the limits"
    return ("good", "confirmed") if record.step.confirmed else ("warning", "not confirmed")


def _claim(record: SearchRecord) -> str:
    """Return the answer as a sentence."""
    step, answer, fails = record.step, record.step.answer_tps, record.fails
    if step.requested_tps is not None:
        met = f"the highest load that met the limits is {answer} tx/s" if answer else "no load met the limits"
        return f"The search has not ended: so far {met}; the next is {step.requested_tps} tx/s."
    if answer is None:
        return f"No load meets the limits: {step.reason}."
    text = f"The highest load within the limits is {answer} tx/s: it met them in {_count(len(record.at_answer), 'run')}"
    text += f"; {fails} tx/s does not" if fails else ", and no greater load was tried"
    return f"{text}." if step.confirmed else f"{text}. It is not confirmed: {step.reason}."


def _tiles(record: SearchRecord) -> list[tuple[str, str, str]]:
    """Return the answer, the limits, and what was measured at it: name, value, what is to be said of it."""
    limits, answer, fails, at = record.search.limits, record.step.answer_tps, record.fails, record.at_answer
    sure = "confirmed" if record.step.confirmed else "not confirmed"
    quantiles = [point.p99_s for point in at if point.p99_s]
    shares = [point.completed_tps / point.requested_tps for point in at if point.completed_tps is not None]
    latency = f"measured there: {words.bounds(_hull(quantiles))}" if quantiles else ""
    completed = f"measured there: {words.tenths(min(shares))} or more" if shares else ""
    return [
        ("highest load", f"{answer} tx/s" if answer else "none", f"{sure}, {_count(len(at), 'run')}" if answer else ""),
        ("limit of p99", f"≤ {words.duration(limits.p99_s)}", latency),
        ("limit of throughput", f"≥ {words.tenths(limits.achieved)}", completed),
        ("least that fails", f"{fails} tx/s" if fails else "none", _why(record, fails) if fails else ""),
    ]


def _hull(quantiles: Sequence[Quantile]) -> Quantile:
    """Return bounds that hold the quantile of every run."""
    lower = min(each.lower for each in quantiles)
    uppers = [each.upper for each in quantiles if each.upper is not None]
    upper = max(uppers) if len(uppers) == len(quantiles) else None
    return Quantile(estimate=lower, lower=lower, upper=upper)


def _why(record: SearchRecord, load: int) -> str:
    """Return which limits were not met at a load."""
    steps = [step for step in record.search.steps if step.requested_tps == load and step.met is False]
    return "not met: " + ", ".join(dict.fromkeys(reason for step in steps for reason in record.missed(step)))


def _unmeasured(record: SearchRecord) -> list[tuple[str, str]]:
    """Return why runs were repeated, and loads could not be measured: what it is, and the reason."""
    said = []
    for number, step in enumerate(record.search.steps, 1):
        where = f"step {number}, {step.requested_tps} tx/s"
        said += [("Repeated", f"{where}: {text}") for text in _repeated(record, step)]
        if step.met is False and not record.counted(step):
            said.append(("Not measured", f"{where}: {step.text}"))
    return said


def _repeated(record: SearchRecord, step: Taken) -> list[str]:
    before = step.run_ids[:-1] if step.met is not None else step.run_ids
    runs = [record.runs[run_id] for run_id in before if run_id in record.runs]
    return [f"{run.run_id} is {run.status}: {'; '.join(run.reasons)}" for run in runs]


def _facts(search: Search) -> list[tuple[str, str]]:
    plan = search.plan
    facts = [
        ("id", search.search_id),
        ("testbed", search.testbed_id),
        ("begun", words.moment(search.created_at.timestamp())),
        ("commit", search.commit),
        ("loads", f"from {plan.start_tps}, at most {plan.maximum_tps} tx/s"),
        ("precision", f"at most {words.tenths(plan.precision)} below a load that fails"),
        ("confirmations", _count(plan.confirmations, "further run")),
        ("steps", f"{len(search.steps)}, at most {plan.max_runs}"),
        ("outcome", search.reason),
    ]
    return [(name, text) for name, text in facts if text]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

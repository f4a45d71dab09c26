"""Render the report of a run as one HTML page."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmark.measure.run_metrics import QUANTILES, Quantile
from benchmark.report import formatting, reproduce
from benchmark.report.batch_means import Precision, precision
from benchmark.report.breakdown import breakdown_charts, breakdown_table
from benchmark.report.chart import Chart
from benchmark.report.distribution import distribution_chart
from benchmark.report.faults import impact_table, proof_table, region_table
from benchmark.report.host_charts import host_chart
from benchmark.report.latency_explained import explained_chart, explained_table
from benchmark.report.log_lines import log_lines
from benchmark.report.map import world_chart
from benchmark.report.palette import css
from benchmark.report.run_data import Record
from benchmark.report.tables import (
    Table,
    clock_table,
    figures_table,
    hosts_table,
    network_table,
    phase_figures,
    phase_table,
    round_trip_table,
)
from benchmark.report.time_charts import time_charts


def charts_of(record: Record) -> list[Chart]:
    """Return the charts that the data of a run allows, in page order."""
    made = [
        world_chart(record),
        *time_charts(record),
        distribution_chart(record),
        explained_chart(record),
        *breakdown_charts(record),
        host_chart(record),
    ]
    return [chart for chart in made if chart is not None]


def tables_of(record: Record) -> list[Table]:
    """Return the tables that the data of a run allows, in page order."""
    summary = record.summary
    made = [
        round_trip_table(record),
        network_table(record),
        phase_figures(record),
        impact_table(record),
        region_table(record),
        proof_table(record),
        figures_table("regions", "By region of the clients", "region", summary.by_region)
        if summary.by_region
        else None,
        figures_table("workloads", "By workload", "workload", summary.by_workload)
        if len(summary.by_workload) > 1
        else None,
        figures_table("clients", "By client", "client", summary.by_client) if summary.by_client else None,
        explained_table(record),
        breakdown_table(record),
        hosts_table(record),
        clock_table(record),
        phase_table(record),
    ]
    return [table for table in made if table is not None]


def run_page(record: Record) -> str:
    """Return the report of a run: HTML that needs no other file."""
    summary, precise = record.summary, precision(record.window)
    logs = log_lines(record)
    context = {
        "title": f"{summary.protocol} {formatting.version(summary.commit)}, {summary.nodes} nodes, "
        f"{summary.requested_tps:g} tx/s",
        "record": record,
        "summary": summary,
        "state": state(summary.status, summary.saturated),
        "happened": {"failed": "Failed", "interrupted": "Interrupted"}.get(summary.status, "Invalid"),
        "claim": claim(record, precise),
        "tiles": _tiles(record, precise),
        "request": _request(record),
        "charts": {chart.name: chart for chart in charts_of(record)},
        "tables": {table.name: table for table in tables_of(record)},
        "processes": reproduce.processes(record),
        "versions": reproduce.versions(record),
        "commands": reproduce.commands(record),
        "settings": reproduce.settings(record),
        "definition": reproduce.definition(record),
        "files": reproduce.files(record.folder),
        "log_lines": logs and logs.packed(),
        "emulated": any(host.provider == "local" for host in record.manifest.inventory.hosts),
    }
    return render("run.html", context)


def render(template: str, context: Mapping[str, object]) -> str:
    """Render a template; text is escaped unless it is marked safe."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("benchmark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["palette"] = Markup(css())
    environment.filters["data_uri"] = lambda text: "data:text/csv;base64," + base64.b64encode(text.encode()).decode()
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["inline"] = lambda chart: Markup(chart.svg())
    environment.filters["models"] = _models
    script = files("benchmark.report").joinpath("templates/report.js").read_text(encoding="utf-8")
    environment.globals["script"] = Markup(script)
    environment.globals["script_hash"] = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment


def _models(charts: Mapping[str, Chart]) -> Markup:
    """Return the models of all charts that have one as JSON that can stand in a page."""
    found = {name: asdict(model) for name, chart in charts.items() if (model := chart.model())}
    return Markup(json.dumps(found, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"))


def state(status: str, saturated: bool) -> tuple[str, str]:
    """Return the CSS class and the text of the badge for a run's status."""
    if status != "ok":
        return "bad", "invalid: do not use" if status == "invalid" else status
    return ("warning", "valid, saturated") if saturated else ("good", "valid")


def claim(record: Record, precise: Precision) -> str:
    """Return the result of a run as a sentence, or state that nothing was measured."""
    summary = record.summary
    regions = len(record.manifest.inventory.regions)
    who = f"{summary.protocol} {formatting.version(summary.commit)} on {count(summary.nodes, 'node')}"
    who += f" in a testbed of {count(regions, 'region')}" if regions else ""
    if summary.window is None:
        return f"{who} at {summary.requested_tps:g} tx/s: stopped before anything was measured."
    if summary.completed_tps is None or (summary.status == "invalid" and not summary.latency_s):
        return f"{who} at {summary.requested_tps:g} tx/s: nothing valid was measured."
    text = (
        f"{who} completed {formatting.rate(summary.completed_tps)}{_plus(precise.completed_tps, formatting.rate)} tx/s "
    )
    scheduled = summary.scheduled_tps or summary.requested_tps
    text += f"of {formatting.rate(scheduled)} tx/s scheduled by {count(summary.clients, 'client')} "
    text += f"for {summary.window.seconds:g} s"
    if summary.latency_s:
        latency = summary.latency_s
        mean = "unknown" if latency.mean is None else formatting.duration(latency.mean)
        if latency.mean is not None and precise.mean_s is not None:
            mean = " ± ".join(formatting.with_error(latency.mean, precise.mean_s))
        text += f"; mean latency {mean}, 99th percentile {_within(latency.p99)}"
        text += f"; {count(summary.failed, 'request')} failed" if summary.failed else ""
    return text + "."


def _within(quantile: Quantile | None) -> str:
    if quantile and not formatting.remark(quantile):
        return formatting.quantile(quantile)
    return ("within " if quantile and quantile.upper is not None else "") + formatting.bounds(quantile)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _plus(half: float | None, written: Callable[[float], str]) -> str:
    return f" ± {written(half)}" if half is not None else ""


def _tiles(record: Record, precise: Precision) -> list[tuple[str, str, str]]:
    """Return the key results: name, value, and interval or remark."""
    summary, latency = record.summary, record.summary.latency_s
    unknown = "too few samples for an interval"
    throughput = f"± {formatting.rate(precise.completed_tps)} (95 %)" if precise.completed_tps is not None else unknown
    successful = summary.successful_latency_s if summary.successful_latency_s != latency else None
    measured = summary.completed_tps if latency or summary.errors else None
    tiles = [
        ("throughput", f"{formatting.rate(measured)} tx/s", throughput if measured is not None else "not measured")
    ]
    if latency:
        value, mean = formatting.duration(latency.mean), summary.unknown.get("mean_s", unknown)
        if precise.mean_s is not None and latency.mean is not None:
            value, half = formatting.with_error(latency.mean, precise.mean_s)
            mean = f"± {half} (95 %)"
        if successful:
            mean += f"; successful only: {formatting.duration(successful.mean)}"
        tiles.append(("mean latency", value, mean))
        for metric in QUANTILES:
            if metric.brief:
                quantile = latency.quantiles.get(metric.key)
                remark = _within(quantile) if quantile else summary.unknown.get(metric.name, "unknown")
                if quantile and quantile.upper and not formatting.remark(quantile):
                    remark = f"to {math.ceil((1 - quantile.lower / quantile.upper) * 1000) / 10:g} %"
                if successful and (only := successful.quantiles.get(metric.key)):
                    remark += f"; successful only: {formatting.quantile(only)}"
                tiles.append((metric.label, formatting.quantile(quantile), remark))
    kinds = ", ".join(f"{count} {name}" for name, count in (summary.errors or {}).items())
    counted = summary.errors is not None and (bool(kinds) or latency is not None)
    remark = kinds or ("no failed requests" if counted else "not counted" if latency else "nothing was measured")
    return [*tiles, ("errors", str(summary.failed) if counted else formatting.NONE, remark)]


def _request(record: Record) -> list[tuple[str, str]]:
    """Return what was requested: name and value."""
    summary, manifest = record.summary, record.manifest
    parameters, placement = manifest.parameters, manifest.placement
    where = "on the nodes' hosts" if set(placement.clients) & set(placement.nodes) else "on dedicated hosts"
    request = [
        ("run", summary.run_id),
        ("name", manifest.name or ""),
        ("system", f"{summary.protocol} at {summary.commit}"),
        ("packages", _inline(manifest.packages)),
        ("committee", f"{count(summary.nodes, 'node')}" + (f", led by {summary.leader}" if summary.leader else "")),
        ("load", f"{summary.requested_tps:g} tx/s, open loop, from {count(summary.clients, 'client')} {where}"),
        ("warm-up, window", f"{parameters.warm_up_s:g} s, {parameters.duration_s:g} s"),
        ("measured from", formatting.moment(record.start)),
        ("measured until", formatting.moment(record.end)),
        ("samples", f"every {record.scrape_interval:g} s" if record.samples.series else "none"),
        ("linearizability", str(summary.verification or "")),
        ("agreement", str(summary.agreement or "")),
        ("progress", str(summary.progress or "")),
        ("node parameters", _inline(parameters.node_parameters)),
        ("client parameters", _inline(parameters.client_parameters)),
    ]
    return [(name, text) for name, text in request if text]


def _inline(parameters: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items() if value is not None)

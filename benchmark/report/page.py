"""The page of one run: what a template needs, in its words."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmark.measure.run_metrics import QUANTILES, Quantile
from benchmark.report import format as words
from benchmark.report import reproduce
from benchmark.report.batch_means import Precision, precision
from benchmark.report.chart import Chart
from benchmark.report.distribution import distribution_chart
from benchmark.report.host_charts import host_chart
from benchmark.report.map import world_chart
from benchmark.report.palette import css
from benchmark.report.run_data import Record
from benchmark.report.tables import (
    Table,
    clock_table,
    figures_table,
    hosts_table,
    phase_table,
    round_trip_table,
)
from benchmark.report.time_charts import time_charts

if TYPE_CHECKING:
    from jinja2 import Environment


def charts_of(record: Record) -> list[Chart]:
    """Return every chart that a run's folder allows, in the order of the page."""
    made = [world_chart(record), *time_charts(record), distribution_chart(record), host_chart(record)]
    return [chart for chart in made if chart is not None]


def tables_of(record: Record) -> list[Table]:
    """Return every table that a run's folder allows, in the order of the page."""
    summary = record.summary
    made = [
        round_trip_table(record),
        figures_table("regions", "By region of the clients", "region", summary.by_region)
        if summary.by_region
        else None,
        figures_table("clients", "By client", "client", summary.by_client) if summary.by_client else None,
        hosts_table(record),
        clock_table(record),
        phase_table(record),
    ]
    return [table for table in made if table is not None]


def run_page(record: Record) -> str:
    """Return the page of a run: HTML that needs no other file."""
    precise = precision(record.window)
    context = {
        "title": _title(record),
        "record": record,
        "summary": record.summary,
        "state": state(record.summary.status, record.summary.saturated),
        "claim": claim(record, precise),
        "tiles": _tiles(record, precise),
        "asked": _asked(record),
        "charts": {chart.name: chart for chart in charts_of(record)},
        "tables": {table.name: table for table in tables_of(record)},
        "processes": reproduce.processes(record),
        "versions": reproduce.versions(record),
        "commands": reproduce.commands(record),
        "settings": reproduce.settings(record),
        "files": reproduce.files(record.folder),
        "emulated": any(host.provider == "local" for host in record.manifest.inventory.hosts),
    }
    return render("run.html", context)


def render(template: str, context: Mapping[str, Any]) -> str:
    """Fill a template; everything that is not marked safe is escaped."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("benchmark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["palette"] = Markup(css())
    environment.globals["words"] = words
    environment.filters["data_uri"] = lambda text: "data:text/csv;base64," + base64.b64encode(text.encode()).decode()
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["inline"] = lambda chart: Markup(chart.svg())
    return environment


def state(status: str, saturated: bool) -> tuple[str, str]:
    """Return the class and the words of a run's state."""
    if status != "ok":
        return "bad", {"invalid": "invalid: not to be used", "failed": "failed", "interrupted": "interrupted"}[status]
    return ("warning", "valid, saturated") if saturated else ("good", "valid")


def _title(record: Record) -> str:
    summary = record.summary
    return f"{summary.protocol} {words.version(summary.commit)}, {summary.nodes} nodes, {summary.requested_tps:g} tx/s"


def claim(record: Record, precise: Precision) -> str:
    """Return the run's claim as a sentence; what it is not where there is none."""
    summary = record.summary
    regions = len(record.manifest.inventory.regions)
    who = f"{summary.protocol} {words.version(summary.commit)} on {_count(summary.nodes, 'node')}"
    who += f" in a testbed of {_count(regions, 'region')}" if regions else ""
    if summary.completed_tps is None or summary.window is None:
        return f"{who} was to be measured under {summary.requested_tps:g} tx/s; there is no measurement."
    text = f"{who} completed {words.rate(summary.completed_tps)}{_plus(precise.completed_tps, words.rate)} tx/s "
    scheduled = summary.scheduled_tps or summary.requested_tps
    text += f"of {words.rate(scheduled)} tx/s scheduled by {_count(summary.clients, 'client')} "
    text += f"for {summary.window.seconds:g} s"
    if summary.latency_s:
        latency = summary.latency_s
        half = _plus(precise.mean_s, lambda half: words.error(half, latency.mean))
        text += f"; the latency was {words.duration(latency.mean)}{half} in the mean"
        text += f", its 99th percentile is {_within(latency.p99)}"
    return text + "."


def _within(quantile: Quantile) -> str:
    return ("" if quantile.upper is None else "within ") + words.bounds(quantile)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _plus(half: float | None, written: Callable[[float], str]) -> str:
    return f" ± {written(half)}" if half is not None else ""


def _tiles(record: Record, precise: Precision) -> list[tuple[str, str, str]]:
    """Return the figures of the claim: name, value, its error."""
    summary, latency = record.summary, record.summary.latency_s
    unknown = "too few samples for an error"
    throughput = f"± {words.rate(precise.completed_tps)} (95 %)" if precise.completed_tps is not None else unknown
    tiles = [("throughput", f"{words.rate(summary.completed_tps)} tx/s", throughput)]
    if latency:
        mean = f"± {words.error(precise.mean_s, latency.mean)} (95 %)" if precise.mean_s is not None else unknown
        tiles.append(("mean latency", words.duration(latency.mean), mean))
        for metric in QUANTILES:
            if metric.brief and (quantile := latency.quantiles.get(metric.key)):
                tiles.append((metric.label, words.duration(quantile.estimate), _within(quantile)))
    failed = sum(summary.errors.values())
    kinds = ", ".join(f"{count} {name}" for name, count in summary.errors.items())
    tiles.append(("errors", str(failed), kinds or "every answer was good"))
    return tiles


def _asked(record: Record) -> list[tuple[str, str]]:
    summary, manifest = record.summary, record.manifest
    parameters, placement = manifest.parameters, manifest.placement
    beside = "on the hosts of the nodes" if set(placement.clients) & set(placement.nodes) else "on hosts of their own"
    asked = [
        ("run", summary.run_id),
        ("name", manifest.name or ""),
        ("system", f"{summary.protocol} at {summary.commit}"),
        ("packages", ", ".join(f"{name} {held}" for name, held in manifest.packages.items())),
        ("committee", f"{_count(summary.nodes, 'node')}" + (f", led by {summary.leader}" if summary.leader else "")),
        ("load", f"{summary.requested_tps:g} tx/s, open loop, from {_count(summary.clients, 'client')} {beside}"),
        ("warm-up, window", f"{parameters.warm_up_s:g} s, {parameters.duration_s:g} s"),
        ("measured from", words.moment(record.start)),
        ("measured until", words.moment(record.end)),
        ("samples", f"every {record.scrape_interval:g} s" if record.series else "none"),
        ("node parameters", _inline(parameters.node_parameters)),
        ("client parameters", _inline(parameters.client_parameters)),
    ]
    return [(name, text) for name, text in asked if text]


def _inline(parameters: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items() if value is not None)

"""Generate the Grafana dashboards in assets/dashboards.

The panels are data; Grafana's typed library turns them into its JSON. They work when provisioned on the monitoring
host and when imported by hand: the data source is a variable. Results never come from these queries but from raw
samples.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from benchmark.measure.validity import THRESHOLDS

FOLDER = Path("assets/dashboards")
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24  # of Grafana's grid

CLIENT = 'job="client",region=~"$region",host=~"$host"'
NODE = 'job="node",region=~"$region",host=~"$host"'
HOST = 'job="host",region=~"$region",host=~"$host"'
EMULATOR = 'job="host"'  # one emulator carries the packets of all hosts
CARDS = 'device!~"lo|veth.*|docker.*|br-.*"'
DISKS = 'device!~"loop.*|ram.*|sr.*|dm-.*"'
FILES = 'fstype!~"tmpfs|ramfs|squashfs|nsfs|proc|devtmpfs|fuse.*"'


@dataclass(frozen=True)
class Panel:
    """A panel: `queries` maps each legend to its PromQL; `kind` is how it is drawn."""

    title: str
    unit: str
    queries: dict[str, str]
    help: str = ""
    kind: str = "graph"


def _rate(metric: str, selector: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{selector}}}[$__rate_interval]))"


def _quantile(quantile: float, metric: str, selector: str, by: str = "") -> str:
    """Return the query of a quantile over the summed buckets; quantiles of parts are never averaged."""
    return f"histogram_quantile({quantile}, {_rate(f'{metric}_bucket', selector, f'le, {by}' if by else 'le')})"


def _mean(metric: str, selector: str, by: str = "") -> str:
    return f"{_rate(f'{metric}_sum', selector, by)} / {_rate(f'{metric}_count', selector, by)}"


def _quantiles(metric: str, selector: str) -> dict[str, str]:
    return {f"p{quantile:.0%}".rstrip("%"): _quantile(quantile, metric, selector) for quantile in (0.5, 0.9, 0.99)}


def _split(by: str) -> list[Panel]:
    """Return panels of the load and its latency per region or per host."""
    name = f"{{{{{by}}}}}"
    return [
        Panel(f"Completed per {by}", "tx/s", {name: _rate("latency_s_count", CLIENT, by)}),
        Panel(f"Errors per {by}", "err/s", {name: _rate("errors", CLIENT, by)}),
        Panel(f"Mean latency per {by}", "s", {name: _mean("latency_s", CLIENT, by)}),
        Panel(f"p99 latency per {by}", "s", {name: _quantile(0.99, "latency_s", CLIENT, by)}),
    ]


RUN: dict[str, list[Panel]] = {
    "Now": [
        Panel("Scheduled", "tx/s", {"scheduled": _rate("due", CLIENT)}, kind="stat"),
        Panel("Completed", "tx/s", {"completed": _rate("latency_s_count", CLIENT)}, kind="stat"),
        Panel("Mean latency", "s", {"mean": _mean("latency_s", CLIENT)}, kind="stat"),
        Panel("p99 latency", "s", {"p99": _quantile(0.99, "latency_s", CLIENT)}, kind="stat"),
        Panel("Nodes up", "short", {"nodes": f"sum(up{{{NODE}}})"}, kind="stat"),
        Panel("Clients up", "short", {"clients": f"sum(up{{{CLIENT}}})"}, kind="stat"),
    ],
    "Load and latency": [
        Panel(
            "Load",
            "tx/s",
            {
                "scheduled": _rate("due", CLIENT),
                "sent": _rate("submitted", CLIENT),
                "completed": _rate("latency_s_count", CLIENT),
            },
            "Scheduled requests were due by the load schedule. If completed stays below them, the system is saturated.",
        ),
        Panel(
            "Latency",
            "s",
            {"mean": _mean("latency_s", CLIENT), **_quantiles("latency_s", CLIENT)},
            "From the time a request was due to its response, over the summed buckets of all clients. Failed requests "
            "have no response: see Errors by type. The results of a run count them as their timeout.",
        ),
        Panel(
            "Latency distribution",
            "s",
            {"{{le}}": f"sum by (le) (increase(latency_s_bucket{{{CLIENT}}}[$__rate_interval]))"},
            kind="heatmap",
        ),
        Panel("Errors by type", "err/s", {"{{error_type}}": _rate("errors", CLIENT, "error_type")}),
        Panel("Requests in flight", "short", {"{{region}}": f"sum by (region) (inflight{{{CLIENT}}})"}),
        Panel(
            "Scheduling delay of the load generators",
            "s",
            _quantiles("lateness_s", CLIENT),
            "How long after its due time a request was sent. A p99 above "
            f"{THRESHOLDS.client_delay_s * 1000:g} ms is a warning; if it also exceeds "
            f"{THRESHOLDS.client_delay_share:.0%} of the mean latency and the system kept up, the run is invalid.",
        ),
    ],
    "Regions": _split("region"),
    "Clients": _split("host"),
    "Nodes": [
        Panel("Nodes up", "short", {"{{host}}": f"min by (host) (up{{{NODE}}})"}),
        Panel("CPU of nodes", "cores", {"{{host}}": _rate("process_cpu_seconds_total", NODE, "host")}),
        Panel("Memory of nodes", "bytes", {"{{host}}": f"sum by (host) (process_resident_memory_bytes{{{NODE}}})"}),
        Panel("CPU of nodes per region", "cores", {"{{region}}": _rate("process_cpu_seconds_total", NODE, "region")}),
    ],
}


def _busy(by: str) -> str:
    return f'1 - avg by ({by}) (rate(node_cpu_seconds_total{{{HOST},mode="idle"}}[$__rate_interval]))'


_CORES = f'count by (host) (node_cpu_seconds_total{{{HOST},mode="idle"}})'
_FREE = f"node_memory_MemAvailable_bytes{{{HOST}}}"
_MEMORY = f"node_memory_MemTotal_bytes{{{HOST}}}"

HOSTS: dict[str, list[Panel]] = {
    "CPU": [
        Panel("CPU busy per host", "percentunit", {"{{host}}": _busy("host")}),
        Panel("CPU busy per region", "percentunit", {"{{region}}": _busy("region")}),
        Panel(
            "Busiest core per host",
            "percentunit",
            {"{{host}}": f"max by (host) ({_busy('host, cpu')})"},
            "A single-threaded bottleneck shows here but not in the average.",
        ),
        Panel(
            "Load per core",
            "short",
            {"{{host}}": f"node_load1{{{HOST}}} / on (host) {_CORES}"},
        ),
    ],
    "Memory": [
        Panel("Memory used per host", "percentunit", {"{{host}}": f"1 - {_FREE} / {_MEMORY}"}),
        Panel("Memory used per region", "bytes", {"{{region}}": f"sum by (region) ({_MEMORY} - {_FREE})"}),
    ],
    "Network": [
        Panel(
            "Received per host",
            "Bps",
            {"{{host}}": _rate("node_network_receive_bytes_total", f"{HOST},{CARDS}", "host")},
        ),
        Panel(
            "Sent per host", "Bps", {"{{host}}": _rate("node_network_transmit_bytes_total", f"{HOST},{CARDS}", "host")}
        ),
        Panel(
            "Network per region",
            "Bps",
            {
                "{{region}} received": _rate("node_network_receive_bytes_total", f"{HOST},{CARDS}", "region"),
                "{{region}} sent": _rate("node_network_transmit_bytes_total", f"{HOST},{CARDS}", "region"),
            },
        ),
        Panel(
            "Packets dropped by interfaces",
            "pps",
            {
                "{{host}} in": _rate("node_network_receive_drop_total", f"{HOST},{CARDS}", "host"),
                "{{host}} out": _rate("node_network_transmit_drop_total", f"{HOST},{CARDS}", "host"),
            },
        ),
    ],
    "Disk": [
        Panel(
            "Written per host", "Bps", {"{{host}}": _rate("node_disk_written_bytes_total", f"{HOST},{DISKS}", "host")}
        ),
        Panel("Read per host", "Bps", {"{{host}}": _rate("node_disk_read_bytes_total", f"{HOST},{DISKS}", "host")}),
        Panel(
            "Disk busy per host",
            "percentunit",
            {"{{host}}": f"max by (host) (rate(node_disk_io_time_seconds_total{{{HOST},{DISKS}}}[$__rate_interval]))"},
        ),
        Panel(
            "Free disk space",
            "percentunit",
            {
                "{{host}}": f"min by (host) (node_filesystem_avail_bytes{{{HOST},{FILES}}}"
                f" / node_filesystem_size_bytes{{{HOST},{FILES}}})"
            },
        ),
        Panel(
            "Disk written per region",
            "Bps",
            {"{{region}}": _rate("node_disk_written_bytes_total", f"{HOST},{DISKS}", "region")},
        ),
    ],
    "Emulated wide area network": [
        Panel(
            "Scheduling delay of the emulator",
            "s",
            _quantiles("wan_lateness_seconds", EMULATOR),
            "How long after its due time a packet was delivered. A p99 above "
            f"{THRESHOLDS.wan_delay_s * 1000:g} ms adds a warning to the run.",
        ),
        Panel("Packets forwarded", "pps", {"packets": _rate("wan_packets_total", EMULATOR)}),
        Panel(
            "Packets dropped by reason", "pps", {"{{reason}}": _rate("wan_dropped_packets_total", EMULATOR, "reason")}
        ),
    ],
}


class _Annotation(models.AnnotationQuery):
    """An annotation of a Prometheus data source, with fields that the library's model is missing."""

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            "titleFormat": "{{mark}}",
            "textFormat": "{{detail}}",
            "tagKeys": "kind,run",
            "step": "5s",
            "useValueForTime": True,
        }


class _Marks(dashboard.AnnotationQuery):
    """Annotations of one kind, from the marks that the runner exports; their value is their time in s."""

    def __init__(self, kind: str, color: str) -> None:
        expression = f'1000 * run_mark_time_seconds{{kind="{kind}"}}'  # Grafana expects ms
        name = f"{kind.capitalize()}s"
        self._internal = _Annotation(name=name, datasource=SOURCE, icon_color=color, expr=expression)


def _variables() -> list[Builder[models.VariableModel]]:
    def choice(name: str, query: str) -> dashboard.QueryVariable:
        every = models.VariableOption(selected=True, text=["All"], value=["$__all"])
        variable = dashboard.QueryVariable(name).query(query).datasource(SOURCE).current(every)
        variable = variable.multi(True).include_all(True).all_value(".*").sort(models.VariableSort.ALPHABETICAL_ASC)
        return variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)

    return [
        dashboard.DatasourceVariable("datasource").type("prometheus").label("data source"),
        choice("region", "label_values(up, region)"),
        choice("host", 'label_values(up{region=~"$region"}, host)'),
    ]


def _queries(panel: Panel) -> Sequence[prometheus.Dataquery]:
    queries = [
        prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number)).range()
        for number, (legend, expression) in enumerate(panel.queries.items())
    ]
    if panel.kind == "heatmap":
        return [query.format(PromQueryFormat.HEATMAP) for query in queries]
    return queries


def _panel(panel: Panel, width: int) -> Builder[models.Panel]:
    # Grafana appends any text to the number if the unit is a suffix.
    unit = f"suffix:{panel.unit}" if panel.unit in {"tx/s", "err/s", "cores"} else panel.unit
    drawn: timeseries.Panel | stat.Panel | heatmap.Panel
    if panel.kind == "stat":
        last = common.ReduceDataOptions().calcs(["lastNotNull"])
        drawn = stat.Panel().graph_mode(BigValueGraphMode.AREA).reduce_options(last).unit(unit).height(4)
    elif panel.kind == "heatmap":
        # The cells count requests; the unit is that of the buckets.
        drawn = heatmap.Panel().calculate(False).y_axis(heatmap.YAxisConfig().unit(unit)).height(9)
    else:
        legend = common.VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.BOTTOM)
        legend = legend.show_legend(True).calcs(["mean", "max", "lastNotNull"])
        tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        drawn = timeseries.Panel().legend(legend).tooltip(tooltip).fill_opacity(5).min(0).unit(unit).height(9)
    drawn = drawn.title(panel.title).description(panel.help).datasource(SOURCE).span(width)
    for query in _queries(panel):
        drawn = drawn.with_target(query)
    return drawn


def build(uid: str, title: str, rows: dict[str, list[Panel]]) -> str:
    """Return a dashboard as JSON, the same text for the same rows."""
    built = dashboard.Dashboard(title).uid(uid).tags(["testbed"]).time("now-15m", "now").refresh("5s").readonly()
    built = built.tooltip(models.DashboardCursorSync.CROSSHAIR).variables(_variables())
    others = dashboard.DashboardLink("Dashboards").type(models.DashboardLinkType.DASHBOARDS).tags(["testbed"])
    built = built.link(others.keep_time(True).include_vars(True))
    built = built.annotation(_Marks("phase", "blue")).annotation(_Marks("fault", "orange"))
    for name, panels in rows.items():
        built = built.with_row(dashboard.Row(name))
        columns = len(panels) if panels[0].kind == "stat" else 2
        for panel in panels:
            built = built.with_panel(_panel(panel, WIDTH // columns))
    document = built.build()
    for number, drawn in enumerate(document.panels or [], start=1):
        drawn.id_val = number
    return json.dumps(document, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def documents() -> dict[Path, str]:
    """Map every dashboard's file, relative to the checkout, to its JSON."""
    return {
        FOLDER / "run.json": build("testbed-run", "Benchmark run", RUN),
        FOLDER / "hosts.json": build("testbed-hosts", "Testbed hosts", HOSTS),
    }

"""The tables of a report, as data: what the page shows and what a CSV file holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.measure.run_metrics import LATENCIES, QUANTILES, Latency
from benchmark.measure.validity import THRESHOLDS
from benchmark.measure.window_stats import Figures
from benchmark.report import format as words
from benchmark.report.run_data import Record


@dataclass(frozen=True)
class Cell:
    """A cell: what is shown, below it in small what it lies between, and how strongly it is tinted (0 to 1)."""

    text: str
    detail: str = ""
    tint: float = 0.0
    mark: str = ""
    """`bad` where it must be seen."""
    link: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a caption; the first column heads its row. `data`, where given, is what the CSV holds."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    data: tuple[Sequence[str], Sequence[Sequence[object]]] | None = None
    prose: bool = False
    """Whether it holds words rather than numbers."""

    def csv(self) -> str:
        """Return the data as CSV with a header, unrounded where `data` has it."""
        columns, rows = self.data or (self.columns, [[cell.text for cell in row] for row in self.rows])
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return out.getvalue()


def figures_table(name: str, caption: str, first: str, groups: Mapping[str, Figures]) -> Table:
    """Return the figures of each group, such as a region, as a row."""
    columns = (first, "sent tx/s", "completed tx/s", *(metric.short for metric in LATENCIES), "errors")
    rows = [
        [
            Cell(group),
            Cell(words.rate(found.sent_tps)),
            Cell(words.rate(found.completed_tps)),
            *_latency_cells(found.latency_s),
            _errors(found.errors),
        ]
        for group, found in groups.items()
    ]
    data = [_figures_row(group, found) for group, found in groups.items()]
    return Table(name, caption, columns, rows, (_figures_columns(first), data))


def _latency_cells(latency: Latency | None) -> list[Cell]:
    if latency is None:
        return [Cell(words.NONE)] * len(LATENCIES)
    quantiles = [latency.quantiles.get(metric.key) for metric in QUANTILES]
    return [
        Cell(words.duration(latency.mean)),
        Cell(words.duration(latency.stdev)),
        *(Cell(words.duration(each.estimate), words.bounds(each)) if each else Cell(words.NONE) for each in quantiles),
    ]


def _errors(errors: Mapping[str, int]) -> Cell:
    total = sum(errors.values())
    return Cell(str(total), ", ".join(f"{count} {name}" for name, count in errors.items()), mark="bad" if total else "")


def _figures_columns(first: str) -> list[str]:
    bounds = [f"{metric.key}_{part}_s" for metric in QUANTILES for part in ("estimate", "lower", "upper")]
    return [first, "sent_tps", "completed_tps", "completed", "mean_s", "stdev_s", *bounds, "errors"]


def _figures_row(group: str, found: Figures) -> list[object]:
    latency = found.latency_s
    parts: list[object] = []
    for metric in QUANTILES:
        quantile = latency.quantiles.get(metric.key) if latency else None
        parts += [quantile.estimate, quantile.lower, quantile.upper] if quantile else [None, None, None]
    mean = [latency.mean, latency.stdev] if latency else [None, None]
    rates: list[object] = [found.sent_tps, found.completed_tps, found.completed]
    return [group, *rates, *mean, *parts, sum(found.errors.values())]


def hosts_table(record: Record) -> Table | None:
    """Return what was used of each host; None if no node exporter was sampled."""
    if not record.usage:
        return None
    placement = record.manifest.placement
    columns = ("host", "role", "CPU busy", "CPU peak", "memory", "received", "sent", "read", "written")
    rows = []
    for name, used in record.usage.items():
        roles = [role for role, hosts in (("node", placement.nodes), ("client", placement.clients)) if name in hosts]
        saturated = (used.cpu_busy or 0.0) > THRESHOLDS.cpu_busy
        memory = f"of {words.size(used.memory_bytes)}" if used.memory_bytes else ""
        io_rates = (used.received_bytes_per_s, used.sent_bytes_per_s, used.read_bytes_per_s, used.written_bytes_per_s)
        rows.append(
            [
                Cell(name),
                Cell(", ".join(roles) or words.NONE),
                Cell(words.share(used.cpu_busy), "saturated" if saturated else "", mark="bad" if saturated else ""),
                Cell(words.share(used.cpu_busy_peak)),
                Cell(words.size(used.memory_used_bytes), memory),
                *(Cell(f"{words.size(value)}/s" if value is not None else words.NONE) for value in io_rates),
            ]
        )
    fields = list(type(next(iter(record.usage.values()))).model_fields)
    data = [[name, *(getattr(used, field) for field in fields)] for name, used in record.usage.items()]
    return Table("host_usage", "Use of the hosts in the measured window", columns, rows, (["host", *fields], data))


def round_trip_table(record: Record) -> Table | None:
    """Return the matrix of round-trip times between regions, tinted by length; None if none was measured."""
    trips = record.manifest.round_trips
    if not trips:
        return None
    regions = list(dict.fromkeys(name for pair in trips for name in pair))
    longest = max(trips.values())
    rows = [
        [Cell(a)]
        + [
            Cell(f"{trips[a, b]:.1f}", tint=trips[a, b] / longest)
            if (a, b) in trips
            else Cell("same" if a == b else words.NONE)
            for b in regions
        ]
        for a in regions
    ]
    data = [(a, b, ms) for (a, b), ms in trips.items()]
    caption = "Round-trip times between regions as measured before the run, ms (row: from, column: to)"
    return Table("round_trips", caption, ("from", *regions), rows, (("from", "to", "rtt_ms"), data))


def clock_table(record: Record) -> Table | None:
    """Return each host's clock against the operator's; None if no clock was measured."""
    clocks = record.manifest.clock_offsets_s
    if not clocks:
        return None
    rows = [
        [Cell(host), Cell(f"{clock.offset_s * 1000:+.2f}"), Cell(f"{clock.error_s * 1000:.2f}")]
        for host, clock in sorted(clocks.items())
    ]
    return Table("clocks", "Clocks of the hosts against the operator's, ms", ("host", "offset", "error at most"), rows)


def phase_table(record: Record) -> Table | None:
    """Return how long each phase took; None if it is not known."""
    timings = record.manifest.timings_s
    if not timings:
        return None
    named = {"system_start": "of these, the system's own start", "overhead": "all but start, warm-up and window"}
    rows = [
        [Cell(named.get(name, name.replace("_", " "))), Cell(f"{seconds:.2f}")] for name, seconds in timings.items()
    ]
    return Table("phases", "Where the time went, s", ("phase", "seconds"), rows)

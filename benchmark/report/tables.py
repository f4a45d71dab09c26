"""Tables of a report as data: shown in the page and written as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.measure.run_metrics import LATENCIES, QUANTILES
from benchmark.measure.validity import THRESHOLDS
from benchmark.measure.window_stats import WindowStats
from benchmark.report import formatting
from benchmark.report.run_data import Record

MOST_ROUND_TRIPS = 12
"""Rows of the table of round trips before and after a run; its CSV file has all."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, bounds or a remark in small print below, and the strength of its tint (0 to 1)."""

    text: str
    detail: str = ""
    tint: float = 0.0
    mark: str = ""
    """`bad` to highlight it."""
    link: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a caption; the first column is the row header. `data`, if given, is written as CSV instead."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    data: tuple[Sequence[str], Sequence[Sequence[object]]] | None = None
    prose: bool = False
    """Whether it holds text rather than numbers."""

    def csv(self) -> str:
        """Return the data as CSV with a header, unrounded if `data` is given."""
        columns, rows = self.data or (self.columns, [[cell.text for cell in row] for row in self.rows])
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return out.getvalue()


def figures_table(name: str, caption: str, first: str, groups: Mapping[str, WindowStats]) -> Table:
    """Return the statistics of each group, such as a region, as a row."""
    columns = (first, "sent tx/s", "completed tx/s", *(metric.short for metric in LATENCIES), "errors")
    bounds = [f"{metric.key}_{part}_s" for metric in QUANTILES for part in ("estimate", "lower", "upper")]
    header = [first, "sent_tps", "completed_tps", "completed", "mean_s", "stdev_s", *bounds, "errors"]
    rows: list[list[Cell]] = []
    data: list[list[object]] = []
    for group, found in groups.items():
        latency, failed = found.latency_s, found.failed
        quantiles = [latency.quantiles.get(metric.key) if latency else None for metric in QUANTILES]
        kinds = ", ".join(f"{count} {kind}" for kind, count in (found.errors or {}).items())
        rows.append(
            [
                Cell(group),
                Cell(formatting.rate(found.sent_tps)),
                Cell(formatting.rate(found.completed_tps)),
                Cell(formatting.duration(latency.mean if latency else None)),
                Cell(formatting.duration(latency.stdev if latency else None)),
                *(
                    Cell(formatting.quantile(q), formatting.remark(q)) if q else Cell(formatting.NONE)
                    for q in quantiles
                ),
                Cell(formatting.NONE if failed is None else str(failed), kinds, mark="bad" if failed else ""),
            ]
        )
        moments = [latency.mean, latency.stdev] if latency else [None, None]
        parts = [part for q in quantiles for part in ((q.estimate, q.lower, q.upper) if q else (None, None, None))]
        data.append([group, found.sent_tps, found.completed_tps, found.completed, *moments, *parts, failed])
    return Table(name, caption, columns, rows, (header, data))


def phase_figures(record: Record) -> Table | None:
    """Return the statistics of each phase of the measured window as a row; None if it has none."""
    groups = {
        f"{phase.label}, {phase.start - record.start:g}\N{EN DASH}{phase.end - record.start:g} s": phase.stats
        for phase in record.summary.phases
        if phase.stats is not None
    }
    return figures_table("phase_figures", "By phase of the measured window", "phase", groups) if groups else None


def hosts_table(record: Record) -> Table | None:
    """Return the resource usage of each host; None if no node exporter was sampled."""
    if not record.usage:
        return None
    placement = record.manifest.placement
    columns = ("host", "role", "CPU busy", "CPU peak", "memory", "received", "sent", "read", "written")
    rows = []
    for name, used in record.usage.items():
        roles = [role for role, hosts in (("node", placement.nodes), ("client", placement.clients)) if name in hosts]
        limited = (used.cpu_busy or 0.0) > THRESHOLDS.cpu_busy
        memory = f"of {formatting.size(used.memory_bytes)}" if used.memory_bytes else ""
        io_rates = (used.received_bytes_per_s, used.sent_bytes_per_s, used.read_bytes_per_s, used.written_bytes_per_s)
        rows.append(
            [
                Cell(name),
                Cell(", ".join(roles) or formatting.NONE),
                Cell(formatting.share(used.cpu_busy), "CPU-bound" if limited else "", mark="bad" if limited else ""),
                Cell(formatting.share(used.cpu_busy_peak)),
                Cell(formatting.size(used.memory_used_bytes), memory),
                *(Cell(f"{formatting.size(value)}/s" if value is not None else formatting.NONE) for value in io_rates),
            ]
        )
    fields = list(type(next(iter(record.usage.values()))).model_fields)
    data = [[name, *(getattr(used, field) for field in fields)] for name, used in record.usage.items()]
    return Table("host_usage", "Host usage in the measured window", columns, rows, (["host", *fields], data))


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
            else Cell("same" if a == b else formatting.NONE)
            for b in regions
        ]
        for a in regions
    ]
    data = [(a, b, ms) for (a, b), ms in trips.items()]
    caption = "Round-trip times between regions, measured before the run, ms (row: from, column: to)"
    return Table("round_trips", caption, ("from", *regions), rows, (("from", "to", "rtt_ms"), data))


def network_table(record: Record) -> Table | None:
    """Return the round trips before and after the run that differ most from each other or from the requested ones.

    None if none was measured.
    """
    measured, requested = record.manifest.network, record.manifest.inventory.round_trips
    if not measured:
        return None

    def difference(pair: str) -> float:
        found, wanted = measured[pair], requested.get(pair)
        times = [each for each in (found.before_ms, found.after_ms) if each is not None]
        return max((abs(each - (wanted.rtt_ms if wanted else times[0])) for each in times), default=0.0)

    def cell(pair: str, rtt_ms: float | None) -> Cell:
        wanted = requested.get(pair)
        off = rtt_ms is not None and wanted is not None and not wanted.allows(rtt_ms)
        return Cell(formatting.NONE if rtt_ms is None else f"{rtt_ms:.2f}", mark="bad" if off else "")

    pairs = sorted(measured, key=difference, reverse=True)
    rows = []
    for pair in pairs[:MOST_ROUND_TRIPS]:
        source, _, target = pair.partition("/")
        wanted = requested.get(pair)
        times = [cell(pair, measured[pair].before_ms), cell(pair, measured[pair].after_ms)]
        rows.append(
            [Cell(source), Cell(target), *([Cell(str(wanted or formatting.NONE))] if requested else []), *times]
        )
    data = [
        (*pair.partition("/")[::2], wanted and wanted.rtt_ms, measured[pair].before_ms, measured[pair].after_ms)
        for pair in pairs
        for wanted in [requested.get(pair)]
    ]
    of_all = f"; {MOST_ROUND_TRIPS} of {len(pairs)} pairs" if len(pairs) > MOST_ROUND_TRIPS else ""
    caption = f"Round trips before and after the run, shortest of several, ms, by difference{of_all}"
    columns = ("from", "to", *(["requested"] if requested else []), "before", "after")
    header = ("from", "to", "requested_ms", "before_ms", "after_ms")
    return Table("network", caption, columns, rows, (header, data))


def clock_table(record: Record) -> Table | None:
    """Return the offset of each host's clock from the operator's; None if no clock was measured."""
    clocks = record.manifest.clock_offsets_s
    if not clocks:
        return None
    rows = [
        [Cell(host), Cell(f"{clock.offset_s * 1000:+.2f}"), Cell(f"{clock.error_s * 1000:.2f}")]
        for host, clock in sorted(clocks.items())
    ]
    return Table("clocks", "Clock offsets from the operator's machine, ms", ("host", "offset", "maximum error"), rows)


def phase_table(record: Record) -> Table | None:
    """Return how long each phase took; None if unknown."""
    timings = record.manifest.timings_s
    if not timings:
        return None
    named = {"system_start": "including system start-up", "overhead": "harness: all but start-up, warm-up and window"}
    rows = [
        [Cell(named.get(name, name.replace("_", " "))), Cell(f"{seconds:.2f}")] for name, seconds in timings.items()
    ]
    return Table("phases", "Time per phase, s", ("phase", "seconds"), rows)

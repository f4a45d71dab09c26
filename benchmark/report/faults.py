"""Tables of the faults of a run: what they did, and what proves that they were in force."""

from __future__ import annotations

import json

from benchmark.measure.fault_impact import FaultImpact
from benchmark.measure.window_stats import WindowStats
from benchmark.report import formatting
from benchmark.report.run_data import Record
from benchmark.report.tables import Cell, Table

_FIGURES = (
    "first_error_s", "outage_s", "longest_outage_s", "least_outage_s", "recovery_s", "late", "late_limit_s", "waited_s",
    "lost", "availability",
)  # fmt: skip


def impact_table(record: Record) -> Table | None:
    """Return what each fault did, in a row each; None if none was injected."""
    if not record.summary.faults:
        return None
    columns = (
        "fault", "before", "during", "after", "first error", "outage", "recovery", "catch-up", "late, lost", "available"
    )  # fmt: skip
    rows = [
        [
            Cell(f"{found.kind}:{found.target}", _period(record, found)),
            *(_stats_cell(stats) for stats in (found.before, found.during, found.after)),
            Cell(_known(found, "first_error_s") if found.lost else "none" if found.lost == 0 else formatting.NONE),
            _outage_cell(found),
            Cell(_known(found, "recovery_s"), found.unknown.get("recovery_s", "")),
            _catch_up_cell(found),
            Cell(formatting.NONE if found.late is None else f"{found.late} late", _lost(found)),
            Cell(
                formatting.NONE if found.availability is None else formatting.tenths(found.availability),
                found.unknown.get("availability", found.slo or ""),
            ),
        ]
        for found in record.summary.faults
    ]
    parts = ("before", "during", "after")
    header = ["kind", "target", "injected", "healed"]
    header += [f"{part}_{name}" for part in parts for name in ("completed_tps", "mean_s", "p99_s", "failed")]
    data = [
        [
            *(found.kind, found.target, found.injected, found.healed),
            *(value for part in parts for value in _stats_values(getattr(found, part))),
            *(getattr(found, name) for name in _FIGURES),
            found.slowest_catch_up_s,
        ]
        for found in record.summary.faults
    ]
    caption = "Effect of each fault: tx/s, p99 and errors before, during and after; its other figures in the latter two"
    return Table("faults", caption, columns, rows, ([*header, *_FIGURES, "catch_up_s"], data))


def region_table(record: Record) -> Table | None:
    """Return what clients of each region saw of each fault; None if all are in one region, or there was no fault."""
    rows, data = [], []
    for found in record.summary.faults:
        for region, seen in found.regions.items():
            outage = (
                formatting.NONE
                if seen.outage_s is None
                else formatting.duration(seen.outage_s)
                if seen.outage_s
                else "none"
            )
            counts = [formatting.NONE if count is None else str(count) for count in (seen.late, seen.lost)]
            available = formatting.NONE if seen.availability is None else formatting.tenths(seen.availability)
            rows.append(
                [
                    Cell(f"{found.kind}:{found.target}", _period(record, found)),
                    Cell(region),
                    Cell(outage, seen.unknown.get("outage_s", ""), mark="bad" if seen.outage_s else ""),
                    Cell(formatting.duration(seen.recovery_s), seen.unknown.get("recovery_s", "")),
                    *(Cell(text) for text in (*counts, available)),
                ]
            )
            times = (found.kind, found.target, found.injected, region)
            data.append([*times, *(getattr(seen, name) for name in _FIGURES)])
    columns = ("fault", "clients in", "outage", "recovery", "late", "lost", "available")
    header = ("kind", "target", "injected", "region", *_FIGURES)
    return Table("fault_regions", "Effect by region of the clients", columns, rows, (header, data)) if rows else None


def proof_table(record: Record) -> Table | None:
    """Return what each scheduled fault hit, when, and what proves it; None if none was scheduled."""
    if not record.manifest.faults:
        return None

    def since(moment: float | None) -> str:
        return formatting.NONE if moment is None else f"{moment - record.start:.2f}\N{NO-BREAK SPACE}s"

    rows = []
    for fault in record.manifest.faults:
        parameters = "; ".join(f"{name} {json.dumps(value)}" for name, value in fault.parameters.items())
        healed = Cell(since(fault.healed), fault.healed_proof, mark="bad" if fault.problem else "")
        rows.append(
            [
                Cell(fault.name, parameters),
                Cell(", ".join(fault.nodes) or formatting.NONE, ", ".join(fault.hosts)),
                Cell(since(fault.injected)),
                Cell(since(fault.in_force), fault.proof, mark="bad" if fault.problem else ""),
                Cell(since(fault.healing)),
                healed,
                Cell(fault.problem or "none"),
            ]
        )
    columns = ("fault", "processes, hosts", "injected", "in force", "healing", "healed", "problem")
    caption = "Proof that faults were in force and were healed; times since the measured window began"
    document = [fault.model_dump(mode="json") for fault in record.manifest.faults]
    data = [[value if isinstance(value, (str, float, int)) else json.dumps(value) for value in each.values()]
            for each in document]  # fmt: skip
    return Table("fault_proofs", caption, columns, rows, (list(document[0]), data), prose=True)


def _period(record: Record, found: FaultImpact) -> str:
    end = "end" if found.healed is None else f"{found.healed - record.start:.1f}"
    text = f"{found.injected - record.start:.1f}\N{EN DASH}{end}\N{NO-BREAK SPACE}s"
    return f"{text}; {found.unknown['all']}" if "all" in found.unknown else text


def _known(found: FaultImpact, name: str) -> str:
    return formatting.duration(getattr(found, name))


def _outage_cell(found: FaultImpact) -> Cell:
    if found.outage_s is None or found.least_outage_s is None:
        return Cell(formatting.NONE, found.unknown.get("outage_s", ""))
    if not found.outage_s:
        return Cell("none", f"of {formatting.duration(found.least_outage_s)} or more")
    longest = "" if found.longest_outage_s == found.outage_s else f"longest {_known(found, 'longest_outage_s')}"
    return Cell(formatting.duration(found.outage_s), longest, mark="bad")


def _catch_up_cell(found: FaultImpact) -> Cell:
    slowest, times = found.slowest_catch_up_s, found.catch_up_s.items()
    detail = ", ".join(f"{host} {formatting.duration(value)}" for host, value in times) if len(times) > 1 else ""
    return Cell(formatting.duration(slowest), found.unknown.get("catch_up_s", detail))


def _lost(found: FaultImpact) -> str:
    return "" if found.lost is None else f"{found.lost} lost"


def _stats_cell(stats: WindowStats | None) -> Cell:
    if stats is None:
        return Cell(formatting.NONE)
    errors = [f"{count} {kind}" for kind, count in (stats.errors or {}).items()]
    p99 = stats.latency_s.p99 if stats.latency_s else None
    return Cell(formatting.rate(stats.completed_tps), "; ".join([f"p99 {formatting.quantile(p99)}", *errors]))


def _stats_values(stats: WindowStats | None) -> tuple[float | None, ...]:
    latency = stats.latency_s if stats else None
    p99 = latency.p99.estimate if latency and latency.p99 else None
    return (
        stats.completed_tps if stats else None,
        latency.mean if latency else None,
        p99,
        stats.failed if stats else None,
    )

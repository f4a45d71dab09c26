"""Tables of sweeps and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmark.compare.comparison import AtLoad, Compared, MetricComparison
from benchmark.compare.faults import RegionSpread, Spread
from benchmark.compare.parts import ComparedPart
from benchmark.compare.statistics import Interval
from benchmark.measure.run_metrics import COMPARED
from benchmark.report import formatting
from benchmark.report.sweep_charts import Curves
from benchmark.report.tables import Cell, Table
from benchmark.results.sweep import SweepFolder

_WRITTEN: Mapping[str, Callable[[float | None], str]] = {"tx/s": formatting.rate, "s": formatting.duration}


def loads_table(curves: Curves) -> Table:
    """Return the medians of each load over its repeats."""
    side_column = ["side"] if len(curves) > 1 else []
    columns = [*side_column, "load tx/s", "runs", *(metric.label for metric in COMPARED), "notes"]
    rows = []
    for side, loads in curves.items():
        for load in loads:
            row = [*(Cell(side) for _ in side_column), Cell(f"{load.requested_tps:g}"), Cell(str(len(load.run_ids)))]
            for metric in COMPARED:
                if found := load.metrics.get(metric.name):
                    median, interval = found.median, "one run"
                    if median.lower is not None and median.upper is not None:
                        bounds = f"{formatting.rate(median.lower)}\N{EN DASH}{formatting.rate(median.upper)}"
                        if metric.unit == "s":
                            bounds = formatting.interval(median.lower, median.upper, median.estimate)
                        interval = f"{bounds}, {median.confidence * 100:.3g} %"
                    row.append(Cell(found.prefix + _WRITTEN[metric.unit](median.estimate), interval))
                else:
                    row.append(Cell(formatting.NONE))
            notes = [f"{load.saturated} saturated"] if load.saturated else []
            notes += [f"{len(load.set_aside)} excluded"] if load.set_aside else []
            notes += [f"{load.failed} requests failed"] if load.failed else []
            notes += [
                f"{metric.label} higher than shown in {higher}"
                for metric in COMPARED
                if metric.name in load.metrics and (higher := load.metrics[metric.name].at_least)
            ]
            far = sorted({run for found in load.metrics.values() for run in found.outliers})
            notes += [f"{len(far)} outlier{'s' if len(far) > 1 else ''}"] if far else []
            rows.append([*row, Cell("; ".join(notes) or formatting.NONE, ", ".join(far))])
    return Table("loads", "Medians over the repeats of each load, with confidence intervals", columns, rows)


def compared_table(compared: Compared) -> Table:
    """Return every difference that was tested."""
    columns = ("metric", "load tx/s", "A", "B", "difference of B", "p", "p adjusted", "significant")
    rows = []
    for metric in compared.metrics:
        rows.append(
            [
                Cell(metric.label),
                Cell("all"),
                Cell(""),
                Cell(""),
                _relative(metric.relative),
                *_tested(metric.p_value, metric),
            ]
        )
        for at in metric.loads:
            found = at.comparison
            medians = [Cell(_WRITTEN[metric.unit](side.estimate)) for side in (found.a, found.b)]
            load, change = Cell(f"{at.requested_tps:g}"), _relative(found.relative)
            rows.append([Cell(metric.label), load, *medians, change, *_tested(found.p_value, at)])
    caption = "B compared with A, over all loads and at each load; p is adjusted for multiple tests (Holm)"
    if compared.remark:
        caption += f"; {compared.remark}"
    return Table("compared", caption, columns, rows)


def parts_table(compared: Compared) -> Table | None:
    """Return the parts of the latency of A and B; None if they have none in common."""
    rows = [
        [
            Cell(f"{each.part} {each.value}".strip()),
            Cell(f"{each.requested_tps:g}"),
            *(Cell(formatting.duration(mean)) for mean in (each.a_mean_s, each.b_mean_s)),
            Cell(
                formatting.change(each.b_mean_s / each.a_mean_s - 1)
                if each.a_mean_s and each.b_mean_s
                else formatting.NONE
            ),
            *(Cell(formatting.rate(rate)) for rate in (each.a_per_s, each.b_per_s)),
        ]
        for each in compared.parts
    ]
    columns = ("part", "load tx/s", "mean of A", "mean of B", "difference of B", "A per s", "B per s")
    data = [tuple(each.model_dump().values()) for each in compared.parts]
    caption = "Parts of the latency over all nodes, medians of the runs; differences are not tested for significance"
    return Table("parts", caption, columns, rows, (tuple(ComparedPart.model_fields), data)) if rows else None


def phases_table(curves: Curves) -> Table | None:
    """Return the medians of each phase at each load over its repeats; None if there were no phases."""
    found = [(side, load, each) for side, loads in curves.items() for load in loads for each in load.phases]
    labels = {metric.name: metric.label for metric in COMPARED} | {"failed": "failed"}
    units = {metric.name: metric.unit for metric in COMPARED}
    rows = []
    for side, load, each in found:
        cells = []
        for name in labels:
            value, known = each.metrics[name], [found for found in each.values[name] if found is not None]
            write = _WRITTEN[units[name]] if name in units else "{:g}".format
            spread = f"{write(min(known))}\N{EN DASH}{write(max(known))}" if len(known) > 1 else ""
            cells.append(Cell(formatting.NONE if value is None else write(value), spread))
        first = [Cell(side)] if len(curves) > 1 else []
        rows.append([*first, Cell(each.phase), Cell(f"{load.requested_tps:g}"), *cells])
    data = [(side, each.phase, load.requested_tps, *each.metrics.values()) for side, load, each in found]
    columns = (*(["side"] if len(curves) > 1 else []), "phase", "load tx/s", *labels.values())
    caption = "Phases of the measured window: median and range over the repeats; differences are not tested"
    return (
        Table("phases", caption, columns, rows, (("side", "phase", "requested_tps", *labels), data)) if rows else None
    )


_FAULT_FIGURES: Mapping[str, tuple[str, Callable[[float | None], str]]] = {
    "outage_s": ("outage", formatting.duration),
    "recovery_s": ("recovery", formatting.duration),
    "catch_up_s": ("catch-up", formatting.duration),
    "availability": ("available", lambda value: formatting.NONE if value is None else formatting.tenths(value)),
    "late": ("late", lambda value: formatting.NONE if value is None else f"{value:g}"),
    "lost": ("lost", lambda value: formatting.NONE if value is None else f"{value:g}"),
}
"""Figures of a fault with their column and how they are written."""


def faults_table(curves: Curves) -> Table | None:
    """Return what the faults at each load did over its repeats, by region too; None if there were no faults."""
    found: list[tuple[str, float, str, str, RegionSpread]] = []
    for side, loads in curves.items():
        for load, each in [(one, fault) for one in loads for fault in one.faults]:
            found.append((side, load.requested_tps, each.fault, "", each))
            found += [(side, load.requested_tps, each.fault, region, seen) for region, seen in each.regions.items()]
    rows, data = [], []
    for side, tps, fault, region, seen in found:
        spreads = {name: getattr(seen, name, None) for name in _FAULT_FIGURES}
        cells = [_spread_cell(spread, _FAULT_FIGURES[name][1]) for name, spread in spreads.items()]
        first = [Cell(side)] if len(curves) > 1 else []
        rows.append([*first, Cell(fault, f"clients in {region}" if region else ""), Cell(f"{tps:g}"), *cells])
        values = [getattr(spread, part, None) for spread in spreads.values() for part in _PARTS]
        data.append((side, fault, region, tps, *values))
    header = (
        "side",
        "fault",
        "region",
        "requested_tps",
        *(f"{name}_{part}" for name in _FAULT_FIGURES for part in _PARTS),
    )
    labels = [label for label, _ in _FAULT_FIGURES.values()]
    columns = (*(["side"] if len(curves) > 1 else []), "fault", "load tx/s", *labels)
    caption = "Figures of the faults over all repeats: median and range; differences are not tested"
    return Table("faults", caption, columns, rows, (header, data)) if rows else None


_PARTS = ("median", "least", "most", "unknown")


def _spread_cell(spread: Spread | None, write: Callable[[float | None], str]) -> Cell:
    if spread is None:
        return Cell("")
    if spread.median is None:
        return Cell(formatting.NONE, f"{spread.unknown} unknown" if spread.unknown else "")
    details = [f"{write(spread.least)}\N{EN DASH}{write(spread.most)} of {len(spread.values)}"]
    details += [f"{spread.unknown} unknown"] if spread.unknown else []
    return Cell(write(spread.median), "; ".join(details))


def _tested(p_value: float, found: MetricComparison | AtLoad) -> list[Cell]:
    return [Cell(f"{p_value:.2g}"), Cell(f"{found.p_adjusted:.2g}"), Cell("yes" if found.significant else "no")]


def _relative(interval: Interval | None) -> Cell:
    if interval is None:
        return Cell(formatting.NONE)
    bounds = ""
    if interval.lower is not None and interval.upper is not None:
        bounds = formatting.change_interval(interval.lower, interval.upper)
    return Cell(formatting.change(interval.estimate), bounds)


def attempts_table(sweep: SweepFolder) -> Table:
    """Return every attempt of every run in the order they ran, with outcome, mean latency and leader."""
    rows = []
    for planned in sweep.journal.planned_runs:
        if not planned.attempts:
            rows.append(
                [
                    Cell(str(planned)),
                    Cell("not run yet"),
                    Cell(formatting.NONE),
                    Cell(formatting.NONE),
                    Cell(formatting.NONE),
                ]
            )
        for number, attempt in enumerate(planned.attempts, 1):
            summary = sweep.summary(attempt.run_id)
            latency = summary.latency_s if summary else None
            outcome = attempt.outcome + (f" ({attempt.failure})" if attempt.failure else "")
            run_id = attempt.run_id
            rows.append(
                [
                    Cell(str(planned), f"attempt {number}" if len(planned.attempts) > 1 else ""),
                    Cell(run_id, link=f"../{run_id}/report.html") if run_id else Cell("no run"),
                    Cell(outcome, attempt.reason, mark="" if attempt.outcome == "ok" else "bad"),
                    Cell(formatting.duration(latency.mean if latency else None)),
                    Cell((summary.leader if summary else None) or formatting.NONE),
                ]
            )
    columns = ("run", "id", "outcome", "mean latency", "leader")
    return Table("attempts", "Every run, in order", columns, rows, prose=True)

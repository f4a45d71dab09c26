"""Tables of sweeps and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmark.compare.comparison import AtLoad, Compared, MetricComparison
from benchmark.compare.faults import Spread
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
                    row.append(Cell(_WRITTEN[metric.unit](median.estimate), interval))
                else:
                    row.append(Cell(formatting.NONE))
            notes = [f"{load.saturated} saturated"] if load.saturated else []
            notes += [f"{len(load.set_aside)} excluded"] if load.set_aside else []
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
    return Table("compared", caption, columns, rows)


def parts_table(compared: Compared) -> Table | None:
    """Return the parts of the latency of A and B; None if they have none in common."""
    rows = [
        [
            Cell(f"{each.part} {each.value}".strip()),
            Cell(f"{each.requested_tps:g}"),
            *(Cell(formatting.duration(mean)) for mean in (each.a_mean_s, each.b_mean_s)),
            Cell(f"{each.b_mean_s / each.a_mean_s - 1:+.1%}" if each.a_mean_s and each.b_mean_s else formatting.NONE),
            *(Cell(formatting.rate(rate)) for rate in (each.a_per_s, each.b_per_s)),
        ]
        for each in compared.parts
    ]
    columns = ("part", "load tx/s", "mean of A", "mean of B", "difference of B", "A per s", "B per s")
    data = [tuple(each.model_dump().values()) for each in compared.parts]
    caption = "Parts of the latency over all nodes, medians of the runs; differences are not tested for significance"
    return Table("parts", caption, columns, rows, (tuple(ComparedPart.model_fields), data)) if rows else None


def faults_table(curves: Curves) -> Table | None:
    """Return outages and recoveries of the faults at each load over its repeats; None if there were no faults."""
    found = [(side, load, each) for side, loads in curves.items() for load in loads for each in load.faults]
    rows = [
        [
            *([Cell(side)] if len(curves) > 1 else []),
            Cell(each.fault),
            Cell(f"{load.requested_tps:g}"),
            _spread_cell(each.outage_s),
            _spread_cell(each.recovery_s),
        ]
        for side, load, each in found
    ]
    figures = ("median_s", "least_s", "most_s", "unknown")
    data = [
        (side, each.fault, load.requested_tps, *(getattr(times, name) for times in spreads for name in figures))
        for side, load, each in found
        for spreads in [(each.outage_s, each.recovery_s)]
    ]
    header = (
        "side",
        "fault",
        "requested_tps",
        *(f"{time}_{name}" for time in ("outage", "recovery") for name in figures),
    )
    columns = (*(["side"] if len(curves) > 1 else []), "fault", "load tx/s", "outage", "recovery")
    caption = "Outage and recovery over all faults and repeats: median and range; differences are not tested"
    return Table("faults", caption, columns, rows, (header, data)) if rows else None


def _spread_cell(spread: Spread) -> Cell:
    if spread.least_s is None or spread.most_s is None:
        return Cell(formatting.NONE, f"{spread.unknown} unknown")
    details = [
        f"{formatting.interval(spread.least_s, spread.most_s, spread.median_s or 0.0)} of {len(spread.values_s)}"
    ]
    details += [f"{spread.unknown} unknown"] if spread.unknown else []
    return Cell(formatting.duration(spread.median_s), "; ".join(details))


def _tested(p_value: float, found: MetricComparison | AtLoad) -> list[Cell]:
    return [Cell(f"{p_value:.2g}"), Cell(f"{found.p_adjusted:.2g}"), Cell("yes" if found.significant else "no")]


def _relative(interval: Interval | None) -> Cell:
    if interval is None:
        return Cell(formatting.NONE)
    known = interval.lower is not None and interval.upper is not None
    return Cell(f"{interval.estimate:+.1%}", f"{interval.lower:+.1%} to {interval.upper:+.1%}" if known else "")


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

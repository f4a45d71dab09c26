"""Write what a paper needs of results: figures, tables, and a methods paragraph with its references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.compare.comparison import Variant
from benchmark.compare.repeats import over_repeats, why_not_counted
from benchmark.errors import UsageError
from benchmark.files import write_atomically
from benchmark.measure.run_metrics import LATENCIES, QUANTILES
from benchmark.report import formatting
from benchmark.report.batch_means import precision
from benchmark.report.chart import Chart
from benchmark.report.page import charts_of, tables_of
from benchmark.report.paper_captions import context_of
from benchmark.report.paper_experiment import Experiment, Measured, read_measured
from benchmark.report.paper_figures import save_figure
from benchmark.report.paper_markup import (
    Sentence,
    latex,
    latex_figure,
    latex_paragraph,
    latex_table,
    markdown,
    markdown_paragraph,
    markdown_table,
)
from benchmark.report.paper_methods import methods
from benchmark.report.paper_references import bibliography
from benchmark.report.paper_style import PaperStyle
from benchmark.report.run_data import Record, read_record
from benchmark.report.search_data import read_search_record
from benchmark.report.search_page import charts_of_search, steps_table
from benchmark.report.sweep_page import SweepRecord, common_warnings, comparison, read_sweep_record
from benchmark.report.tables import Cell, Table
from benchmark.results.layout import SEARCH, SWEEP
from benchmark.results.sweep import SweepFolder

_FIGURES_OF_RUN = ("distribution", "latency", "regional")
_TABLES_OF_RUN = ("phase_figures", "faults", "regions")
_TABLES_OF_SWEEP = ("compared", "loads", "phases", "faults")


def write_paper(folder: Path, into: Path, style: PaperStyle) -> list[Path]:
    """Write figures, tables and a methods paragraph about a run, sweep or search, and return the paths.

    UsageError if no run counts.
    """
    if (folder / SWEEP).exists():
        return _write_sweep(read_sweep_record(folder), _order(SweepFolder.read(folder)), into, style)
    if (folder / SEARCH).exists():
        return _write_search(folder, into, style)
    record = read_record(folder)
    if record.summary.status != "ok":
        raise UsageError(f"{folder.name} is {why_not_counted(record.summary)}; a paper needs a valid run")
    experiment = Experiment(
        "run", {"": [Measured(record.summary, record.manifest)]}, precision=precision(record.window)
    )
    tables = {table.name: table for table in tables_of(record)}
    chosen = [_results_table(record, experiment), *(tables[name] for name in _TABLES_OF_RUN if name in tables)]
    charts = [chart for chart in charts_of(record) if chart.name in _FIGURES_OF_RUN]
    return _write(experiment, charts, chosen, into, style)


def write_paper_comparison(a: Variant, b: Variant, into: Path, style: PaperStyle) -> list[Path]:
    """Write the same about a comparison; UsageError if A and B have no load in common."""
    return _write_sweep(comparison(a, b), None, into, style)


def _write_sweep(record: SweepRecord, order: Sentence | None, into: Path, style: PaperStyle) -> list[Path]:
    sides = {
        side.named(name) if side.title or record.attempts else f"{name} ({side.name})": side
        for name, side in record.sides.items()
    }
    experiment = Experiment(
        "comparison" if len(sides) > 1 else "sweep",
        {name: read_measured(side.folder, side.summaries) for name, side in sides.items()},
        left_out=[run for side in sides.values() for run in side.summaries if run.status != "ok"],
        curves={name: over_repeats(side.summaries) for name, side in sides.items()},
        compared=record.compared,
        order=order,
    )
    tables = [_without_run_ids(table) for table in record.tables if table.name in _TABLES_OF_SWEEP]
    return _write(experiment, [chart for chart in record.charts if chart.name != "achieved"], tables, into, style)


def _write_search(folder: Path, into: Path, style: PaperStyle) -> list[Path]:
    record = read_search_record(folder)
    runs = list(record.runs.values())
    experiment = Experiment(
        "search",
        {"": read_measured(record.folder.path.parent, runs)},
        left_out=[run for run in runs if run.status != "ok"],
        curves={"": over_repeats(runs)},
        order=Sentence(
            "The loads are those of a search by doubling and bisection for the highest load with a p99 of at most "
            f"{formatting.duration(record.search.limits.p99_s)} (upper edge of its bucket) and at least "
            f"{formatting.tenths(record.search.limits.achieved)} of the requested load completed"
        ),
    )
    return _write(experiment, charts_of_search(record), [steps_table(record)], into, style)


def _order(sweep: SweepFolder) -> Sentence:
    journal = sweep.journal
    repeats = max((planned.repeat for planned in journal.planned_runs), default=0)
    rounds = f"{repeats} rounds" if repeats != 1 else "one round"
    if journal.seed is None:
        return Sentence(f"Runs took place in {rounds} of all loads in the order given")
    return Sentence(
        f"Runs took place in {rounds} of all loads, each in random order (seed {journal.seed})", ("fisher1935",)
    )


def _results_table(record: Record, experiment: Experiment) -> Table:
    """Return throughput, latencies and failures of a run with what is known of their errors."""
    summary, precise = record.summary, experiment.precision
    latency, unknown = summary.latency_s, formatting.NONE
    half = formatting.rate(precise.completed_tps)
    rows = [["throughput", f"{formatting.rate(summary.completed_tps)} tx/s", f"± {half} tx/s"]]
    data: list[list[object]] = [["completed_tps", summary.completed_tps, precise.completed_tps, None, None]]
    if precise.completed_tps is None:
        rows[0][2] = unknown
    for metric in LATENCIES if latency else ():
        quantile = latency.quantiles.get(metric.key) if latency and metric in QUANTILES else None
        if metric in QUANTILES:
            text = formatting.remark(quantile) if quantile else ""
            rows.append([metric.label, formatting.quantile(quantile), f"within {text}" if text else unknown])
            data.append(
                [
                    metric.name,
                    metric.of(summary),
                    None,
                    *((quantile.lower, quantile.upper) if quantile else (None, None)),
                ]
            )
        elif metric.key == "mean" and (mean := metric.of(summary)) is not None and precise.mean_s is not None:
            value, error = formatting.with_error(mean, precise.mean_s)
            rows.append([metric.label, value, f"± {error}"])
            data.append([metric.name, mean, precise.mean_s, None, None])
        else:
            rows.append([metric.label, formatting.duration(metric.of(summary)), unknown])
            data.append([metric.name, metric.of(summary), None, None, None])
    rows.append(["failed requests", unknown if summary.failed is None else str(summary.failed), unknown])
    data.append(["failed", summary.failed, None, None, None])
    header = ("metric", "value", "half_of_interval", "bucket_lower", "bucket_upper")
    cells = [[Cell(text) for text in row] for row in rows]
    return Table("results", "Results of the run", ("metric", "value", "interval"), cells, (header, data))


def _write(
    experiment: Experiment, charts: Sequence[Chart], tables: Sequence[Table], into: Path, style: PaperStyle
) -> list[Path]:
    if not experiment.runs:
        raise UsageError("no run counts, so there is nothing to publish; `geobench report` shows why")
    charts = [
        replace(chart, caption=f"{chart.title}. {chart.caption} {context_of(experiment, chart.name)}")
        for chart in charts
    ]
    tables = [replace(table, caption=f"{table.caption}. {context_of(experiment, table.name)}") for table in tables]
    paragraph = methods(experiment)
    references = bibliography(key for sentence in paragraph for key in sentence.cites)
    warnings = common_warnings([run.summary for run in experiment.runs])
    warnings += experiment.compared.warnings if experiment.compared else []
    into.mkdir(parents=True, exist_ok=True)
    written = [path for chart in charts for path in save_figure(chart, into, style)]
    texts = {f"{table.name}.csv": table.csv() for table in tables} | {
        "figures.tex": "\n".join(latex_figure(chart.name, chart.caption) for chart in charts),
        "tables.tex": "% \\usepackage{booktabs}\n" + "\n".join(map(latex_table, tables)),
        "methods.tex": "".join(f"% Before you publish: {latex(each)}\n" for each in warnings)
        + latex_paragraph(paragraph),
        "references.bib": references,
        "paper.md": _markdown_page(warnings, paragraph, charts, tables, references),
    }
    for name, text in texts.items():
        write_atomically(into / name, text)
    return [*written, *(into / name for name in texts)]


def _markdown_page(
    warnings: Sequence[str],
    paragraph: Sequence[Sentence],
    charts: Sequence[Chart],
    tables: Sequence[Table],
    references: str,
) -> str:
    parts = ["## Before you publish\n", *(f"- {markdown(each)}" for each in warnings), ""] if warnings else []
    parts += ["## Methods\n", markdown_paragraph(paragraph), "## Results\n"]
    parts += [f"![{markdown(chart.caption)}]({chart.name}.svg)\n" for chart in charts]
    parts += [f"{markdown_table(table)}\n: {markdown(table.caption)}\n" for table in tables]
    return "\n".join([*parts, "## References\n", f"```bibtex\n{references}```\n"])


def _without_run_ids(table: Table) -> Table:
    """Return the table of loads without the ids of outliers, which are too long for a page; its notes count them."""
    if table.name != "loads":
        return table
    return replace(table, rows=[[*row[:-1], replace(row[-1], detail="")] for row in table.rows])

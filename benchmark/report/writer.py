"""Write reports and plots into folders; importing this module loads matplotlib."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmark.compare.comparison import Variant
from benchmark.files import write_atomically
from benchmark.report import REPORT
from benchmark.report.page import charts_of, run_page, tables_of
from benchmark.report.paper_figures import save_figure
from benchmark.report.paper_style import PaperStyle
from benchmark.report.run_data import read_record
from benchmark.report.search_data import read_search_record
from benchmark.report.search_page import charts_of_search, search_page, steps_table
from benchmark.report.sweep_page import comparison, read_sweep_record, sweep_page
from benchmark.results.layout import SEARCH, SWEEP


def write_report(folder: Path) -> Path:
    """Write report.html into the folder of a run, sweep or search and return its path; UsageError if it is none."""
    if (folder / SWEEP).exists():
        page = sweep_page(read_sweep_record(folder))
    elif (folder / SEARCH).exists():
        page = search_page(read_search_record(folder))
    else:
        page = run_page(read_record(folder))
    write_atomically(folder / REPORT, page)
    return folder / REPORT


def write_comparison(a: Variant, b: Variant, path: Path) -> Path:
    """Write the report of a comparison of two runs or sweeps to `path`; UsageError if they have no load in common."""
    write_atomically(path, comparison_page(a, b, path.parent))
    return path


def comparison_page(a: Variant, b: Variant, folder: Path) -> str:
    """Return the report of a comparison, with links from `folder`; UsageError if they have no load in common."""
    return sweep_page(replace(comparison(a, b), folder=folder))


def write_plots(folder: Path, into: Path, style: PaperStyle) -> list[Path]:
    """Write every plot of a run, sweep or search as SVG and PDF, all data as CSV, and return the paths."""
    if (folder / SWEEP).exists():
        sweep = read_sweep_record(folder)
        charts, tables = sweep.charts, sweep.tables
    elif (folder / SEARCH).exists():
        search = read_search_record(folder)
        charts, tables = charts_of_search(search), [steps_table(search)]
    else:
        run = read_record(folder)
        charts, tables = charts_of(run), tables_of(run)
    into.mkdir(parents=True, exist_ok=True)
    written = [path for chart in charts for path in save_figure(chart, into, style)]
    for table in tables:
        path = into / f"{table.name}.csv"
        write_atomically(path, table.csv())
        written.append(path)
    return written

"""Reports: one HTML file that opens offline, plots for papers, tables as CSV; from results and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.files import write_atomically
from benchmark.results.run_folder import SEARCH, SWEEP

if TYPE_CHECKING:  # those that draw take half a second to import
    from benchmark.compare.comparison import Side
    from benchmark.report.chart import Chart
    from benchmark.report.tables import Table

REPORT = "report.html"


def write_report(folder: Path) -> Path:
    """Write report.html into the folder of a run, sweep or search and return its path; UsageError if it is none."""
    from benchmark.report.page import run_page
    from benchmark.report.run_data import read_record
    from benchmark.report.search_page import search_page
    from benchmark.report.search_record import read_search_record
    from benchmark.report.sweep_page import read_sweep_record, sweep_page

    path = folder / REPORT
    if (folder / SWEEP).exists():
        write_atomically(path, sweep_page(read_sweep_record(folder)))
    elif (folder / SEARCH).exists():
        write_atomically(path, search_page(read_search_record(folder)))
    else:
        write_atomically(path, run_page(read_record(folder)))
    return path


def write_comparison(a: Side, b: Side, path: Path) -> Path:
    """Write the report of a comparison of two runs or sweeps to `path`; UsageError if they have no load in common."""
    from dataclasses import replace

    from benchmark.report.sweep_page import comparison, sweep_page

    write_atomically(path, sweep_page(replace(comparison(a, b), folder=path.parent)))
    return path


def write_plots(folder: Path, into: Path) -> list[Path]:
    """Write every plot of a run, sweep or search as SVG and PDF, all data as CSV, and return the paths."""
    from benchmark.report.page import charts_of, tables_of
    from benchmark.report.run_data import read_record
    from benchmark.report.search_page import charts_of_search, tables_of_search
    from benchmark.report.search_record import read_search_record
    from benchmark.report.sweep_page import read_sweep_record

    if (folder / SEARCH).exists():
        search = read_search_record(folder)
        return _write(charts_of_search(search), tables_of_search(search), into)
    if (folder / SWEEP).exists():
        sweep = read_sweep_record(folder)
        return _write(sweep.charts, sweep.tables, into)
    record = read_record(folder)
    return _write(charts_of(record), tables_of(record), into)


def _write(charts: Sequence[Chart], tables: Sequence[Table], into: Path) -> list[Path]:
    into.mkdir(parents=True, exist_ok=True)
    written = [path for chart in charts for path in chart.save(into)]
    for table in tables:
        path = into / f"{table.name}.csv"
        write_atomically(path, table.csv())
        written.append(path)
    return written

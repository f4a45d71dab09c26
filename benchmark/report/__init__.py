"""Reports: one HTML file that opens offline, plots for papers, tables as CSV; from results and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.compare.comparison import Variant

REPORT = "report.html"

# The writer draws with matplotlib, which takes half a second to import: only commands that write a report load it.


def write_report(folder: Path) -> Path:
    """Write report.html into the folder of a run, sweep or search and return its path; UsageError if it is none."""
    from benchmark.report import writer

    return writer.write_report(folder)


def write_comparison(a: Variant, b: Variant, path: Path) -> Path:
    """Write the report of a comparison of two runs or sweeps to `path`; UsageError if they have no load in common."""
    from benchmark.report import writer

    return writer.write_comparison(a, b, path)


def write_plots(folder: Path, into: Path) -> list[Path]:
    """Write every plot of a run, sweep or search as SVG and PDF, all data as CSV, and return the paths."""
    from benchmark.report import writer

    return writer.write_plots(folder, into)

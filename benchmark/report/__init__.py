"""Reports: one HTML file that opens offline, plots for papers, tables as CSV; from results and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.report.paper_style import STYLES

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


def comparison_page(a: Variant, b: Variant, folder: Path) -> str:
    """Return the report of a comparison, with links from `folder`; UsageError if they have no load in common."""
    from benchmark.report import writer

    return writer.comparison_page(a, b, folder)


def write_plots(folder: Path, into: Path, style: str = "page") -> list[Path]:
    """Write every plot of a run, sweep or search as SVG and PDF, all data as CSV, and return the paths.

    `style` is a key of `STYLES`.
    """
    from benchmark.report import writer

    return writer.write_plots(folder, into, STYLES[style])


def write_paper(folder: Path, into: Path, style: str) -> list[Path]:
    """Write figures, tables and a methods paragraph about a run, sweep or search for a paper, and return the paths.

    `style` is a key of `STYLES`. UsageError if no run counts.
    """
    from benchmark.report import paper

    return paper.write_paper(folder, into, STYLES[style])


def write_paper_comparison(a: Variant, b: Variant, into: Path, style: str) -> list[Path]:
    """Write the same about a comparison; UsageError if A and B have no load in common."""
    from benchmark.report import paper

    return paper.write_paper_comparison(a, b, into, STYLES[style])

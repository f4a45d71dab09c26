"""The command that writes reports, and the reports that are written after a run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import click

from benchmark.cli import completers, messages
from benchmark.cli.help import Command, examples
from benchmark.cli.target import on_results, prepare_output
from benchmark.compare.comparison import find_variants
from benchmark.errors import UsageError
from benchmark.report import write_comparison, write_paper, write_paper_comparison, write_plots, write_report
from benchmark.report.paper_style import STYLES
from benchmark.results.find import find


@click.command(
    cls=Command,
    epilog=examples(
        "geobench report",
        "geobench report SWEEP --plots figures/",
        "geobench report SWEEP --paper --style usenix",
        "geobench report RUN OTHER-RUN --output difference.html",
    ),
)
@click.argument("names", nargs=-1, metavar="[RUN|SWEEP|SEARCH|latest] [B]", shell_complete=completers.results)
@click.option(
    "--plots", type=click.Path(path_type=Path), help="Write plots (SVG, PDF) and their data (CSV) to this folder."
)
@click.option(
    "--paper", is_flag=True, help="Write figures, LaTeX and Markdown tables, and a methods paragraph for a paper."
)
@click.option(
    "--style",
    type=click.Choice([*STYLES]),
    help="Width and font size of figures [default: acm for --paper, page for --plots].",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="File of a comparison, or folder of --paper [default: beside the runs].",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@on_results
def report(
    names: tuple[str, ...],
    plots: Path | None,
    paper: bool,
    style: str | None,
    output: Path | None,
    open_page: bool,
    results_dir: Path,
    as_json: bool,
) -> None:
    """Write the report of results, or of a comparison.

    Without a name it is that of the latest run, sweep or search; two names are compared.
    """
    _check_options(names, plots, paper, style)
    if len(names) == 2:
        a, b = find_variants(results_dir, names)
        path = output or a.folder / f"{a.name}-against-{b.name}{'-paper' if paper else '.html'}".replace(" ", "-")
        if path.is_dir() and not paper:
            raise UsageError(f"--output {path} is a folder; expected a file")
        written = (
            write_paper_comparison(a, b, _folder(path), style or "acm")
            if paper
            else [write_comparison(a, b, prepare_output(path))]
        )
    elif output and not paper:
        raise UsageError("--output needs two names to compare; the report of one is written to its folder")
    else:
        folder = find(results_dir, names[0] if names else "latest").path
        if paper:
            written = write_paper(folder, _folder(output or folder / "paper"), style or "acm")
        else:
            written = write_plots(folder, plots, style or "page") if plots else [write_report(folder)]
    if open_page and not plots and not paper and click.launch(str(written[0])):
        messages.warning(f"no browser could be started; open {written[0].resolve().as_uri()}")
    click.echo(json.dumps([str(path) for path in written]) if as_json else "\n".join(map(str, written)))


def _check_options(names: tuple[str, ...], plots: Path | None, paper: bool, style: str | None) -> None:
    if len(names) > 2:
        raise UsageError(f"found {len(names)} names, expected a run, sweep or search, or two to compare")
    if plots and paper:
        raise UsageError("--plots writes all plots and --paper those for a paper; pass one of them")
    if style and not (plots or paper):
        raise UsageError("--style needs --paper or --plots")
    if plots and len(names) == 2:
        raise UsageError("--plots needs one run, sweep or search; a comparison run with --a and --b counts as one")


def _folder(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; expected a folder for the files of --paper")
    return prepare_output(path / "paper.md").parent


def write_reports(folders: Iterable[Path]) -> None:
    """Write the reports of runs that have just ended; a report that fails is a warning.

    Only the path of the last one is printed: that of an experiment, which links to those of its runs.
    """
    last = None
    for folder in folders:
        try:
            last = write_report(folder)
        except Exception as error:
            retry = f"retry with `geobench report {folder.name}`"
            messages.warning(f"could not write the report of {folder.name}: {error!r}; {retry}")
    if last:
        messages.note(f"report: {last}")

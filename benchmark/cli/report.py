"""The command that writes reports, and the reports that follow a run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import click

from benchmark.cli.commands import cli
from benchmark.cli.target import of_results, ready_to_write
from benchmark.errors import UsageError


@cli.command()
@click.argument("names", nargs=-1, metavar="[RUN|SWEEP|SEARCH|latest] [B]")
@click.option("--plots", type=click.Path(path_type=Path), help="Folder for its plots (SVG, PDF) and data (CSV).")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for a comparison; by default beside the runs.",
)
@of_results
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def report(names: tuple[str, ...], plots: Path | None, output: Path | None, results_dir: Path, as_json: bool) -> None:
    """Write the report of a run, sweep or search, the latest if none is named, or of the comparison of two."""
    from benchmark.report import write_plots, write_report

    if len(names) > 2:
        raise UsageError(f"found {len(names)} names; give a run, sweep or search, or the two to be compared")
    if len(names) == 2:
        if plots:
            raise UsageError("--plots needs a run, sweep or search; a comparison that was run with --a and --b is one")
        written = [_comparison(results_dir, names, output)]
    else:
        if output:
            raise UsageError("--output is for the comparison of two; the report of one lies in its own folder")
        folder = find_results(results_dir, names[0] if names else "latest")
        written = write_plots(folder, plots) if plots else [write_report(folder)]
    click.echo(json.dumps([str(path) for path in written]) if as_json else "\n".join(map(str, written)))


def _comparison(results_dir: Path, names: tuple[str, ...], output: Path | None) -> Path:
    from benchmark.compare.comparison import find_sides
    from benchmark.report import write_comparison

    a, b = find_sides(results_dir, names)
    path = output or a.folder / f"{a.name}-against-{b.name}.html".replace(" ", "-")
    return write_comparison(a, b, ready_to_write(path))


def find_results(results_dir: Path, name: str) -> Path:
    """Return the folder of the run, sweep or search called `name`; `latest` is what the newest run is part of.

    UsageError if there is none or more than one.
    """
    from benchmark.results.run_folder import COLLECTIONS, LATEST, SEARCH, SWEEP, find_run
    from benchmark.results.search import SearchFolder
    from benchmark.results.sweep import SweepFolder

    if any((Path(name) / file).exists() for file in COLLECTIONS):
        return Path(name)
    folder = find_run(results_dir, name)
    if name != LATEST:
        return folder
    if any(results_dir.glob(f"*/*/{SWEEP}")):
        sweep = SweepFolder.find(results_dir, LATEST)
        if folder.name in {attempt.run_id for slot in sweep.journal.slots for attempt in slot.attempts}:
            return sweep.path
    if any(results_dir.glob(f"*/*/{SEARCH}")):
        search = SearchFolder.find(results_dir, LATEST)
        if folder.name in {run_id for step in search.journal.steps for run_id in step.run_ids}:
            return search.path
    return folder


def write_reports(folders: Iterable[Path]) -> None:
    """Write the reports of runs that have just ended and say where they lie; none that fails fails a run."""
    from benchmark.report import write_report

    for folder in folders:
        try:
            click.echo(f"report: {write_report(folder)}", err=True)
        except Exception as error:
            again = f"python -m benchmark report {folder.name}"
            click.secho(f"warning: no report of {folder.name}: {error!r}; `{again}` tries again", fg="yellow", err=True)

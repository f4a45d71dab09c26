"""The commands `results tag`, `results export` and `results delete`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmark.cli import completers
from benchmark.cli.library import print_entries, read_catalogue, selecting
from benchmark.cli.target import in_results, prepare_output
from benchmark.errors import UsageError
from benchmark.results.catalogue import Entry, Selection
from benchmark.results.deletion import delete_results, with_their_runs
from benchmark.results.export import write_table
from benchmark.results.find import find
from benchmark.results.tags import change_tags


@click.command()
@click.argument("names", metavar="RESULT...", nargs=-1, required=True, shell_complete=completers.results)
@click.option("--add", multiple=True, metavar="TAG", help="Tag to add; repeatable.")
@click.option("--remove", multiple=True, metavar="TAG", help="Tag to remove; repeatable.")
@in_results
def tag(names: Sequence[str], add: Sequence[str], remove: Sequence[str], results_dir: Path) -> None:
    """Add tags to results, remove some, and print those that they have.

    RESULT is an id, the beginning of one, a name, a folder or `latest`.
    """
    for path in [find(results_dir, name).path for name in names]:
        tags = change_tags(path, add, remove)
        click.echo(f"{path.name}: {' '.join(tags) or 'no tags'}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@selecting
def export(file: Path, selection: Selection, results_dir: Path) -> None:
    """Write a table of results to FILE: .csv, .json or .parquet.

    A row for each run and experiment: times in UTC, rates in tx/s, latencies in seconds; unknown values are empty.
    """
    entries = [each for each in read_catalogue(results_dir) if selection.matches(each)]
    write_table(entries, prepare_output(file))
    click.echo(f"{file}: {len(entries)} results")


@click.command()
@click.argument("names", metavar="[RESULT]...", nargs=-1, shell_complete=completers.results)
@click.option("--yes", is_flag=True, help="Do not ask.")
@selecting
def delete(names: Sequence[str], yes: bool, selection: Selection, results_dir: Path) -> None:
    """Delete results for good: those named, or those that all filters select.

    An experiment is deleted with its runs; runs of an experiment are not deleted one by one.
    """
    every = read_catalogue(results_dir)
    if not names and selection == Selection():
        raise UsageError("nothing to delete; name results, or give a filter such as `--status failed`")
    chosen = {find(results_dir, name).path.name for name in names} or {each.id for each in every}
    selected = {each.id for each in every if each.id in chosen and selection.matches(each)}
    if not names:
        selected = {each.id for each in every if each.id in selected and (not each.part_of or each.part_of in selected)}
    doomed = with_their_runs(every, selected)
    if not doomed:
        click.echo("no result matches; nothing was deleted")
        return
    print_entries(doomed[::-1])
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("deleting results asks for confirmation, but there is no terminal; pass --yes")
        click.confirm(f"Delete {_count(doomed)} for good?", abort=True)
    delete_results(results_dir, doomed)
    click.echo(f"deleted {_count(doomed)}")


def _count(entries: Sequence[Entry]) -> str:
    return f"{len(entries)} result{'s' if len(entries) > 1 else ''}"

"""The command `results`: list, tag, export and delete results."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click
from rich.markup import escape

from benchmark.cli import messages, numbers
from benchmark.cli.commands import LazyGroup
from benchmark.cli.messages import printable
from benchmark.cli.output import show
from benchmark.cli.parameter_types import NumberType
from benchmark.cli.target import Command, in_results, json_option
from benchmark.errors import UsageError
from benchmark.results.catalogue import Entry, Selection, State, catalogue
from benchmark.results.layout import KINDS

_SHOWN = 30
"""Results that a terminal shows."""
_MANY = 200
"""Results whose reading takes long enough to say so."""
_FIGURES = range(2, 6)
"""Columns of numbers."""
_COLOURS = {"ok": "green", "complete": "green", "running": "cyan", "incomplete": "yellow", "saturated": "yellow"}
SECTIONS = {
    "Commands": {
        "delete": ("library_changes", "Delete results for good."),
        "export": ("library_changes", "Write a table of results: CSV, JSON or Parquet."),
        "tag": ("library_changes", "Add tags to results, or remove some."),
    }
}
STATES = (*get_args(State), "saturated")


class SinceType(click.ParamType[datetime]):
    """A date, or a duration before now: 2026-11-01, 7d, 12h."""

    name = "date or duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return a time in UTC; click's usage error lists the accepted values."""
        if isinstance(value, datetime):
            return value
        try:
            found = datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        except ValueError:
            pass
        from benchmark.settings import parse_duration  # not before Pulumi was started

        try:
            return datetime.now(UTC) - parse_duration(value)
        except ValueError:
            self.fail(f"{value!r} is neither a date nor a duration; write 2026-11-01, 7d or 12h", param, ctx)


def selecting(command: Command) -> Command:
    """Add the options that select results, and pass the command their `selection`."""
    options: list[Callable[[Command], Command]] = [
        click.option(
            "--kind",
            "kinds",
            multiple=True,
            type=click.Choice(KINDS),
            metavar="KIND",
            help=f"Only {', '.join(KINDS)}; repeatable.",
        ),
        click.option("--protocol", help="Only runs of this protocol."),
        click.option(
            "--status",
            "states",
            multiple=True,
            type=click.Choice(STATES),
            metavar="STATUS",
            help=f"Only {', '.join(STATES)}; repeatable.",
        ),
        click.option("--since", type=SinceType(), help="Only since a date (UTC) or a duration ago: 2026-11-01, 7d."),
        click.option("--name", help="Only results that were given this name; `*` stands for any characters."),
        click.option("--tag", "tags", multiple=True, help="Only results with this tag; repeatable."),
        in_results,
    ]

    @wraps(command)
    def with_selection(
        kinds: Sequence[Any], protocol: str | None, states: Sequence[str], since: datetime | None, name: str | None,
        tags: Sequence[str], results_dir: Path, **given: Any,
    ) -> None:  # fmt: skip
        selection = Selection(kinds, protocol, states, name, tags, since)
        command(results_dir=results_dir, selection=selection, **given)

    decorated: Command = with_selection
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


@click.group(cls=LazyGroup, sections=SECTIONS, invoke_without_command=True, subcommand_metavar="[COMMAND]")
@click.option("--runs", is_flag=True, help="List every run, also those of experiments, instead of experiments.")
@click.option(
    "--limit",
    type=NumberType(0),
    metavar="N",
    help=f"Newest results to list; 0 lists all [default: {_SHOWN} on a terminal, otherwise all].",
)
@click.option("--web", is_flag=True, help="Show all in a browser, with filters, trends and comparisons.")
@selecting
@json_option
@click.pass_context
def results(
    context: click.Context,
    runs: bool,
    limit: int | None,
    web: bool,
    selection: Selection,
    results_dir: Path,
    as_json: bool,
) -> None:
    """List, tag, export and delete results.

    Without COMMAND, list runs, sweeps, comparisons and searches, newest first.
    The runs of an experiment are listed one by one with --runs, --json or a filter other than --since.
    """
    if context.invoked_subcommand:
        _refuse_options_before(context)
        return
    if web:
        if given := [name for name, value in (("--json", as_json), ("--limit", limit), ("--runs", runs)) if value]:
            raise UsageError(f"{given[0]} is for the list, and --web shows all results in a browser; pass one of them")
        _serve_index(results_dir, selection)
        return
    entries = [each for each in read_catalogue(results_dir) if selection.matches(each)]
    if runs or as_json:
        entries = [each for each in entries if each.kind == "run"]
    elif selection == Selection(since=selection.since):
        entries = [each for each in entries if not each.part_of]
    if limit is None:
        limit = _SHOWN if sys.stdout.isatty() and not as_json else 0
    older = len(entries) - limit if limit else 0
    entries = entries[max(0, older) :]
    if as_json:
        click.echo(json.dumps([_document(results_dir / each.folder) for each in entries], indent=2))
        return
    print_entries(entries[::-1])
    if not entries:
        messages.note(f"no results in {results_dir}{' yet' if selection == Selection() else ' match'}")
    if older > 0:
        messages.note(f"and {older} older; `--limit 0` lists all")


def read_catalogue(results_dir: Path) -> list[Entry]:
    """Return the catalogue; say so where reading it takes long."""

    def tell(count: int) -> None:
        if count > _MANY:
            messages.note(f"reading {count} results for the first time...")

    return catalogue(results_dir, tell)


def _serve_index(results_dir: Path, selection: Selection) -> None:
    from benchmark.cli.serve import serve_page
    from benchmark.web.index import ResultsServer  # aiohttp takes half a second to import

    read_catalogue(results_dir)
    serve_page(ResultsServer(results_dir, selection), "results")


def _refuse_options_before(context: click.Context) -> None:
    command_line = click.core.ParameterSource.COMMANDLINE
    if any(context.get_parameter_source(name) == command_line for name in context.params):
        raise click.UsageError(f"write options after `{context.invoked_subcommand}`, not before it")


def _document(folder: Path) -> object:
    """Return the summary of a run as JSON, or its state if it has none."""
    from benchmark.results.run_folder import read_run  # imports the models of all results: half a second

    run = read_run(folder)
    if run.summary:
        return json.loads(run.summary.to_json())
    return {"run_id": folder.name, "status": run.state} | ({"damaged": run.damage} if run.damage else {})


def print_entries(entries: Sequence[Entry]) -> None:
    """Print a header and a line for each entry, in columns; nothing is wrapped or cut, so that ids can be copied."""
    rows = [("result", "status", "tx/s", "p50", "p99", "errors", "name and tags"), *map(_cells, entries)]
    if not entries:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [
        [cell.rjust(width) if column in _FIGURES else cell.ljust(width) for column, (cell, width) in enumerate(cells)]
        for cells in (zip(row, widths, strict=True) for row in rows)
    ]
    if not sys.stdout.isatty():  # rich takes seconds for 10,000 lines
        click.echo("\n".join(printable("  ".join(cells).rstrip()) for cells in aligned))
        return
    for row, cells in zip(rows, aligned, strict=True):
        style = "bold" if row is rows[0] else _COLOURS.get(row[1], "red")
        first, state, *others = map(escape, cells)
        show([f"{first}  [{style}]{state}[/]  {'  '.join(others)}".rstrip()])


def _cells(entry: Entry) -> tuple[str, ...]:
    named = " ".join([entry.name or "", *(f"[{tag}]" for tag in entry.tags)]).strip()
    if entry.kind != "run":
        what = ", ".join(filter(None, [entry.protocol, f"{len(entry.runs)} runs", named]))
        return entry.id, entry.state, *[numbers.NONE] * 4, what
    failed = numbers.NONE if entry.failed is None else str(entry.failed)
    latencies = (numbers.latency(entry.p50_s), numbers.latency(entry.p99_s))
    state = "saturated" if entry.saturated and entry.state == "ok" else entry.state
    return entry.id, state, numbers.rate(entry.completed_tps), *latencies, failed, named

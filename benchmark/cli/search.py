"""The command that searches for the highest load within limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.cli.commands import cli, make_view
from benchmark.cli.options import make_request, of_runs
from benchmark.cli.report import write_reports
from benchmark.cli.resume import kept_options, kept_request, same_options, same_request, same_testbed, taken_up
from benchmark.cli.run import process_start, read_share
from benchmark.cli.target import Target, on_testbed
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.plan.request import Request
    from benchmark.results.search import Limits, SearchFolder


@cli.command()
@on_testbed
@click.option("--limit", "limits", multiple=True, help="p99=1s, achieved=98%; both by default.")
@click.option("--from", "start", type=click.IntRange(1), default=100, show_default=True, help="First load, tx/s.")
@click.option("--to", "maximum", type=click.IntRange(1), default=20000, show_default=True, help="Greatest load, tx/s.")
@click.option("--precision", default="5%", show_default=True, help="How close the answer is to a load that fails.")
@click.option("--confirmations", type=click.IntRange(0), default=2, show_default=True, help="Runs to confirm it.")
@click.option("--max-runs", type=click.IntRange(1), default=20, show_default=True, help="Loads that are run at most.")
@of_runs
@click.option("--resume", metavar="ID|FOLDER|latest", help="Go on with a search that was interrupted, as it was begun.")
def search(as_json: bool, stack: str | None, inventory: Path | None, settings: Path | None, **options: Any) -> None:
    """Find the highest load that meets the limits."""
    target = Target(stack, inventory, settings)
    from benchmark.orchestrator.search import run_search

    folder = _resumed(target, options) if options["resume"] else None
    asked = taken_up(folder.journal.options) if folder else options
    request = make_request(target.settings, target.results_dir, asked, (asked["maximum"],))
    if folder:
        same_request(f"search {folder.journal.search_id}", folder.journal.request, request)
    else:
        folder = _begun(target, request, options)
    view = make_view()
    with target.open() as testbed, view:
        run_search(testbed, request, folder, view.observe, process_start())
    found = folder.journal
    if as_json:
        click.echo(found.to_json(), nl=False)
    else:
        view.search(found, folder.path)
    write_reports([*(folder.path.parent / run.run_id for run in folder.summaries()), folder.path])
    if found.answer_tps is None or not found.confirmed:
        raise SystemExit(1)


def _begun(target: Target, request: Request, options: Mapping[str, Any]) -> SearchFolder:
    """Make the folder of a new search."""
    from benchmark.results.search import Limits, Plan, SearchFolder, new_search

    plan = Plan(
        options["start"],
        options["maximum"],
        precision=read_share(options["precision"], "--precision"),
        confirmations=options["confirmations"],
        max_runs=options["max_runs"],
    )
    limits, testbed_id = _limits(options["limits"], Limits()), target.inventory.testbed_id
    made = new_search(testbed_id, limits, plan, kept_options(options), kept_request(request))
    return SearchFolder.create(target.results_dir, made)


def _resumed(target: Target, options: Mapping[str, Any]) -> SearchFolder:
    """Find the search to go on with; UsageError if it is of another testbed, or other limits are asked for now."""
    from benchmark.results.search import SearchFolder

    folder = SearchFolder.find(target.results_dir, options["resume"])
    what, known = f"search {folder.journal.search_id}", folder.journal.limits
    same_testbed(what, folder.journal.testbed_id, target)
    same_options(what, folder.journal.options, except_for=("limits",))
    if (limits := _limits(options["limits"], known)) != known:
        then, now = (f"p99={each.p99_s:g}s achieved={each.achieved:.4g}" for each in (known, limits))
        raise UsageError(
            f"{what} was begun with other limits: {then}, now {now}; leave --limit out to resume it, or begin a new one"
        )
    return folder


def _limits(given: tuple[str, ...], known: Limits) -> Limits:
    """Read `p99=1s`, `achieved=98%`; what is not given is as in `known`."""
    from benchmark.settings import parse_duration

    found: dict[str, float] = {}
    for word in given:
        name, _, value = word.partition("=")
        try:
            if name == "p99":
                found["p99_s"] = parse_duration(value).total_seconds()
            elif name == "achieved":
                found["achieved"] = read_share(value, "--limit achieved")
            else:
                raise ValueError("known are p99=1s and achieved=98%")
        except ValueError as error:
            raise UsageError(f"--limit {word}: {error}") from None
    return dataclasses.replace(known, **found)

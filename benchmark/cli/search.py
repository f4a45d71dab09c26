"""The command that searches for the highest load within limits."""

from __future__ import annotations

import click

from benchmark.cli.help import Command, examples
from benchmark.cli.options import (
    SearchOptions,
    experiment_options,
    options_of,
    reject_resume,
)
from benchmark.cli.target import Target, running_on_testbed
from benchmark.plan.request import RunOptions


@click.command(
    cls=Command,
    epilog=examples(
        "geobench search --limit p99=1s",
        "geobench search --limit p99=500ms --limit achieved=99% --from 500 --to 10000",
        "geobench search --resume latest",
    ),
)
@running_on_testbed
@options_of("search_options", SearchOptions, "Search")
@options_of("run_options", RunOptions, "Each run")
@experiment_options("search")
def search(
    target: Target,
    as_json: bool,
    search_options: SearchOptions,
    run_options: RunOptions,
    dry_run: bool,
    retries: int,
    web: bool,
    resume: str | None,
) -> None:
    """Find the highest load that meets the limits."""
    if dry_run:
        from benchmark.cli import dry_run as planned

        reject_resume(resume)
        planned.show_search(target, search_options, run_options, as_json)
        return
    from benchmark.cli import experiments  # while Pulumi reads the stack

    experiments.run_search(target, search_options, run_options, retries, resume, as_json, web)

"""The command that compares two runs or sweeps, or runs both sides of a comparison."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.cli import completers
from benchmark.cli.help import Command, Option, examples
from benchmark.cli.options import (
    ComparisonOptions,
    experiment_options,
    options_of,
    read_share,
    reject_resume,
)
from benchmark.cli.target import Target, json_option, results_dir, results_dir_option, testbed_options
from benchmark.errors import UsageError
from benchmark.plan.request import RunOptions


@click.command(
    cls=Command,
    epilog=examples(
        "geobench compare --a committee=3 --b committee=7 --loads 100,200 --repeat 3",
        "geobench compare --commits main my-branch --loads 500 --repeat 5",
        "geobench compare SWEEP OTHER-SWEEP --fail-over 5%",
    ),
)
@testbed_options
@click.argument("names", nargs=-1, metavar="[A B]", shell_complete=completers.results)
@options_of("sides", ComparisonOptions, "Sides and load")
@options_of("run_options", RunOptions, "Each run")
@click.option(
    "--fail-over",
    cls=Option,
    metavar="SHARE",
    help="Exit with 1 if B is significantly worse by more than this share, such as 5%.",
)
@experiment_options("comparison")
@results_dir_option
@json_option
def compare(
    stack: str | None,
    inventory: Path | None,
    settings: Path | None,
    as_json: bool,
    names: tuple[str, ...],
    sides: ComparisonOptions,
    fail_over: str | None,
    run_options: RunOptions,
    dry_run: bool,
    retries: int,
    web: bool,
    resume: str | None,
    results_folder: Path | None,
) -> None:
    """Compare two runs or sweeps, or run A and B alternately.

    Name two existing runs or sweeps, or describe new ones with --a and --b or with --commits.
    """
    limit = None if fail_over is None else read_share(fail_over, "--fail-over")
    new = bool(sides.a or sides.b or sides.commits or resume)
    if new and names:
        raise UsageError("both existing and new runs given: pass either two names, or --a and --b, or --commits")
    if bool(sides.a) != bool(sides.b) and not resume:
        given, missing = ("--a", "--b") if sides.a else ("--b", "--a")
        raise UsageError(f"{given} without {missing}: describe both sides, such as --a committee=3 --b committee=5")
    if dry_run and not new:
        raise UsageError("--dry-run is about new runs: describe both sides with --a and --b or with --commits")
    target = Target(stack, inventory, settings, results_folder) if new else None
    if target and dry_run:
        from benchmark.cli import dry_run as planned

        reject_resume(resume)
        planned.show_comparison(target, sides, run_options, as_json)
        return
    from benchmark.cli import experiments  # while Pulumi reads the stack

    if target:
        experiments.run_comparison(target, sides, run_options, retries, resume, limit, as_json, web)
    else:
        experiments.compare_existing(names, results_folder or results_dir(stack, inventory, settings), limit, as_json)

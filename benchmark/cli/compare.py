"""The command that compares two runs or sweeps, or runs both sides of a comparison."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark.cli.options import ComparisonOptions, options_of, read_share, resume_option, retries_option
from benchmark.cli.target import Target, results_dir, testbed_options
from benchmark.errors import UsageError
from benchmark.plan.request import RunOptions


@click.command()
@testbed_options
@click.argument("names", nargs=-1, metavar="[A B]")
@options_of("sides", ComparisonOptions)
@click.option("--fail-over", help="Exit with 1 if B is significantly worse by more than this share, such as 5%.")
@options_of("run_options", RunOptions)
@retries_option
@resume_option("comparison")
@click.option(
    "--results-dir",
    "existing_dir",
    type=click.Path(path_type=Path),
    help="Results directory of A and B [default: results_dir in the settings].",
)
def compare(
    stack: str | None,
    inventory: Path | None,
    settings: Path | None,
    as_json: bool,
    names: tuple[str, ...],
    sides: ComparisonOptions,
    fail_over: str | None,
    run_options: RunOptions,
    retries: int,
    resume: str | None,
    existing_dir: Path | None,
) -> None:
    """Compare two runs or sweeps, or run A and B alternately.

    Name two existing runs or sweeps, or describe new ones with --a and --b or with --commits.
    """
    limit = None if fail_over is None else read_share(fail_over, "--fail-over")
    new = bool(sides.a or sides.b or sides.commits or resume)
    if new and names:
        raise UsageError("both existing and new runs given: pass either two names, or --a and --b, or --commits")
    if new and existing_dir:
        raise UsageError("--results-dir names existing results; new runs are written to results_dir of the settings")
    if bool(sides.a) != bool(sides.b) and not resume:
        given, missing = ("--a", "--b") if sides.a else ("--b", "--a")
        raise UsageError(f"{given} without {missing}: describe both sides, such as --a committee=3 --b committee=5")
    target = Target(stack, inventory, settings) if new else None
    from benchmark.cli import experiments  # while Pulumi reads the stack

    if target:
        experiments.run_comparison(target, sides, run_options, retries, resume, limit, as_json)
    else:
        experiments.compare_existing(names, existing_dir or results_dir(stack, inventory, settings), limit, as_json)

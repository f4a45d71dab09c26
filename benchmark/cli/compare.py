"""The command that compares two runs or sweeps, or runs both sides of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchmark.cli.options import loads_option, read_share, run_options, sweep_options
from benchmark.cli.target import Target, results_dir, testbed_options
from benchmark.errors import UsageError


@click.command()
@testbed_options
@click.argument("names", nargs=-1, metavar="[A B]")
@click.option("--a", "a", multiple=True, help="Settings file of A, or NAME=VALUE such as committee=3; repeatable.")
@click.option("--b", "b", multiple=True, help="The same for B.")
@click.option("--commits", nargs=2, help="Two commits to compare.")
@click.option("--fail-over", help="Exit with 1 if B is significantly worse by more than this share, such as 5%.")
@loads_option
@run_options
@sweep_options
def compare(stack: str | None, inventory: Path | None, settings: Path | None, as_json: bool, **options: Any) -> None:
    """Compare two runs or sweeps, or run A and B alternately.

    Name two existing runs or sweeps, or describe new ones with --a and --b or with --commits.
    """
    fail_over = read_share(options["fail_over"], "--fail-over") if options["fail_over"] else None
    new = bool(options["a"] or options["b"] or options["commits"] or options["resume"])
    if new and options["names"]:
        raise UsageError("both existing and new runs given: pass either two names, or --a and --b, or --commits")
    target = Target(stack, inventory, settings) if new else None
    from benchmark.cli import experiments  # while Pulumi reads the stack

    if target:
        experiments.run_comparison(target, options, fail_over, as_json)
    else:
        experiments.compare_existing(options["names"], results_dir(stack, inventory, settings), fail_over, as_json)

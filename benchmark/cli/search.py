"""The command that searches for the highest load within limits."""

from __future__ import annotations

from typing import Any

import click

from benchmark.cli.options import run_options
from benchmark.cli.target import Target, on_testbed


@click.command()
@on_testbed
@click.option("--limit", "limits", multiple=True, help="Limit to meet; repeatable [default: p99=1s, achieved=98%].")
@click.option("--from", "start", type=click.IntRange(1), default=100, show_default=True, help="First load, tx/s.")
@click.option("--to", "maximum", type=click.IntRange(1), default=20000, show_default=True, help="Highest load, tx/s.")
@click.option("--precision", default="5%", show_default=True, help="Stop when the gap to a failing load is this small.")
@click.option(
    "--confirmations", type=click.IntRange(0), default=2, show_default=True, help="Runs that confirm the answer."
)
@click.option(
    "--max-runs", type=click.IntRange(1), default=20, show_default=True, help="Maximum number of loads to try."
)
@run_options
@click.option("--resume", metavar="ID|FOLDER|latest", help="Continue an interrupted search with its options.")
def search(target: Target, as_json: bool, **options: Any) -> None:
    """Find the highest load that meets the limits."""
    from benchmark.cli import experiments  # while Pulumi reads the stack

    experiments.run_search(target, options, as_json)

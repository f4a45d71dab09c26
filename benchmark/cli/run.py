"""The command that benchmarks a system at one or several loads."""

from __future__ import annotations

from typing import Any

import click

from benchmark.cli.options import loads_option, run_options, sweep_options
from benchmark.cli.target import Target, on_testbed


@click.command()
@on_testbed
@loads_option
@run_options
@sweep_options
def run(target: Target, as_json: bool, **options: Any) -> None:
    """Benchmark the system at each offered load.

    Several loads or repeats make a sweep, which continues with --resume after an interruption.
    """
    from benchmark.cli import experiments  # while Pulumi reads the stack

    experiments.run(target, options, as_json)

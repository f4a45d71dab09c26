"""The command that benchmarks a system at one or several loads."""

from __future__ import annotations

import click

from benchmark.cli.options import SweepOptions, options_of, resume_option, retries_option
from benchmark.cli.target import Target, on_testbed
from benchmark.plan.request import RunOptions


@click.command()
@on_testbed
@options_of("sweep_options", SweepOptions)
@options_of("run_options", RunOptions)
@retries_option
@resume_option("sweep")
def run(
    target: Target,
    as_json: bool,
    sweep_options: SweepOptions,
    run_options: RunOptions,
    retries: int,
    resume: str | None,
) -> None:
    """Benchmark the system at each offered load.

    Several loads or repeats make a sweep, which continues with --resume after an interruption.
    """
    from benchmark.cli import experiments  # while Pulumi reads the stack

    experiments.run(target, sweep_options, run_options, retries, resume, as_json)

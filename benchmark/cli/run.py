"""The command that benchmarks a system at one or several loads."""

from __future__ import annotations

import click

from benchmark.cli.help import Command, examples
from benchmark.cli.options import (
    SweepOptions,
    experiment_options,
    options_of,
    reject_resume,
)
from benchmark.cli.target import Target, running_on_testbed
from benchmark.plan.request import RunOptions


@click.command(
    cls=Command,
    epilog=examples(
        "geobench run --loads 200 --duration 60s",
        "geobench run --loads 200:1000:200 --repeat 5 --shuffle",
        "geobench run --loads 500 --committee 3 --faults crash:leader@20s",
        "geobench run --resume latest",
    ),
)
@running_on_testbed
@options_of("sweep_options", SweepOptions, "Load")
@options_of("run_options", RunOptions, "Each run")
@experiment_options("sweep")
def run(
    target: Target,
    as_json: bool,
    sweep_options: SweepOptions,
    run_options: RunOptions,
    dry_run: bool,
    retries: int,
    web: bool,
    resume: str | None,
) -> None:
    """Benchmark the system at each offered load.

    Several loads or repeats make a sweep, which continues with --resume after an interruption.
    """
    if dry_run:
        from benchmark.cli import dry_run as planned

        reject_resume(resume)
        planned.show_run(target, sweep_options, run_options, as_json)
        return
    from benchmark.cli import experiments  # while Pulumi reads the stack

    experiments.run(target, sweep_options, run_options, retries, resume, as_json, web)

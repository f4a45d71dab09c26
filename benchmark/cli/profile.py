"""The command that profiles a process of the current run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from benchmark.cli import completers, messages
from benchmark.cli.parameter_types import DurationType
from benchmark.cli.target import Target, on_testbed, prepare_output
from benchmark.files import write_atomically
from benchmark.orchestrator.profiler import CallGraph
from benchmark.orchestrator.profiler import profile as sample
from benchmark.report.flame_graph import flame_graph, share_without_names

_MANY = 0.5
"""Share of samples without a name from which a flame graph says little."""


@click.command()
@on_testbed
@click.argument("node", shell_complete=completers.processes)
@click.option(
    "--seconds",
    type=DurationType(timedelta(seconds=1)),
    default="30",
    show_default=True,
    help="Duration of the sampling.",
)
@click.option(
    "--call-graph",
    type=click.Choice(["fp", "dwarf"]),
    default="fp",
    show_default=True,
    help="Find callers by frame pointers, or by copies of the stack, which costs more.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Output file [default: NODE-TIME.svg].")
def profile(
    target: Target, as_json: bool, node: str, seconds: timedelta, call_graph: CallGraph, output: Path | None
) -> None:
    """Sample NODE of the current run and draw a flame graph.

    NODE is a process such as node-0, or a host.
    """
    path = prepare_output(output or Path(f"{node}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.svg"))
    with target.open() as testbed:
        testbed.connect()
        messages.note(f"sampling {node} for {seconds.total_seconds():g} s")
        stacks = sample(testbed, node, seconds.total_seconds(), call_graph)
    title = (
        f"{node} of {target.inventory.testbed_id}, {seconds.total_seconds():g} s until {datetime.now(UTC):%F %T} UTC"
    )
    write_atomically(path, flame_graph(stacks, title))
    samples, nameless = sum(stacks.values()), share_without_names(stacks)
    if nameless > _MANY:
        messages.warning(
            f"{nameless * 100:.0f} % of the samples of {node} end in a function without a name: its program has no "
            "symbols; install them (Debian: its -dbgsym package), or build it from source with `repository`"
        )
    click.echo(json.dumps({"file": str(path), "samples": samples}) if as_json else f"{path}: {samples} samples")

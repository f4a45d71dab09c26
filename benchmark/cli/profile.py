"""The command that profiles a process of the run that is going on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.cli.commands import cli
from benchmark.cli.target import DurationType, Target, on_testbed, ready_to_write

if TYPE_CHECKING:
    from benchmark.orchestrator.profiler import CallGraph


@cli.command()
@on_testbed
@click.argument("node")
@click.option("--seconds", type=DurationType(), default="30", show_default=True, help="How long it is sampled.")
@click.option(
    "--call-graph",
    type=click.Choice(["fp", "dwarf"]),
    default="fp",
    show_default=True,
    help="How callers are found: frame pointers, or copies of the stack where there are none, at a higher cost.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File; by default NODE-TIME.svg here.")
def profile(
    as_json: bool,
    stack: str | None,
    inventory: Path | None,
    settings: Path | None,
    node: str,
    seconds: timedelta,
    call_graph: CallGraph,
    output: Path | None,
) -> None:
    """Sample NODE (a process such as node-0, or a host) of the run that is going on; draw a flame graph."""
    target = Target(stack, inventory, settings)
    from benchmark.orchestrator.profiler import profile as sample
    from benchmark.report.flame_graph import flame_graph
    from benchmark.results.run_folder import write_atomically

    path = ready_to_write(output or Path(f"{node}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.svg"))
    with target.open() as testbed:
        testbed.connect()
        click.echo(f"sampling {node} for {seconds.total_seconds():g} s", err=True)
        stacks = sample(testbed, node, seconds.total_seconds(), call_graph)
    title = (
        f"{node} of {target.inventory.testbed_id}, {seconds.total_seconds():g} s until {datetime.now(UTC):%F %T} UTC"
    )
    write_atomically(path, flame_graph(stacks, title))
    samples = sum(stacks.values())
    click.echo(json.dumps({"file": str(path), "samples": samples}) if as_json else f"{path}: {samples} samples")

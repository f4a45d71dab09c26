"""The commands that measure the network of a testbed."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.cli import messages
from benchmark.cli.parameter_types import DurationType
from benchmark.cli.target import Target, on_testbed, prepare_output
from benchmark.errors import InfrastructureError
from benchmark.files import write_atomically
from benchmark.settings import format_duration, format_trace

if TYPE_CHECKING:
    from benchmark.cli.output import Shown
    from benchmark.testbed.measured_network import LinkStats

PROBES, INTERVAL_S = 100, 0.05
LONGEST_INTERVAL_S = 1.0
MOST_ROWS = 1_000_000
"""Rows of a trace, at most."""


@click.group()
def network() -> None:
    """Measure the network between the hosts."""


@network.command()
@on_testbed
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="network.yaml",
    show_default=True,
    help="Matrix of links, for network.links.",
)
@click.option(
    "--duration",
    type=DurationType(timedelta(seconds=1)),
    help="Measure for so long, and also write a trace for network.trace: OUTPUT with the ending .csv.",
)
def measure(target: Target, as_json: bool, output: Path, duration: timedelta | None) -> None:
    """Measure the round trips between all regions in both directions.

    The first host of each region times that of each other region and one neighbour. A local testbed replays the files.
    """
    from benchmark.cli.output import show  # while Pulumi reads the stack
    from benchmark.testbed import measured_network

    path = prepare_output(output)
    regions = len(target.inventory.regions)
    probes, interval_s = pace(duration.total_seconds(), regions * regions) if duration else (PROBES, INTERVAL_S)
    with target.open() as testbed:
        testbed.make_ready(messages.note)
        with testbed.lock():
            messages.note(f"measuring for {format_duration(duration or timedelta(seconds=PROBES * INTERVAL_S))}")
            began = datetime.now(UTC).replace(microsecond=0)
            trips = testbed.round_trips(probes=probes, interval_s=interval_s)
    for host, reason in trips.failed.items():
        messages.warning(f"{host} could not measure: {reason}")
    stats = measured_network.link_stats(trips)
    if not stats:
        raise InfrastructureError("no round trip was measured; it takes two hosts that admit each other")
    answered = {(each.source, each.target) for each in stats}
    for source, other in trips.samples.keys() - answered:
        messages.warning(f"no answer from {other} to {source}; the link is left out")
    write_atomically(path, measured_network.matrix(stats, target.inventory.testbed_id, began).to_yaml())
    trace = path.with_suffix(".csv") if duration else None
    if trace:
        write_atomically(trace, format_trace(measured_network.trace(trips.samples)))
    if as_json:
        links = [dataclasses.asdict(each) for each in stats]
        click.echo(json.dumps({"matrix": str(path), "trace": trace and str(trace), "links": links}, indent=2))
    else:
        show(tables(stats, [each for each in (path, trace) if each]))


def pace(seconds: float, pairs: int) -> tuple[int, float]:
    """Return how many requests each host sends to each other one, and their interval in s."""
    interval_s = max(min(LONGEST_INTERVAL_S, seconds / PROBES), seconds * pairs / MOST_ROWS)
    return math.ceil(seconds / interval_s), interval_s


def tables(stats: Sequence[LinkStats], files: Sequence[Path]) -> Iterator[Shown]:
    """Yield the statistics of all links, and the files that have them."""
    from rich.table import Table

    table = Table("from", "to")
    for name in ("shortest", "median", "stdev", "lost"):
        table.add_column(name, justify="right")
    for each in stats:
        times = (each.min_ms, each.median_ms, each.stdev_ms)
        table.add_row(each.source, each.target, *(f"{ms:.2f} ms" for ms in times), f"{each.lost} of {each.sent}")
    yield table
    yield f"written to {' and '.join(str(each) for each in files)}"

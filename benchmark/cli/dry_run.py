"""Print what `run`, `search` and `compare` would do, without starting anything."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence

import click
from rich.markup import escape
from rich.table import Table

from benchmark.cli.options import (
    ComparisonOptions,
    SearchOptions,
    SweepOptions,
    comparison_requests,
    require_loads,
)
from benchmark.cli.output import Shown, show
from benchmark.cli.target import Target
from benchmark.inventory import Inventory
from benchmark.orchestrator.dry_run import DryRun, Side, plan_command
from benchmark.plan.expected_hosts import expected_inventory
from benchmark.plan.request import RunOptions, make_request
from benchmark.settings import Settings
from benchmark.testbed.stack import NoHostsError


def show_run(target: Target, sweep_options: SweepOptions, run_options: RunOptions, as_json: bool) -> None:
    """Print what `run` would do."""
    require_loads(sweep_options)
    settings, inventory, exist = _hosts(target)
    request = make_request(settings, run_options, sweep_options.loads, target.results_folder(settings))
    _print(plan_command(inventory, {"": request}, sweep_options.repeat, hosts_exist=exist), as_json)


def show_comparison(target: Target, sides: ComparisonOptions, run_options: RunOptions, as_json: bool) -> None:
    """Print what `compare` would do."""
    require_loads(sides)
    settings, inventory, exist = _hosts(target)
    requests = comparison_requests(settings, sides, run_options, target.results_folder(settings))
    _print(plan_command(inventory, requests, sides.repeat, hosts_exist=exist), as_json)


def show_search(target: Target, search_options: SearchOptions, run_options: RunOptions, as_json: bool) -> None:
    """Print what `search` would do at most."""
    settings, inventory, exist = _hosts(target)
    request = make_request(settings, run_options, (search_options.maximum,), target.results_folder(settings))
    most = search_options.max_runs
    _print(plan_command(inventory, {"": request}, 1, hosts_exist=exist, most=most), as_json)


def _hosts(target: Target) -> tuple[Settings, Inventory, bool]:
    """Return settings and hosts of the testbed; those that it will have if it is not up."""
    try:
        return target.settings, target.inventory, True
    except NoHostsError:
        settings = target.expected_settings
        return settings, expected_inventory(settings), False


def _print(found: DryRun, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        show(tables(found))


def tables(found: DryRun) -> Iterator[Shown]:
    """Yield what a command would do: a table of the placement of each side, then its runs, their time and cost."""
    state = "" if found.hosts_exist else ", which is not up: these hosts are what its settings describe"
    yield f"testbed {found.testbed_id}{state}"
    for name, side in found.sides.items():
        yield from _side(name, side)
    most = "at most " if found.at_most else ""
    stored = "as in the stored run" if found.overhead_from == 1 else f"mean of {found.overhead_from} stored runs"
    basis = stored if found.overhead_from else "assumed"
    yield (
        f"estimated duration: {most}{_time(found.duration_s)}: {most}{found.runs} "
        f"{'run' if found.runs == 1 else 'runs'}, each with its load and {found.overhead_s:.0f} s of start, stop and "
        f"collection ({basis}); without retries, builds and installation"
    )
    if found.cost_usd is None:
        yield "estimated cost: unknown; no price is known for some hosts"
    elif not found.hourly_usd:
        yield "estimated cost: $0 (no cloud hosts)"
    else:
        yield f"estimated cost: {most}${found.cost_usd:.2f} at ${found.hourly_usd:.2f} per hour"
    yield f"results would be written to {escape(found.results_dir)}; nothing was started"


def _side(name: str, side: Side) -> Iterator[Shown]:
    title = f"{name.upper()}: " if name else ""
    yield f"{title}{escape(side.protocol)} from {escape(side.source)}"
    if side.packages:
        yield f"packages: {', '.join(side.packages)}; versions as the hosts have or install them"
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("host", "processes (ports)"):
        table.add_column(column, overflow="fold")
    hosts: dict[str, list[str]] = {}
    for process in side.processes:
        ports = f" ({' '.join(map(str, process.ports))})" if process.ports else ""
        hosts.setdefault(process.host, []).append(f"{process.name}{ports}")
    for host, processes in hosts.items():
        table.add_row(escape(host), ", ".join(processes))
    yield table
    yield f"loads: {_loads(side.requested_tps, side.scheduled_tps)} tx/s, {escape(side.load_shape)}"
    phases = f" ({', '.join(side.phases)})" if side.phases else ""
    yield f"each run: {side.warm_up_s:g} s warm-up, {side.duration_s:g} s measured{escape(phases)}"
    for fault in side.faults:
        nodes = f"nodes are chosen {fault.chosen}" if fault.nodes is None else ", ".join(fault.nodes)
        yield f"fault {escape(fault.fault)}: {escape(nodes)}"


def _loads(requested: Sequence[int], scheduled: Sequence[int]) -> str:
    return ", ".join(
        str(load) if load == planned else f"{load} ({planned} scheduled)"
        for load, planned in zip(requested, scheduled, strict=True)
    )


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"

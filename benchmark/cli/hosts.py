"""The commands about the hosts themselves: what state they are in, what they cost, when they end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmark.cli.commands import cli, make_view
from benchmark.cli.target import DurationType, Target, on_testbed
from benchmark.errors import HostError
from benchmark.inventory import Inventory

if TYPE_CHECKING:
    from rich.table import Table

    from benchmark.testbed.expiry import Cost, HostStatus

_OVERDUE = (
    "their time is over: `pulumi destroy` removes the testbed (a halted server of Vultr costs until then) "
    "and the disks that stopped hosts of AWS cost; `pulumi up` then makes it anew; "
    "`python -m benchmark extend 4h` gives more time to hosts that run"
)


@cli.command()
@on_testbed
def status(as_json: bool, stack: str | None, inventory: Path | None, settings: Path | None) -> None:
    """Show which hosts are ready, by region, when they end and what they cost."""
    target = Target(stack, inventory, settings)
    from benchmark.testbed.expiry import cost, host_statuses, to_dict

    now = datetime.now(UTC)
    with target.open(retries=0) as testbed:  # what does not answer is what is asked for
        found = host_statuses(testbed, now)
    spent = cost(target.inventory, found, now)
    if as_json:
        click.echo(json.dumps({"testbed_id": target.inventory.testbed_id, **to_dict(found, spent)}, indent=2))
    else:
        make_view().show(shown(target.inventory, found, spent, now))
    if any(each.state not in ("ready", "stopped") for each in found.values()):
        raise SystemExit(3)


@cli.command()
@on_testbed
@click.argument("duration", type=DurationType())
def extend(
    as_json: bool, stack: str | None, inventory: Path | None, settings: Path | None, duration: timedelta
) -> None:
    """Let the testbed's cloud hosts live DURATION longer, such as 4h."""
    if duration <= timedelta(0):
        raise click.BadParameter("a testbed is extended by more than nothing; `pulumi destroy` ends it")
    target = Target(stack, inventory, settings)
    from benchmark.testbed.bootstrap import is_ephemeral
    from benchmark.testbed.expiry import extend as move_end
    from benchmark.testbed.expiry import when

    now = datetime.now(UTC)
    with target.open() as testbed:
        done = move_end(testbed, duration, now)
    testbed_id = target.inventory.testbed_id
    if as_json:
        ends = {name: end.isoformat() for name, end in done.expires_at.items()}
        click.echo(json.dumps({"testbed_id": testbed_id, "hosts": ends}, indent=2))
    elif done.expires_at:
        end = max(done.expires_at.values())
        click.echo(f"testbed {testbed_id}: {len(done.expires_at)} hosts terminate automatically {when(end, now)}")
    elif any(is_ephemeral(host) for host in target.inventory.hosts):
        click.echo(f"testbed {testbed_id}: no host runs; `pulumi up -c state=running` starts them")
    else:
        click.echo(f"testbed {testbed_id}: its hosts are not rented and never end themselves; nothing to extend")
    if done.failed:
        raise HostError("hosts that keep their end:", done.failed)


def shown(inventory: Inventory, found: Mapping[str, HostStatus], spent: Cost, now: datetime) -> Iterator[Table | str]:
    """Show how many hosts of each region are in which state, which are not ready, the end and the cost."""
    from benchmark.testbed.expiry import when

    yield _regions(inventory, found)
    if inventory.monitoring:
        yield f"monitoring: {inventory.monitoring.name} ({inventory.monitoring.address or 'no address'})"
    ends = sorted({each.expires_at for each in found.values() if each.expires_at})
    if ends:
        last = f", the last {when(ends[-1], now)}" if ends[-1] - ends[0] > timedelta(minutes=5) else ""
        yield f"hosts terminate automatically {when(ends[0], now)}{last}"
    yield costs(spent, inventory.created_at)
    yield from _not_ready(inventory, found)
    yield from _warnings(found)


def _regions(inventory: Inventory, found: Mapping[str, HostStatus]) -> Table:
    from rich.table import Table

    table = Table("region", "provider", "hosts", "state", title=f"testbed {inventory.testbed_id}: {len(found)} hosts")
    for region in inventory.regions:
        hosts = [host for host in inventory.hosts if host.region == region]
        counts = Counter(found[host.name].state for host in hosts)
        states = ", ".join(f"{_coloured(f'{count} {state}', state)}" for state, count in counts.items())
        table.add_row(region, hosts[0].provider, str(len(hosts)), states)
    return table


def _coloured(text: str, state: str) -> str:
    return f"[{'green' if state == 'ready' else 'red'}]{text}[/]"


def costs(spent: Cost, created_at: datetime) -> str:
    """Write the cost; an unknown price is unknown, not 0."""
    if spent.hourly_usd is None:
        return "cost: [red]unknown[/]; the provider told no price for some of the hosts"
    if spent.hourly_usd == 0:
        return "cost: nothing is rented"
    assert spent.so_far_usd is not None
    so_far = f"cost: ${spent.hourly_usd:.2f} per hour, about ${spent.so_far_usd:.2f} since {created_at:%F %H:%M} UTC"
    in_all = spent.until_expiry_usd
    return so_far if in_all is None else f"{so_far}, ${in_all:.2f} in all when the hosts end"


def _not_ready(inventory: Inventory, found: Mapping[str, HostStatus]) -> Iterator[str]:
    from rich.markup import escape

    from benchmark.testbed.testbed import lost_hosts_advice

    for name, each in found.items():
        if each.state != "ready":
            reason = f" ({escape(each.reason)})" if each.reason else ""
            yield _coloured(f"{name}: {each.state}{reason}", each.state)
    if any(each.state == "expired" for each in found.values()):
        yield _coloured(_OVERDUE, "expired")
    if lost := [inventory.host(name) for name, each in found.items() if each.state == "unreachable"]:
        yield lost_hosts_advice(lost)


def _warnings(found: Mapping[str, HostStatus]) -> Iterator[str]:
    """Each warning once, with the hosts that gave it."""
    from rich.markup import escape

    given: dict[str, list[str]] = {}
    for name, each in found.items():
        for warning in each.warnings:
            given.setdefault(warning, []).append(name)
    for warning, names in given.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"[yellow]warning: {', '.join(names[:3])}{more}: {escape(warning)}[/yellow]"

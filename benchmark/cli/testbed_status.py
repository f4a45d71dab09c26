"""Show the state of a testbed: hosts by region, expiry, cost, and whether a run can start; postpone the expiry."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from benchmark.cli import messages
from benchmark.cli.output import Shown, show
from benchmark.cli.target import Target
from benchmark.errors import HostError
from benchmark.inventory import Inventory
from benchmark.orchestrator.preflight import Check, check_testbed
from benchmark.plan.source import find_build, require_repository_used
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.registry import find_protocol
from benchmark.testbed.expiry import Cost, HostStatus, cost, extend, host_statuses, to_dict, when
from benchmark.testbed.testbed import lost_hosts_advice


def show_status(target: Target, as_json: bool) -> None:
    """Print the state, expiry and cost of all hosts; exit code 3 if a host is neither ready nor stopped."""
    now = datetime.now(UTC)
    searched = target.begin_stray_search()
    with target.open(retries=0) as testbed:  # an unreachable host is a result here, not an error
        found = host_statuses(testbed, now)
    spent, strays = cost(target.inventory, found, now), searched()
    if as_json:
        known = {"testbed_id": target.inventory.testbed_id, **to_dict(found, spent), "strays": strays.to_json()}
        click.echo(json.dumps(known, indent=2))
    else:
        show(status_tables(target.inventory, found, spent, now))
    if strays.warning:
        messages.warning(strays.warning)
    if any(each.state not in ("ready", "stopped") for each in found.values()):
        raise SystemExit(3)


def extend_lifetime(target: Target, duration: timedelta, as_json: bool) -> None:
    """Postpone the expiry of all cloud hosts and print it; HostError if that failed on some."""
    now = datetime.now(UTC)
    with target.open() as testbed:
        done = extend(testbed, duration, now)
    testbed_id = target.inventory.testbed_id
    if as_json:
        ends = {name: end.isoformat() for name, end in done.expires_at.items()}
        click.echo(json.dumps({"testbed_id": testbed_id, "hosts": ends}, indent=2))
    elif done.expires_at:
        end = max(done.expires_at.values())
        click.echo(f"testbed {testbed_id}: {len(done.expires_at)} hosts terminate automatically {when(end, now)}")
    elif any(host.capabilities.ephemeral for host in target.inventory.hosts):
        click.echo(f"testbed {testbed_id}: no host is running; start them with `pulumi up -c state=running`")
    else:
        click.echo(f"testbed {testbed_id}: nothing to extend; only cloud hosts terminate automatically")
    if done.failed:
        raise HostError("could not extend:", done.failed)


def show_check(target: Target, committee: int | None, as_json: bool) -> None:
    """Print for each host whether a run can start; exit code 3 if one has a problem."""
    settings = target.settings
    protocol = make_protocol(find_protocol(settings.protocol), settings)
    require_repository_used(protocol.name, find_build(type(protocol), settings.build), settings.repository)
    with target.open() as testbed:
        found = check_testbed(testbed, protocol, messages.note, committee)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        show(check_tables(found, datetime.now(UTC)))
    if found.problems:
        raise SystemExit(3)


def status_tables(inventory: Inventory, found: Mapping[str, HostStatus], spent: Cost, now: datetime) -> Iterator[Shown]:
    """Yield the hosts of each region by state, expiry and cost, then the hosts that are not ready and warnings."""
    table = Table("region", "provider", "hosts", "state", title=f"testbed {inventory.testbed_id}: {len(found)} hosts")
    for region in inventory.regions:
        hosts = [host for host in inventory.hosts if host.region == region]
        counts = Counter(found[host.name].state for host in hosts)
        states = ", ".join(_coloured(f"{count} {state}", state) for state, count in counts.items())
        table.add_row(region, hosts[0].provider, str(len(hosts)), states)
    yield table
    if inventory.monitoring:
        yield f"monitoring: {inventory.monitoring.name} ({inventory.monitoring.address or 'no address'})"
    ends = sorted({each.expires_at for each in found.values() if each.expires_at})
    if ends:
        last = f", the last {when(ends[-1], now)}" if ends[-1] - ends[0] > timedelta(minutes=5) else ""
        yield f"hosts terminate automatically {when(ends[0], now)}{last}"
    yield cost_line(spent, inventory.created_at)
    for name, each in found.items():
        if each.state != "ready":
            reason = f" ({escape(each.reason)})" if each.reason else ""
            yield _coloured(f"{name}: {each.state}{reason}", each.state)
    if any(each.state == "expired" for each in found.values()):
        billed = (
            "stopped hosts"
            if any(host.capabilities.stop_keeps_cost for host in inventory.hosts)
            else "disks of stopped hosts"
        )
        yield _coloured(
            f"the time to live is over: `pulumi destroy` removes the testbed ({billed} are billed until then), "
            "and `pulumi up` recreates it; `geobench extend 4h` gives running hosts more time",
            "expired",
        )
    if lost := [inventory.host(name) for name, each in found.items() if each.state == "unreachable"]:
        yield lost_hosts_advice(lost)
    hosts_by_warning: dict[str, list[str]] = {}
    for name, each in found.items():
        for warning in each.warnings:
            hosts_by_warning.setdefault(warning, []).append(name)
    for warning, names in hosts_by_warning.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"[yellow]warning: {', '.join(names[:3])}{more}: {escape(warning)}[/yellow]"


def cost_line(spent: Cost, created_at: datetime) -> str:
    """Write the cost; an unknown price is unknown, not 0."""
    if spent.hourly_usd is None:
        return "cost: [red]unknown[/]; the provider gave no price for some hosts"
    if spent.hourly_usd == 0:
        return "cost: $0 (no cloud hosts)"
    assert spent.so_far_usd is not None
    so_far = f"cost: ${spent.hourly_usd:.2f} per hour, about ${spent.so_far_usd:.2f} since {created_at:%F %H:%M} UTC"
    total = spent.until_expiry_usd
    return so_far if total is None else f"{so_far}, ${total:.2f} in total when the hosts terminate"


def check_tables(found: Check, now: datetime) -> Iterator[Shown]:
    """Yield the measurements of each host and whether it is ready for a run, then the expiry."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("host", overflow="fold")
    for name in ("clock\nms", "memory free\nMiB", "disk free\nMiB", "left-\nover", "ready"):
        table.add_column(name, justify="right")
    for name, fact in found.facts.items():
        clock = found.clocks[name]
        table.add_row(
            escape(name),
            f"{clock.offset_s * 1000:+.2f} ± {clock.error_s * 1000:.2f}",
            str(fact.memory_free_mb),
            str(fact.disk_free_mb),
            str(fact.stale_processes),
            "[red]no[/red]" if name in found.problems else "[green]yes[/green]",
        )
    yield table
    for name, problem in found.problems.items():
        yield f"[red]{escape(name)}: {escape(problem)}[/red]"
    if found.rtt_error_ms is not None:
        count = sum(len(each) for each in found.rtt_ms.values())
        yield f"{count} emulated round trips, at most {found.rtt_error_ms:.2f} ms from the requested ones"
    for name, fact in found.facts.items():
        if fact.login_output:
            first = fact.login_output.splitlines()[0][:80]
            yield f"{name}: start-up files of the login shell print {escape(repr(first))} before every command; ignored"
    if found.ends:
        yield f"hosts terminate automatically {when(min(found.ends.values()), now)}"


def _coloured(text: str, state: str) -> str:
    return f"[{'green' if state == 'ready' else 'red'}]{text}[/]"

"""The state of each host, when it terminates, and what the testbed costs until then.

Cloud hosts terminate automatically. Each host keeps the time itself; the inventory has only the one that was planned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from benchmark.errors import HostError, UsageError
from benchmark.host_layout import BOOTING_MESSAGE, EXPIRY_COMMAND
from benchmark.inventory import Host, Inventory
from benchmark.remote.deadlines import QUERY_S
from benchmark.testbed.bootstrap import BootstrapStatus, parse_status, status_command
from benchmark.testbed.testbed import Testbed

State = Literal["ready", "booting", "failed", "stopped", "expired", "unreachable"]

_EXPIRY = f"sudo -n {EXPIRY_COMMAND}"


@dataclass(frozen=True)
class HostStatus:
    """The state of a host."""

    state: State
    expires_at: datetime | None = None
    """When the host terminates, as it reports; None if it does not, or did not answer."""
    reason: str = ""
    """Why it failed or cannot be reached, or why Prometheus on it does not answer."""
    warnings: tuple[str, ...] = ()
    """What could not be installed, though runs are possible without."""


@dataclass(frozen=True)
class Cost:
    """The cost of a testbed in US dollars at its current price per hour; None where a price is unknown."""

    hourly_usd: float | None
    so_far_usd: float | None
    until_expiry_usd: float | None
    """From the creation to the expiry of the last host; None also where hosts never expire."""


@dataclass(frozen=True)
class Extended:
    """The new expiry of each host, and why others have none."""

    expires_at: dict[str, datetime]
    failed: dict[str, str]


def host_statuses(testbed: Testbed, now: datetime) -> dict[str, HostStatus]:
    """Query the status of every host: one connection each, one command on cloud hosts, and one query of Prometheus."""
    reached = testbed.fleet.connect([host.name for host in testbed.running if host.address])
    asked = [name for name in reached.ok if testbed.inventory.host(name).capabilities.ephemeral]
    answers = testbed.fleet.run(status_command(), hosts=asked, deadline=QUERY_S) if asked else None
    failed = {**reached.failed, **(answers.failed if answers else {})}
    found: dict[str, HostStatus] = {}
    for host in testbed.inventory.hosts:
        if answers and host.name in answers.ok:
            found[host.name] = status_from_report(parse_status(answers.ok[host.name].stdout), now)
        elif host.name in reached.ok and host.name not in failed:
            found[host.name] = HostStatus("ready")
        else:
            reason = failed.get(host.name, "it has no address")
            found[host.name] = status_when_unreachable(host, reason, testbed.inventory, now)
    monitoring = testbed.inventory.monitoring
    if monitoring and found[monitoring.name].state == "ready" and (problem := testbed.monitoring_problem()):
        found[monitoring.name] = replace(found[monitoring.name], state="failed", reason=problem)
    return found


def status_from_report(report: BootstrapStatus, now: datetime) -> HostStatus:
    """Return the status of a cloud host that answers."""
    if report.expires_at and report.expires_at <= now:
        return HostStatus("expired", report.expires_at)
    if report.state.startswith("failed"):
        return HostStatus("failed", report.expires_at, report.state.removeprefix("failed:").strip())
    return HostStatus("ready" if report.state == "ready" else "booting", report.expires_at, warnings=report.warnings)


def status_when_unreachable(host: Host, reason: str, inventory: Inventory, now: datetime) -> HostStatus:
    """Return the status of a host that does not answer."""
    stopped = host.state == "stopped"
    # A stopped host cannot terminate itself: its expiry is the one that was planned.
    if host.capabilities.ephemeral and inventory.expires_at and inventory.expires_at <= now:
        return HostStatus("expired", reason="it is stopped" if stopped else reason)
    if stopped:
        return HostStatus("stopped")
    booting = host.state == "booting" or BOOTING_MESSAGE in reason
    return HostStatus("booting" if booting else "unreachable", reason=reason)


def cost(inventory: Inventory, statuses: Mapping[str, HostStatus], now: datetime) -> Cost:
    """Multiply the price per hour by the hours since the creation, until now and until the last expiry."""
    hourly = inventory.hourly_cost_usd
    end = max((each.expires_at for each in statuses.values() if each.expires_at), default=inventory.expires_at)

    def until(moment: datetime | None) -> float | None:
        if hourly is None or moment is None:
            return None
        return hourly * max(0.0, (moment - inventory.created_at) / timedelta(hours=1))

    return Cost(hourly, until(now), until(end))


def check_time_left(ends: Mapping[str, datetime], seconds: float, now: datetime) -> None:
    """Raise UsageError if a host terminates within `seconds` from now, before the runs have ended."""
    if not ends:
        return
    name, end = min(ends.items(), key=lambda each: each[1])
    if end < now + timedelta(seconds=seconds):
        hours = math.ceil((seconds - (end - now).total_seconds()) / 3600) + 1
        raise UsageError(
            f"the runs take at least {span(timedelta(seconds=seconds))}, but {name} terminates automatically "
            f"{when(end, now)}; `geobench extend {hours}h` postpones that for all hosts"
        )


def when(moment: datetime, now: datetime) -> str:
    """Format a moment with the time from now until then, in hours and minutes."""
    between = span(abs(moment - now))
    return f"at {moment:%F %H:%M} UTC ({f'in {between}' if moment >= now else f'{between} ago'})"


def span(time: timedelta) -> str:
    """Format a time in hours and minutes."""
    minutes = round(time / timedelta(minutes=1))
    return f"{minutes // 60}h{minutes % 60:02d}m"


def extend(testbed: Testbed, by: timedelta, now: datetime) -> Extended:
    """Postpone the expiry of all running cloud hosts to `by` after the latest one, or after now if that is past.

    Raises HostError if no host reports its expiry.
    """
    names = [host.name for host in testbed.running if host.capabilities.ephemeral and host.address]
    if not names:
        return Extended({}, {})
    reached = testbed.fleet.connect(names)
    ends = testbed.fleet.run(_EXPIRY, hosts=reached.ok, deadline=QUERY_S)
    if not ends.ok:
        raise HostError("could not extend any host:", {**reached.failed, **ends.failed})
    latest = max(int(each.stdout) for each in ends.ok.values())
    end = max(latest, int(now.timestamp())) + round(by.total_seconds())
    set_ends = testbed.fleet.run(f"{_EXPIRY} {end}", hosts=ends.ok, deadline=QUERY_S)
    return Extended(
        {name: datetime.fromtimestamp(int(each.stdout), UTC) for name, each in set_ends.ok.items()},
        {**reached.failed, **ends.failed, **set_ends.failed},
    )


def to_dict(statuses: Mapping[str, HostStatus], spent: Cost) -> dict[str, object]:
    """Return what `status --json` prints: each host's state, expiry and reason, and the cost."""

    def rounded(dollars: float | None) -> float | None:
        return None if dollars is None else round(dollars, 4)

    return {
        "hosts": {name: each.state for name, each in statuses.items()},
        "expires_at": {name: each.expires_at.isoformat() for name, each in statuses.items() if each.expires_at},
        "reasons": {name: each.reason for name, each in statuses.items() if each.reason},
        "warnings": {name: list(each.warnings) for name, each in statuses.items() if each.warnings},
        "hourly_cost_usd": spent.hourly_usd,
        "cost_so_far_usd": rounded(spent.so_far_usd),
        "cost_until_expiry_usd": rounded(spent.until_expiry_usd),
    }

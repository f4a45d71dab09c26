"""How long the hosts of a testbed live, what state they are in, and what they cost until then.

Cloud hosts end themselves (`geobench-expiry` of their first-start script); the time is theirs, not the
inventory's, which knows only what was planned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from benchmark.errors import HostError, UsageError
from benchmark.host_layout import NO_LOGIN
from benchmark.inventory import Host, Inventory
from benchmark.testbed.bootstrap import Report, is_rented, look, parse
from benchmark.testbed.testbed import Testbed

State = Literal["ready", "booting", "failed", "stopped", "expired", "unreachable"]

_DEADLINE_S = 15.0
_EXPIRY = "sudo -n geobench-expiry"


@dataclass(frozen=True)
class Condition:
    """What a host is up to."""

    state: State
    expires_at: datetime | None = None
    """When the host ends itself, by its own word; None if it does not or could not be asked."""
    reason: str = ""
    """Why it failed or is not reached."""
    warnings: tuple[str, ...] = ()
    """What its first start could not do, though it is of use without."""


@dataclass(frozen=True)
class Cost:
    """What a testbed costs in US dollars, by its price per hour now; None where a price is unknown."""

    hourly_usd: float | None
    so_far_usd: float | None
    until_expiry_usd: float | None
    """From the creation to the last host's end; None also where hosts do not end themselves."""


@dataclass(frozen=True)
class Extended:
    """The hosts' new ends, and why others have none."""

    expires_at: dict[str, datetime]
    failed: dict[str, str]


def conditions(testbed: Testbed, now: datetime) -> dict[str, Condition]:
    """Ask every host for its condition: a connection to each, and on cloud hosts one command."""
    reached = testbed.fleet.connect([host.name for host in testbed.running if host.address])
    asked = [name for name in reached.ok if is_rented(testbed.inventory.host(name))]
    answers = testbed.fleet.run(look(), hosts=asked, deadline=_DEADLINE_S) if asked else None
    failed = {**reached.failed, **(answers.failed if answers else {})}
    found: dict[str, Condition] = {}
    for host in testbed.inventory.hosts:
        if answers and host.name in answers.ok:
            found[host.name] = answered(parse(answers.ok[host.name].stdout), now)
        elif host.name in reached.ok and host.name not in failed:
            found[host.name] = Condition("ready")
        else:
            found[host.name] = silent(host, failed.get(host.name, "it has no address"), testbed.inventory, now)
    return found


def answered(said: Report, now: datetime) -> Condition:
    """What to think of a cloud host that answers."""
    if said.expires_at and said.expires_at <= now:
        return Condition("expired", said.expires_at)
    if said.state.startswith("failed"):
        return Condition("failed", said.expires_at, said.state.removeprefix("failed:").strip())
    return Condition("ready" if said.state == "ready" else "booting", said.expires_at, warnings=said.warnings)


def silent(host: Host, reason: str, inventory: Inventory, now: datetime) -> Condition:
    """What to think of a host that does not answer."""
    stopped = host.state == "stopped"
    # One that is stopped cannot end itself: its end is the one that was planned.
    if is_rented(host) and inventory.expires_at and inventory.expires_at <= now:
        return Condition("expired", reason="it is stopped" if stopped else reason)
    if stopped:
        return Condition("stopped")
    boots = host.state == "booting" or NO_LOGIN in reason
    return Condition("booting" if boots else "unreachable", reason=reason)


def cost(inventory: Inventory, found: Mapping[str, Condition], now: datetime) -> Cost:
    """Multiply the price per hour by the hours since the creation, until now and until the last end."""
    hourly = inventory.hourly_cost_usd
    ends = [each.expires_at for each in found.values() if each.expires_at]
    end = max(ends, default=inventory.expires_at)
    return Cost(hourly, _cost(hourly, inventory.created_at, now), _cost(hourly, inventory.created_at, end))


def _cost(hourly: float | None, since: datetime, until: datetime | None) -> float | None:
    if hourly is None or until is None:
        return None
    return hourly * max(0.0, (until - since) / timedelta(hours=1))


def check_time_left(ends: Mapping[str, datetime], seconds: float, now: datetime) -> None:
    """Raise UsageError if a host ends itself within `seconds` from now, in the middle of what is to come."""
    if not ends:
        return
    name, end = min(ends.items(), key=lambda each: each[1])
    if end < now + timedelta(seconds=seconds):
        hours = math.ceil((seconds - (end - now).total_seconds()) / 3600) + 1
        raise UsageError(
            f"the runs take at least {span(timedelta(seconds=seconds))}, but {name} ends itself {when(end, now)}; "
            f"`python -m benchmark extend {hours}h` gives all hosts more time"
        )


def when(moment: datetime, now: datetime) -> str:
    """Write a moment with the time from now until then, in hours and minutes."""
    between = span(abs(moment - now))
    return f"at {moment:%F %H:%M} UTC ({f'in {between}' if moment >= now else f'{between} ago'})"


def span(time: timedelta) -> str:
    """Write a time in hours and minutes."""
    minutes = round(time / timedelta(minutes=1))
    return f"{minutes // 60}h{minutes % 60:02d}m"


def extend(testbed: Testbed, by: timedelta, now: datetime) -> Extended:
    """Move the end of all cloud hosts that run to `by` after the latest of their ends, or after now if that is past.

    Raises HostError if no host says when it ends.
    """
    names = [host.name for host in testbed.running if is_rented(host) and host.address]
    if not names:
        return Extended({}, {})
    reached = testbed.fleet.connect(names)
    ends = testbed.fleet.run(_EXPIRY, hosts=reached.ok, deadline=_DEADLINE_S)
    if not ends.ok:
        raise HostError("no host could be extended:", {**reached.failed, **ends.failed})
    latest = max(int(each.stdout) for each in ends.ok.values())
    end = max(latest, int(now.timestamp())) + round(by.total_seconds())
    set_ends = testbed.fleet.run(f"{_EXPIRY} {end}", hosts=ends.ok, deadline=_DEADLINE_S)
    return Extended(
        {name: datetime.fromtimestamp(int(each.stdout), UTC) for name, each in set_ends.ok.items()},
        {**reached.failed, **ends.failed, **set_ends.failed},
    )


def to_dict(found: Mapping[str, Condition], spent: Cost) -> dict[str, Any]:
    """For `--json`: each host's state, end and reason, and the cost."""
    return {
        "hosts": {name: each.state for name, each in found.items()},
        "expires_at": {name: each.expires_at.isoformat() for name, each in found.items() if each.expires_at},
        "reasons": {name: each.reason for name, each in found.items() if each.reason},
        "warnings": {name: list(each.warnings) for name, each in found.items() if each.warnings},
        "hourly_cost_usd": spent.hourly_usd,
        "cost_so_far_usd": _rounded(spent.so_far_usd),
        "cost_until_expiry_usd": _rounded(spent.until_expiry_usd),
    }


def _rounded(dollars: float | None) -> float | None:
    return None if dollars is None else round(dollars, 4)

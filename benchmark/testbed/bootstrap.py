"""The first start of cloud hosts: it goes on when they let users in already, and a run has to wait until it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmark.errors import HostError
from benchmark.host_layout import FOLDER, LOCAL_DISKS, NO_LOGIN, PARAMETERS, PROMETHEUS_CONFIG
from benchmark.inventory import Host
from benchmark.remote.fleet import Completed, Fleet, Results

_ANSWER_S = 60.0
_WAIT_S = 600.0
_POLL_S = 2.0
_DEADLINE_S = 15.0
_FAILED = (
    "hosts could not set themselves up; `python -m benchmark ssh HOST sudo geobench-bootstrap` tries again, "
    "`pulumi destroy` and `pulumi up` make all hosts anew:"
)
_LATE = (
    f"hosts are still setting themselves up after {_WAIT_S / 60:g} minutes; "
    "`python -m benchmark ssh HOST tail /var/log/cloud-init-output.log` shows how far they are:"
)


@dataclass(frozen=True)
class Report:
    """What a cloud host says of itself."""

    state: str = "booting"
    """`ready`, `booting`, or `failed: REASON`."""
    expires_at: datetime | None = None
    """When it ends itself."""
    warnings: tuple[str, ...] = ()
    """What its first start could not do, though it is of use without."""
    local_disk: str | None = None
    """The folder that its local disk was set up for; empty if it was not to be used, None if there is none."""
    scrape_interval_ms: int | None = None
    """Of its Prometheus; None where it has none."""


def look() -> str:
    """Return the command that has a host say what `parse` reads; what is missing is left out."""
    return (
        f"exec 2>/dev/null; cd {FOLDER} && {{ sed -n '1s/^/state /p' state; sed -n '1s/^/end /p' expires_at; "
        "sed 's/^/warning /' warnings; }; "
        f'if ls {LOCAL_DISKS} >/dev/null && . {PARAMETERS}; then [ "$NVME" = yes ] || WORKING_DIR=; '
        'echo "disk $WORKING_DIR"; fi; '
        f"sed -n 's/^  scrape_interval: \\([0-9]*\\)ms$/interval \\1/p' {PROMETHEUS_CONFIG}; true"
    )


def parse(text: str) -> Report:
    """Read what the command of `look` printed."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        kind, _, value = line.partition(" ")
        said.setdefault(kind, []).append(value)
    end, interval = said.get("end", [""])[0], said.get("interval", [""])[0]
    return Report(
        state=said.get("state", ["booting"])[0],
        expires_at=datetime.fromtimestamp(int(end), UTC) if end.isdecimal() else None,
        warnings=tuple(said.get("warning", [])),
        local_disk=said["disk"][0] if "disk" in said else None,
        scrape_interval_ms=int(interval) if interval.isdecimal() else None,
    )


def is_rented(host: Host) -> bool:
    """Whether a host is of a cloud: it sets itself up at its first start, and ends itself when its time is over."""
    return host.provider in ("aws", "vultr")


def connect(
    fleet: Fleet, hosts: Sequence[Host], tell: Callable[[str], None]
) -> tuple[Results[None], dict[str, Report]]:
    """Connect to hosts and wait until the first start of those of clouds is over; `tell` is told who is waited for.

    Returns who was reached, and what those of clouds say. Where some are of clouds, hosts have a minute to answer: they
    are reached soon after they were created; their bare metal has ten. Raises HostError where a first start failed, or
    takes more than ten minutes.
    """
    deadline = time.monotonic() + _WAIT_S
    patience = _ANSWER_S if any(is_rented(host) for host in hosts) else 0.0
    told = False
    if any(_is_metal(host) for host in hosts):
        _wait_for_metal(fleet, hosts, patience, tell)
        patience = 0.0
    while True:
        opened = fleet.connect([host.name for host in hosts], patience)
        reports = _reports(fleet, [host.name for host in hosts if is_rented(host) and host.name in opened.ok])
        states = {name: report.state for name, report in reports.items()}
        states |= {name: reason for name, reason in opened.failed.items() if NO_LOGIN in reason}
        if failed := {name: state for name, state in states.items() if state.startswith("failed")}:
            raise HostError(_FAILED, failed)
        booting = {name: state for name, state in states.items() if state != "ready"}
        if not booting:
            return opened, reports
        if time.monotonic() > deadline:
            raise HostError(_LATE, booting)
        if not told:
            tell(f"waiting for hosts that still set themselves up: {listed(booting)}")
            told, patience = True, 0.0
        time.sleep(_POLL_S)


def _is_metal(host: Host) -> bool:
    return is_rented(host) and (".metal" in host.specs or host.specs.startswith("vbm-"))


def _wait_for_metal(fleet: Fleet, hosts: Sequence[Host], patience: float, tell: Callable[[str], None]) -> None:
    """Connect to hosts, for longer to bare metal, which checks itself as it boots."""
    failed = fleet.connect([host.name for host in hosts], patience).failed
    if silent := [host.name for host in hosts if host.name in failed and _is_metal(host)]:
        tell(f"waiting for bare metal that does not answer yet: {listed(silent)}")
        fleet.connect(silent, _WAIT_S)


def _reports(fleet: Fleet, names: Sequence[str]) -> dict[str, Report]:
    answers: Results[Completed] = fleet.run(look(), hosts=names, deadline=_DEADLINE_S) if names else Results()
    answered = answers.raise_for_failures("hosts do not say whether they are ready:")
    return {name: parse(answer.stdout) for name, answer in answered.items()}


def listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    first, more = list(names)[:5], list(names)[5:]
    return ", ".join(first) + (f" and {len(more)} more" if more else "")

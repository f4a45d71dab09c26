"""Wait until cloud hosts have finished bootstrapping; sshd accepts logins earlier."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmark.errors import HostError
from benchmark.host_layout import (
    BOOTING_MESSAGE,
    BOOTSTRAP_COMMAND,
    BOOTSTRAP_LOG,
    BOOTSTRAP_PARAMETERS,
    LOCAL_DISKS,
    PROMETHEUS_CONFIG,
    STATE_DIRECTORY,
)
from benchmark.inventory import Host
from benchmark.remote.answers import reading
from benchmark.remote.deadlines import QUERY_S
from benchmark.remote.fleet import Completed, Fleet, Results

_REPORT_S = 60.0
"""Hosts that may take longer than this to answer are reported."""
_WAIT_S = 600.0
_POLL_S = 2.0


@dataclass(frozen=True)
class BootstrapStatus:
    """What a cloud host reports about its first boot."""

    state: str = "booting"
    """`ready`, `booting`, or `failed: REASON`."""
    expires_at: datetime | None = None
    """When it terminates."""
    warnings: tuple[str, ...] = ()
    """What could not be installed, though runs are possible without."""
    local_disk: str | None = None
    """The folder on its local disk; empty if the disk is not used, None if there is none."""
    scrape_interval_ms: int | None = None
    """Of its Prometheus; None where it has none."""


def status_command() -> str:
    """Return the command that prints what `parse_status` reads; what does not exist is left out."""
    return (
        f"exec 2>/dev/null; cd {STATE_DIRECTORY} && {{ sed -n '1s/^/state /p' state; "
        "sed -n '1s/^/end /p' expires_at; sed 's/^/warning /' warnings; }; "
        f'if ls {LOCAL_DISKS} >/dev/null && . {BOOTSTRAP_PARAMETERS}; then [ "$NVME" = yes ] || WORKING_DIR=; '
        'echo "disk $WORKING_DIR"; fi; '
        f"sed -n 's/^  scrape_interval: \\([0-9]*\\)ms$/interval \\1/p' {PROMETHEUS_CONFIG}; true"
    )


def parse_status(text: str) -> BootstrapStatus:
    """Read what `status_command` printed."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        kind, _, value = line.partition(" ")
        found.setdefault(kind, []).append(value)
    end, interval = found.get("end", [""])[0], found.get("interval", [""])[0]
    with reading("the status of a host", text):
        return BootstrapStatus(
            state=found.get("state", ["booting"])[0],
            expires_at=datetime.fromtimestamp(int(end), UTC) if end.isdecimal() else None,
            warnings=tuple(found.get("warning", [])),
            local_disk=found["disk"][0] if "disk" in found else None,
            scrape_interval_ms=int(interval) if interval.isdecimal() else None,
        )


def connect(
    fleet: Fleet, hosts: Sequence[Host], report: Callable[[str], None]
) -> tuple[Results[None], dict[str, BootstrapStatus]]:
    """Connect to hosts and wait until the cloud hosts among them have finished bootstrapping.

    Returns the connections and the status of each cloud host; `report` gets a line when hosts are waited for. A host
    that does not answer may just have been created and gets the boot timeout of its capabilities. Raises HostError if
    bootstrapping failed, or takes more than ten minutes.
    """
    deadline = time.monotonic() + _WAIT_S
    names = [host.name for host in hosts]
    timeouts = sorted({host.capabilities.boot_timeout_s for host in hosts})
    opened = fleet.connect(names, timeouts[0])
    for timeout in timeouts[1:]:
        silent = [
            host.name for host in hosts if host.name in opened.failed and host.capabilities.boot_timeout_s >= timeout
        ]
        if silent:
            if timeout > _REPORT_S:
                report(f"waiting for hosts that do not answer yet: {listed(silent)}")
            late = fleet.connect(silent, timeout)
            failed = {name: reason for name, reason in opened.failed.items() if name not in late.ok}
            opened = Results(opened.ok | late.ok, failed | late.failed)
    waiting = False
    while True:
        asked = [host.name for host in hosts if host.capabilities.ephemeral and host.name in opened.ok]
        answers: Results[Completed] = Results()
        if asked:
            answers = fleet.run(status_command(), hosts=asked, deadline=QUERY_S)
        printed = answers.raise_for_failures("could not read the bootstrap status of:")
        statuses = {name: parse_status(answer.stdout) for name, answer in printed.items()}
        states = {name: status.state for name, status in statuses.items()}
        states |= {name: reason for name, reason in opened.failed.items() if BOOTING_MESSAGE in reason}
        if failed := {name: state for name, state in states.items() if state.startswith("failed")}:
            raise HostError(
                f"hosts failed to bootstrap; `geobench ssh HOST sudo {BOOTSTRAP_COMMAND}` tries again, "
                "`pulumi destroy` and `pulumi up` recreate all hosts:",
                failed,
            )
        booting = {name: state for name, state in states.items() if state != "ready"}
        if not booting:
            return opened, statuses
        if time.monotonic() > deadline:
            raise HostError(
                f"hosts have not finished bootstrapping after {_WAIT_S / 60:g} minutes; "
                f"`geobench ssh HOST tail {BOOTSTRAP_LOG}` shows their progress:",
                booting,
            )
        if not waiting:
            report(f"waiting for hosts to finish bootstrapping: {listed(booting)}")
            waiting = True
        time.sleep(_POLL_S)
        opened = fleet.connect(names)


def listed(names: Iterable[str]) -> str:
    """Join the first few names, and the number of the others."""
    first, more = list(names)[:5], list(names)[5:]
    return ", ".join(first) + (f" and {len(more)} more" if more else "")

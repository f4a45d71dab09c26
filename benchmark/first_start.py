"""The first start of cloud hosts: it goes on when they let users in already, and a run has to wait until it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from benchmark.errors import HostError
from benchmark.inventory import Host
from benchmark.remote import Completed, Fleet, Results

FOLDER = "/var/lib/geobench"
"""Where a host keeps what its first start has come to (assets/bootstrap.sh)."""
NO_LOGIN = "System is booting up"
"""systemd's word to those who log in too early, by way of pam_nologin(8)."""

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


def is_rented(host: Host) -> bool:
    """Whether a host is of a cloud: it sets itself up at its first start, and ends itself when its time is over."""
    return host.provider in ("aws", "vultr")


def connect(fleet: Fleet, hosts: Sequence[Host], tell: Callable[[str], None]) -> Results[None]:
    """Connect to hosts and wait until the first start of those of clouds is over; `tell` is told who is waited for.

    Where some are of clouds, hosts have a minute to answer: they are reached soon after they were created. The results
    name those that do not. Raises HostError where a first start failed, or takes more than ten minutes.
    """
    deadline = time.monotonic() + _WAIT_S
    patience = _ANSWER_S if any(is_rented(host) for host in hosts) else 0.0
    told = False
    while True:
        opened = fleet.connect([host.name for host in hosts], patience)
        states = _states(fleet, [host.name for host in hosts if is_rented(host) and host.name in opened.ok])
        states |= {name: reason for name, reason in opened.failed.items() if NO_LOGIN in reason}
        if failed := {name: state for name, state in states.items() if state.startswith("failed")}:
            raise HostError(_FAILED, failed)
        booting = {name: state for name, state in states.items() if state != "ready"}
        if not booting:
            return opened
        if time.monotonic() > deadline:
            raise HostError(_LATE, booting)
        if not told:
            tell(f"waiting for hosts that still set themselves up: {_listed(booting)}")
            told, patience = True, 0.0
        time.sleep(_POLL_S)


def _states(fleet: Fleet, names: Sequence[str]) -> dict[str, str]:
    """Ask hosts what their first start has come to: `ready`, `booting`, or `failed: REASON`."""
    look = f"head -n 1 {FOLDER}/state 2>/dev/null || true"
    answers: Results[Completed] = fleet.run(look, hosts=names, deadline=_DEADLINE_S) if names else Results()
    answered = answers.raise_for_failures("hosts do not say whether they are ready:")
    return {name: answer.stdout.strip() or "booting" for name, answer in answered.items()}


def _listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    first, more = list(names)[:5], list(names)[5:]
    return ", ".join(first) + (f" and {len(more)} more" if more else "")

"""Subnets of testbeds and addresses of hosts, kept in files under the machine's lock.

Subnets are the 32 /20 of 198.18.0.0/15, which RFC 2544 reserves for benchmarks, so they collide with no other network.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from benchmark.errors import InfrastructureError

SUBNETS = tuple(ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=20))
RUNTIME = Path("/run/geobench")
"""State of the machine until it reboots, independent of the state folder: the lock, the former ip_forward."""


def state_folder() -> Path:
    """Return the folder of the local testbeds: $GEOBENCH_STATE_DIR or /var/lib/geobench."""
    return Path(os.environ.get("GEOBENCH_STATE_DIR") or "/var/lib/geobench")


@contextlib.contextmanager
def machine_lock() -> Iterator[None]:
    """Lock the machine's testbeds for changes; not reentrant, released even by SIGKILL."""
    RUNTIME.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (RUNTIME / "lock").open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def subnet_claims(state: Path) -> dict[int, str]:
    """Return the numbers of the claimed subnets, with the testbeds that hold them."""
    claims = {}
    for file in state.glob("*/network/subnet"):
        with contextlib.suppress(OSError, ValueError):
            claims[int(file.read_text(encoding="ascii"))] = file.parent.parent.name
    return claims


def free_subnets(state: Path, testbed_id: str) -> list[int]:
    """List the subnet numbers that `testbed_id` may claim, its current one first. Raises InfrastructureError."""
    claims = subnet_claims(state)
    mine = [index for index, holder in claims.items() if holder == testbed_id]
    free = [index for index in range(len(SUBNETS)) if index not in claims]
    if not mine + free:
        raise InfrastructureError(
            f"all {len(SUBNETS)} subnets of 198.18.0.0/15 are in use, by {', '.join(sorted(claims.values()))}; "
            "destroy a testbed first"
        )
    return mine + free


def read_addresses(file: Path) -> dict[str, str]:
    """Return the address of each host by its name; empty if the file does not exist."""
    try:
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def check_testbed_id(testbed_id: str) -> None:
    """Raise InfrastructureError for an id that could lead out of the folder of testbeds."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", testbed_id):
        raise InfrastructureError(
            f"testbed {testbed_id!r}: invalid id; use lower-case letters, digits and '-', starting with a letter"
        )


def write_atomically(file: Path, text: str) -> None:
    """Replace a file so that readers see either the old or the new text."""
    partial = file.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def lowest_free(index: int, taken: set[str]) -> str:
    """Return the first free host address of subnet `index`; the very first belongs to the operator."""
    hosts = SUBNETS[index].hosts()
    next(hosts)
    for address in hosts:
        if str(address) not in taken:
            return str(address)
    raise InfrastructureError(f"all addresses of {SUBNETS[index]} are in use; remove hosts of this testbed first")

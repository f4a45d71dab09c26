"""Which testbed has which subnet and which host which address, kept in files under the machine's lock.

Subnets are the 32 /20 of 198.18.0.0/15, which RFC 2544 sets aside for benchmarks, so they collide with nobody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
from collections.abc import Iterator
from pathlib import Path

from benchmark.errors import InfrastructureError

SUBNETS = tuple(ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=20))
RUNTIME = Path("/run/geobench")
"""What holds for the machine until it reboots, whatever the state folder: the lock, the former ip_forward."""


def state_folder() -> Path:
    """Return the folder that local testbeds live in: $GEOBENCH_STATE_DIR or /var/lib/geobench."""
    return Path(os.environ.get("GEOBENCH_STATE_DIR") or "/var/lib/geobench")


@contextlib.contextmanager
def machine_lock() -> Iterator[None]:
    """Let one process at a time change the machine's testbeds; not reentrant, freed even by SIGKILL."""
    RUNTIME.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (RUNTIME / "lock").open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def subnet_claims(state: Path) -> dict[int, str]:
    """Return the claimed numbers of subnets and the testbeds that hold them."""
    claims = {}
    for file in state.glob("*/network/subnet"):
        with contextlib.suppress(OSError, ValueError):
            claims[int(file.read_text(encoding="ascii"))] = file.parent.parent.name
    return claims


def free_subnets(state: Path, testbed_id: str) -> list[int]:
    """List the numbers that `testbed_id` may claim, its present one first; InfrastructureError if there is none."""
    claims = subnet_claims(state)
    mine = [index for index, holder in claims.items() if holder == testbed_id]
    free = [index for index in range(len(SUBNETS)) if index not in claims]
    if not mine + free:
        raise InfrastructureError(
            f"all {len(SUBNETS)} subnets of 198.18.0.0/15 are taken, by {', '.join(sorted(claims.values()))}; "
            "destroy a testbed first"
        )
    return mine + free


def read_addresses(file: Path) -> dict[str, str]:
    """Read which host has which address; none if there is no file."""
    try:
        found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def write_whole(file: Path, text: str) -> None:
    """Replace a file so that readers see the old or the new text."""
    partial = file.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def lowest_free(index: int, taken: set[str]) -> str:
    """Return the first host address of subnet `index` not in `taken`; the operator has the very first."""
    hosts = SUBNETS[index].hosts()
    next(hosts)
    for address in hosts:
        if str(address) not in taken:
            return str(address)
    raise InfrastructureError(f"all addresses of {SUBNETS[index]} are taken; remove hosts of this testbed first")

"""Connect hosts to the internet: the machine forwards and masquerades for a testbed's subnet."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from benchmark.errors import InfrastructureError

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
INTERFACES = Path("/sys/class/net")


def interface_name(index: int) -> str:
    """Return the name of the machine's interface in the testbed with subnet number `index`."""
    return f"geobench{index}"


def open_gateway(index: int, subnet: str, runtime: Path) -> None:
    """Connect `subnet` to the internet if the machine is; the folder `runtime` keeps the former value of ip_forward.

    InfrastructureError if nftables is missing. The caller holds the machine's lock.
    """
    if not _has_default_route():
        return
    close_gateway(index)
    name = interface_name(index)
    _nft(f"""table ip {_table(index)} {{
        chain postrouting {{
            type nat hook postrouting priority srcnat;
            ip saddr {subnet} oifname != "{name}" masquerade
        }}
    }}""")
    before = runtime / "ip_forward"
    if not before.exists():
        before.write_text(FORWARDING.read_text(encoding="ascii"), encoding="ascii")
    FORWARDING.write_text("1\n", encoding="ascii")


def close_gateway(index: int) -> None:
    """Remove the rules of `open_gateway` from nftables, if any."""
    with contextlib.suppress(InfrastructureError):
        _nft(f"delete table ip {_table(index)}")


def restore_forwarding(runtime: Path) -> None:
    """Restore ip_forward if no testbed is left; the caller holds the machine's lock."""
    before = runtime / "ip_forward"
    if before.exists() and not any(INTERFACES.glob("geobench*")):
        FORWARDING.write_text(before.read_text(encoding="ascii"), encoding="ascii")
        before.unlink()


def _table(index: int) -> str:
    return f"geobench_{index}"


def _has_default_route() -> bool:
    rows = Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]
    return any(row.split()[1] == "00000000" and row.split()[7] == "00000000" for row in rows)


def _nft(rules: str) -> None:
    try:
        done = subprocess.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True, timeout=30, check=False)
    except FileNotFoundError:
        raise InfrastructureError(
            "`nft` not found, which connects hosts to the internet; install nftables or set `network.internet: false`"
        ) from None
    if done.returncode:
        raise InfrastructureError(
            f"nftables rejected the testbed's rules: {done.stderr.strip()}; set `network.internet: false` to create a "
            "testbed without them"
        )

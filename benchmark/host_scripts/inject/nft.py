"""Run nft, and write the chains of faults."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .mechanism import ProblemError

PRIORITY = -350
"""Of the hooks: before connection tracking and any firewall, which may accept established connections."""
COMMAND_S = 10


def family(address: str) -> str:
    """Return the word of nftables for the family of an address."""
    return "ip6" if ":" in address else "ip"


def run_nft(*words: str, text: str | None = None) -> str:
    """Run nft and return its output; ProblemError if it fails."""
    try:
        done = subprocess.run(
            ["nft", *words], input=text, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except FileNotFoundError:
        raise ProblemError("it has no nft; install the package nftables") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProblemError(f"nft cannot run: {error}") from None
    if done.returncode:
        raise ProblemError(f"nft {' '.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def delete_table(table: str) -> None:
    """Delete a table, if it exists."""
    if f"table inet {table}" in run_nft("list", "tables").splitlines():
        run_nft("delete", "table", "inet", table)


def chains(
    peers: Iterable[Mapping[str, Any]],
    spared: tuple[str, int] | None,
    rules: Callable[[str], Sequence[str]],
) -> str:
    """Return two chains for the packets from and to peers with `in` and `out`; `rules` completes what matches them.

    The operator's SSH connection, `spared`, passes.
    """
    lines = []
    for hook, side, own in (("input", "saddr", "d"), ("output", "daddr", "s")):
        lines.append(f" chain {hook} {{ type filter hook {hook} priority {PRIORITY}; policy accept;")
        if spared:
            client, port = spared
            lines.append(f"  {family(client)} {side} {client} tcp {own}port {port} accept")
        for peer in peers:
            if peer["in" if hook == "input" else "out"]:
                lines += [f"  {line}" for line in rules(f"{family(peer['address'])} {side} {peer['address']}")]
        lines.append(" }")
    return "\n".join([*lines, ""])

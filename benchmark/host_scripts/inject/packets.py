"""Faults of the network: packets are dropped by nftables."""

from __future__ import annotations

import contextlib
import errno
import json
import select
import socket
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from .mechanism import Context, Mechanism, ProblemError

PRIORITY = -350
"""Of the hooks: before connection tracking and any firewall, which may accept established connections."""
PROBE_S = 1.0
ENOUGH_PACKETS = 200
"""Packets after which the share that was lost is compared with the requested one."""
SIGMAS = 5
COMMAND_S = 10


class Drop(Mechanism):
    """Drop packets: `{"peers": [{"address", "port", "in", "out"}…], "share": 1.0}`.

    `in` and `out` say whether packets from and to the peer are dropped, `share` is the probability of each packet; at
    `port` the peer answers or rejects connections.
    """

    def __init__(self, order: dict[str, Any], context: Context) -> None:
        self.table, self.spared = context.name, context.spared
        self.peers, self.share = order["peers"], float(order["share"])
        self.reachable: set[str] = set()

    @classmethod
    def check(cls) -> None:
        """Require nft and the right to use it."""
        run_nft("list", "tables")

    def prepare(self) -> None:
        """Require that peers can be reached; those that another fault cuts off already prove nothing."""
        self.reachable = {peer["address"] for peer in self.peers} - self._unreachable()
        if not self.reachable:
            raise ProblemError("no other host answers, so a cut cannot be proved")

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return [["table", self.table]]

    def inject(self) -> None:
        """Load a table of this fault's own, which is dropped whole."""
        lines = [f"table inet {self.table} {{"]
        for hook, side, own in (("input", "saddr", "d"), ("output", "daddr", "s")):
            lines.append(f" chain {hook} {{ type filter hook {hook} priority {PRIORITY}; policy accept;")
            if self.spared:
                client, port = self.spared
                lines.append(f"  {family(client)} {side} {client} tcp {own}port {port} accept")
            for peer in self.peers:
                if peer["in" if hook == "input" else "out"]:
                    match = f"{family(peer['address'])} {side} {peer['address']}"
                    chance = "" if self.share >= 1 else f"numgen random mod 1000000 < {round(self.share * 1e6)} "
                    lines += [f'  {match} counter comment "seen"', f'  {match} {chance}counter drop comment "dropped"']
            lines.append(" }")
        run_nft("-f", "-", text="\n".join([*lines, "}", ""]))

    def prove(self) -> tuple[bool, str]:
        """Return whether packets are dropped, as requested, and how that was seen."""
        probed = ""
        if self.share >= 1:
            lost = self._unreachable()
            if reached := sorted(self.reachable - lost):
                return False, f"still reaches {', '.join(reached)}"
            probed = f", probes of {len(self.reachable)} hosts unanswered"
        elif self._counters()[0] < ENOUGH_PACKETS:
            self._send_datagrams()
        ok, text = self.prove_held()
        return ok, text + probed

    def prove_held(self) -> tuple[bool, str]:
        """Return whether packets were dropped, as requested, since the fault was injected, and how many."""
        seen, dropped = self._counters()
        share = dropped / seen if seen else 0.0
        error = SIGMAS * (self.share * (1 - self.share) / seen) ** 0.5 if seen else 0.0
        return dropped > 0 and abs(share - self.share) <= error, f"{dropped} of {seen} packets dropped"

    def heal(self) -> None:
        """Delete the table."""
        delete_table(self.table)

    def prove_healed(self, cut: Sequence[str]) -> tuple[bool, str]:
        """Return whether the table is gone and the peers can be reached, and how that was seen."""
        if self.table in run_nft("list", "tables"):
            return False, f"packet filter {self.table} still exists"
        wanted = self.reachable - set(cut)
        if lost := sorted(wanted & self._unreachable()):
            return False, f"cannot reach {', '.join(lost)}"
        return True, f"packet filter deleted, probes of {len(wanted)} hosts answered"

    def _counters(self) -> tuple[int, int]:
        """Return how many packets the rules saw, and how many they dropped."""
        found = {"seen": 0, "dropped": 0}
        for entry in json.loads(run_nft("-j", "list", "table", "inet", self.table))["nftables"]:
            rule = entry.get("rule", {})
            for part in rule.get("expr", ()):
                if "counter" in part and rule.get("comment") in found:
                    found[rule["comment"]] += part["counter"]["packets"]
        return found["seen"], found["dropped"]

    def _unreachable(self) -> set[str]:
        """Return the addresses of peers that neither accept nor reject a connection in time."""
        waiting: dict[socket.socket, str] = {}
        answered: set[str] = set()
        for peer in self.peers:
            kind = socket.AF_INET6 if ":" in peer["address"] else socket.AF_INET
            probe = socket.socket(kind, socket.SOCK_STREAM)
            probe.setblocking(False)
            code = probe.connect_ex((peer["address"], peer["port"]))
            if code == errno.EINPROGRESS:
                waiting[probe] = peer["address"]
                continue
            probe.close()
            if code in (0, errno.ECONNREFUSED):
                answered.add(peer["address"])
        end = time.monotonic() + PROBE_S
        while waiting and (left := end - time.monotonic()) > 0:
            for probe in select.select([], list(waiting), [], left)[1]:
                address = waiting.pop(probe)
                if probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED):
                    answered.add(address)
                probe.close()
        for probe in waiting:
            probe.close()
        return {peer["address"] for peer in self.peers} - answered

    def _send_datagrams(self) -> None:
        """Send what the rules for packets to peers count; peers discard it."""
        for peer in self.peers:
            kind = socket.AF_INET6 if ":" in peer["address"] else socket.AF_INET
            with socket.socket(kind, socket.SOCK_DGRAM) as probe:
                for _ in range(ENOUGH_PACKETS if peer["out"] else 0):
                    with contextlib.suppress(OSError):
                        probe.sendto(b"", (peer["address"], 9))


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

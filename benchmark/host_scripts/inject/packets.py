"""Faults of the network: packets are dropped by nftables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .mechanism import Context, Mechanism, ProblemError
from .nft import chains, delete_table, run_nft
from .probes import PROBE_S, round_trips, send_datagrams

ENOUGH_PACKETS = 200
"""Packets after which the share that was lost is compared with the requested one."""
SIGMAS = 5
HEALED_S = 3.0
"""Time in which peers must answer again, although another fault may delay packets."""


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

        def rules(match: str) -> list[str]:
            chance = "" if self.share >= 1 else f"numgen random mod 1000000 < {round(self.share * 1e6)} "
            return [f'{match} counter comment "seen"', f'{match} {chance}counter drop comment "dropped"']

        run_nft("-f", "-", text=f"table inet {self.table} {{\n{chains(self.peers, self.spared, rules)}}}\n")

    def prove(self) -> tuple[bool, str]:
        """Return whether packets are dropped, as requested, and how that was seen."""
        probed = ""
        if self.share >= 1:
            lost = self._unreachable()
            if reached := sorted(self.reachable - lost):
                return False, f"still reaches {', '.join(reached)}"
            probed = f", probes of {len(self.reachable)} hosts unanswered"
        elif self._counters()[0] < ENOUGH_PACKETS:
            send_datagrams([peer["address"] for peer in self.peers if peer["out"]], ENOUGH_PACKETS)
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
        if lost := sorted(wanted & self._unreachable(HEALED_S)):
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

    def _unreachable(self, patience: float = PROBE_S) -> set[str]:
        """Return the addresses of peers that neither accept nor reject a connection in time."""
        return {peer["address"] for peer in self.peers} - round_trips(self.peers, patience=patience).keys()

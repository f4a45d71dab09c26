"""Faults of links between hosts that let packets pass, but later, at a limited rate or not always."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from . import shaper as shaping
from .mechanism import Context, Mechanism, ProblemError
from .probes import PROBE_S, round_trips, send_datagrams

PROBES = 3
BASELINE_S = 0.15
ANSWER_S = 3.0
"""Time in which peers must answer before the fault; another one that cuts them off may just be healed."""
ENOUGH_ROUND_TRIPS = 8
"""Measurements after which round trips must differ under jitter."""
LATE_S, LATE_SHARE = 0.01, 0.2
"""Packets may leave late by this much on average, or by this share of the delay."""
BURST_BYTES, BURST_PACKETS = 1200, 50
MOST_RATE = 1.25
"""Of the measured rate to the limit: the first packet of a burst may leave late, the last one on time."""
ENOUGH_BUSY_S = 0.02


class Impair(Mechanism):
    """Impair links: `{"peers": [{"address", "port", "in", "out", "ways"}…], "impairment": NAME, "parameters": {…}}`.

    `in` and `out` say whether packets from and to the peer are held on this host, `ways` how many directions the fault
    affects on any host; at `port` the peer answers or rejects connections. NAME is one of `impairments.IMPAIRMENTS`,
    which the parameters belong to.
    """

    def __init__(self, order: dict[str, Any], context: Context) -> None:
        self.name, self.shaper = context.name, context.shaper
        self.peers: list[Mapping[str, Any]] = order["peers"]
        self.kind: str = order["impairment"]
        self.parameters: dict[str, float] = order["parameters"]
        self.reachable: set[str] = set()
        self.answered = False
        self.measured: dict[str, list[float]] = {}

    @classmethod
    def check(cls) -> None:
        """Require the parts of the kernel that hand over packets, and the right to use them."""
        shaping.check()

    def prepare(self) -> None:
        """Measure the round trips to peers that can be reached; others prove nothing."""
        baseline = self.shaper.baseline
        began = time.monotonic()
        while time.monotonic() < began + (BASELINE_S if self.reachable else ANSWER_S):  # a busy host measures too much
            found = round_trips(self.peers, PROBES)
            self.reachable |= found.keys()
            for address, seconds in found.items():
                baseline[address] = min(seconds, baseline.get(address, seconds))
        if not self.reachable:
            raise ProblemError("no other host answers, so a change of its link cannot be proved")

    def undo(self) -> list[list[Any]]:
        """Return what is to be undone."""
        return [["table", self.shaper.table]]

    def inject(self) -> None:
        """Direct the packets of the links to the process that holds them."""
        self.shaper.impair(self.name, self.peers, self.kind, self.parameters)

    def prove(self) -> tuple[bool, str]:
        """Return whether the packets of all links are impaired as requested, and how that was seen."""
        before = self._seen(self.shaper.figures(self.name))
        if self.kind == "rate":
            count = max(5, min(BURST_PACKETS, int(self.parameters["rate_bps"] / 8 * 0.05 / BURST_BYTES)))
            send_datagrams([peer["address"] for peer in self.peers if peer["out"]][:1], count, BURST_BYTES)
        found = round_trips(self.peers, PROBES, PROBE_S + max(self._added(peer) for peer in self.peers))
        self.answered = bool(found)
        for address, seconds in found.items():
            self.measured.setdefault(address, []).append(seconds)
        figures = self.shaper.figures(self.name)
        after = self._seen(figures)
        for peer in self.peers:
            address = peer["address"]
            # Probes leave in any case; answers come only from those that the probes reached.
            ways = [way for way in ("out", "in") if peer[way] and (way == "out" or address in found)]
            for way in ways if address in self.reachable else ():
                if after[way, address] <= before[way, address]:
                    return False, f"packets {'to' if way == 'out' else 'from'} {address} pass unimpaired"
        if not sum(after.values()):
            return False, "no packet was impaired"
        if figures["overflowed"]:
            return False, f"{figures['overflowed']} packets lost: they came faster than they could be held"
        ok, text = getattr(self, f"_prove_{self.kind}")(figures, found)
        return ok, f"{text}, {sum(after.values())} packets on {_count(after, 'link')}"

    def prove_held(self) -> tuple[bool, str]:
        """Return the same; where another fault drops all probes, packets that were impaired must do."""
        before = sum(self._seen(self.shaper.figures(self.name)).values())
        ok, text = self.prove()
        if ok or self.answered:
            return ok, text
        seen = sum(self._seen(self.shaper.figures(self.name)).values())
        return seen > before, f"{text}, {seen} packets"

    def heal(self) -> None:
        """Let packets pass."""
        self.shaper.mend(self.name)

    def prove_healed(self, cut: Sequence[str]) -> tuple[bool, str]:
        """Return whether packets pass as before, and how that was seen."""
        added = {peer["address"]: self._added(peer) for peer in self.peers}
        found = round_trips(self.peers, PROBES, PROBE_S + max(added.values()))
        wanted = self.reachable - set(cut)
        if lost := sorted(wanted - found.keys()):
            return False, f"cannot reach {', '.join(lost)}"
        others = {peer["address"] for peers in self.shaper.faults.values() for peer in peers}
        for address in sorted(wanted - others):
            if found[address] - self.shaper.baseline[address] > added[address] / 2 > 0:
                return False, f"the round trip to {address} still takes {_ms(found[address])}"
        return True, f"packets pass, round trips to {_count(wanted, 'host')} {_range(found[each] for each in wanted)}"

    def _added(self, peer: Mapping[str, Any]) -> float:
        """Return by how much the round trip to a peer is longer at least, in s."""
        return self.parameters.get("delay_s", 0.0) * float(peer["ways"])

    def _seen(self, figures: Mapping[str, Any]) -> dict[tuple[str, str], int]:
        """Return how many packets came, by direction and address."""
        names = {shaping.packed(peer["address"]).hex(): peer["address"] for peer in self.peers}
        return {("in" if inbound else "out", names[link]): seen for inbound, link, seen, _ in figures["links"]}

    def _prove_delay(self, figures: Mapping[str, Any], found: Mapping[str, float]) -> tuple[bool, str]:
        delay_s, late_s = self.parameters["delay_s"], figures["late_s"]
        if late_s > max(LATE_S, LATE_SHARE * delay_s):
            return False, f"packets were delayed by {_ms(delay_s + late_s)} on average"
        longer = {}
        for peer in self.peers:
            if (address := peer["address"]) in found and address in self.reachable:
                longer[address] = found[address] - self.shaper.baseline[address]
                if found[address] < 0.9 * self._added(peer) or longer[address] < 0.5 * self._added(peer):
                    return False, f"the round trip to {address} takes only {_ms(found[address])}"
        if not longer:
            return False, "no probe was answered"
        return True, f"round trips to {_count(longer, 'host')} longer by {_range(longer.values())}"

    def _prove_jitter(self, figures: Mapping[str, Any], found: Mapping[str, float]) -> tuple[bool, str]:
        jitter_s, late_s = self.parameters["jitter_s"], figures["late_s"]
        if late_s > max(LATE_S, jitter_s):
            return False, f"packets left {_ms(late_s)} late on average"
        spread = {
            address: max(all_) - min(all_) for address, all_ in self.measured.items() if address in self.reachable
        }
        count = min(map(len, self.measured.values()), default=0)
        ok = count >= ENOUGH_ROUND_TRIPS and min(spread.values()) >= jitter_s / 2
        return ok, f"{count} round trips to {_count(spread, 'host')} differ by {_range(spread.values())}"

    def _prove_rate(self, figures: Mapping[str, Any], found: Mapping[str, float]) -> tuple[bool, str]:
        limit, busy_s = self.parameters["rate_bps"], figures["busy_s"]
        rate = figures["busy_bytes"] * 8 / busy_s if busy_s else 0.0
        bursts = any(peer["out"] for peer in self.peers)
        ok = rate <= MOST_RATE * limit or busy_s < ENOUGH_BUSY_S
        dropped = sum(each[3] for each in figures["links"])
        text = f"{rate / 1e6:.3g} Mbit/s in {busy_s:.2f} s of full links, {dropped} packets dropped"
        return ok and (busy_s > 0 or not bursts), text

    def _prove_flap(self, figures: Mapping[str, Any], found: Mapping[str, float]) -> tuple[bool, str]:
        cut, passed = figures["cut"], figures["open"]
        dropped = sum(each[3] for each in figures["links"])
        times = f"down {_count(range(cut), 'time')} and up {_count(range(passed), 'time')}"
        return cut > 0 and passed > 0, f"went {times}, {dropped} packets dropped"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


def _count(found: Collection[object], noun: str) -> str:
    return f"{len(found)} {noun}{'' if len(found) == 1 else 's'}"


def _range(values: Iterable[float]) -> str:
    texts = [f"{value * 1e3:.1f}" for value in sorted(values)]
    return f"{' to '.join(dict.fromkeys((texts[0], texts[-1])))} ms" if texts else "unknown"

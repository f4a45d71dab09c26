"""What happens to packets that are held: delays, jitter, a limited rate, links that flap."""

from __future__ import annotations

import heapq
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .packet_queue import Packet

QUEUE_S = 0.1
"""Buffer before a limited rate, in seconds of the rate."""
QUEUE_BYTES = 65536
"""The least such buffer: one TCP segment of the largest size must fit."""


class Impairment(ABC):
    """The effect of one fault; times are of the monotonic clock, in s."""

    order = 0
    """Of the impairments of a packet, that with the lowest comes first."""

    @abstractmethod
    def leaves(self, now: float, inbound: bool, address: bytes, size: int) -> float | None:
        """Return when a packet that comes at `now` leaves; None if it is dropped."""

    def released(self, now: float, inbound: bool, size: int) -> None:  # noqa: B027
        """Note that a packet left."""

    def figures(self) -> dict[str, Any]:
        """Return what was observed beside the counts of packets."""
        return {}


class Flap(Impairment):
    """A link that is down for a share of every period, at its beginning."""

    def __init__(self, begins: float, period_s: float, down: float) -> None:
        self.begins, self.period_s, self.down = begins, period_s, down
        self.cut: set[int] = set()
        self.open: set[int] = set()

    def leaves(self, now: float, inbound: bool, address: bytes, size: int) -> float | None:
        number, position = divmod(now - self.begins, self.period_s)
        if position < self.down * self.period_s:
            self.cut.add(int(number))
            return None
        self.open.add(int(number))
        return now

    def figures(self) -> dict[str, Any]:
        return {"cut": len(self.cut), "open": len(self.open)}


class Rate(Impairment):
    """Packets of each direction leave one after another, at `rate_bps` bits per second."""

    order = 3  # last, as what is measured is when packets leave

    def __init__(self, rate_bps: float) -> None:
        self.bytes_per_s = rate_bps / 8
        self._longest = max(QUEUE_S, QUEUE_BYTES / self.bytes_per_s)
        self._free = {True: 0.0, False: 0.0}
        self._waited: dict[bool, deque[bool]] = {True: deque(), False: deque()}
        self._left = {True: 0.0, False: 0.0}
        self.busy_bytes, self.busy_s = 0, 0.0

    def leaves(self, now: float, inbound: bool, address: bytes, size: int) -> float | None:
        start = max(self._free[inbound], now)
        if start - now > self._longest:
            return None
        self._free[inbound] = start + size / self.bytes_per_s
        self._waited[inbound].append(start > now)
        return self._free[inbound]

    def released(self, now: float, inbound: bool, size: int) -> None:
        if self._waited[inbound].popleft():  # it left right after another one
            self.busy_bytes += size
            self.busy_s += now - self._left[inbound]
        self._left[inbound] = now

    def figures(self) -> dict[str, Any]:
        return {"busy_bytes": self.busy_bytes, "busy_s": self.busy_s}


class Jitter(Impairment):
    """Each link delays packets by a random time between 0 and `jitter_s`, which changes as often."""

    order = 1

    def __init__(self, jitter_s: float) -> None:
        self.jitter_s = jitter_s
        self._drawn: dict[tuple[bool, bytes], tuple[float, float]] = {}
        self.draws = 0

    def leaves(self, now: float, inbound: bool, address: bytes, size: int) -> float | None:
        value, until = self._drawn.get((inbound, address), (0.0, 0.0))
        if now >= until:
            value = random.uniform(0, self.jitter_s)
            self._drawn[inbound, address] = value, now + self.jitter_s
            self.draws += 1
        return now + value

    def figures(self) -> dict[str, Any]:
        return {"draws": self.draws}


class Delay(Impairment):
    """Every packet leaves `delay_s` later."""

    order = 2

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s

    def leaves(self, now: float, inbound: bool, address: bytes, size: int) -> float | None:
        return now + self.delay_s


IMPAIRMENTS: Mapping[str, type[Impairment]] = {"delay": Delay, "jitter": Jitter, "rate": Rate, "flap": Flap}


class Held:
    """Packets that wait for the impairments of their link, in the order in which they leave."""

    def __init__(self) -> None:
        self.faults: dict[str, tuple[Impairment, dict[tuple[bool, bytes], list[int]]]] = {}
        """Impairment of each fault, and for each of its links how many packets came and were dropped."""
        self._waiting: list[tuple[float, int, Packet, Sequence[tuple[Impairment, list[int]]]]] = []
        self._last: dict[tuple[bool, bytes], float] = {}
        self._route()
        self._came = 0
        self.released = 0
        self.late_s = 0.0

    def impair(self, name: str, impairment: Impairment, links: Iterable[tuple[bool, bytes]]) -> None:
        """Begin a fault of the links."""
        self.faults[name] = impairment, {link: [0, 0] for link in links}
        self._route()

    def mend(self, name: str) -> None:
        """End a fault, if it is in force; packets that are held leave as planned."""
        self.faults.pop(name, None)
        self._route()

    def _route(self) -> None:
        self._routes: dict[tuple[bool, bytes], list[tuple[Impairment, list[int]]]] = {}
        for impairment, counts in sorted(self.faults.values(), key=lambda fault: fault[0].order):
            for link, count in counts.items():
                self._routes.setdefault(link, []).append((impairment, count))

    def add(self, packet: Packet, now: float) -> bool:
        """Keep a packet that came at `now`; False if it is dropped."""
        link = packet.inbound, packet.address
        leaves = now
        route = self._routes.get(link, ())
        for impairment, count in route:
            count[0] += 1
            later = impairment.leaves(leaves, packet.inbound, packet.address, packet.size)
            if later is None:
                count[1] += 1
                return False
            leaves = later
        due = self._last[link] = max(leaves, self._last.get(link, 0.0))  # in order, as most networks do
        self._came += 1
        heapq.heappush(self._waiting, (due, self._came, packet, route))
        return True

    def due(self, now: float) -> Iterator[Packet]:
        """Yield the packets that leave."""
        while self._waiting and self._waiting[0][0] <= now:
            due, _, packet, route = heapq.heappop(self._waiting)
            for impairment, _ in route:
                impairment.released(now, packet.inbound, packet.size)
            self.released += 1
            self.late_s += now - due
            yield packet

    def next_due(self) -> float | None:
        """Return when the next packet leaves; None if none waits."""
        return self._waiting[0][0] if self._waiting else None

    def figures(self, name: str) -> dict[str, Any]:
        """Return what was observed of a fault: packets of each link, and how late packets left on average."""
        impairment, counts = self.faults[name]
        links = [[inbound, address.hex(), *count] for (inbound, address), count in counts.items()]
        late_s = self.late_s / self.released if self.released else 0.0
        return {"links": links, "late_s": late_s, "waiting": len(self._waiting), **impairment.figures()}

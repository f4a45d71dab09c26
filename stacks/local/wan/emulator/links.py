"""Delay lines between regions, and the hosts attached to them."""

from __future__ import annotations

import random
import socket
from collections import deque
from typing import TypedDict

JITTER_HOLD = 4.0
"""A link draws new jitter after this many standard deviations. Drawn for every packet, jitter that keeps packets in
order would turn into the running maximum of the draws."""


class Links(TypedDict):
    """Content of links.json; `stacks.local.wan.round_trips.Links` writes it and documents the fields."""

    rtt_ms: dict[str, float]
    loss: float
    jitter_ms: float
    bandwidth_mbps: float | None
    internet: bool


class Line:
    """A queue of packets with equal delay, first in, first out: (due, file descriptor to write to, packet)."""

    __slots__ = ("delay", "jitter", "jitter_until", "last", "loss", "queue", "serial", "shift")

    def __init__(self, serial: int, delay: float, jitter: float = 0.0, loss: float = 0.0) -> None:
        self.serial = serial
        self.delay, self.jitter, self.loss = delay, jitter, loss
        self.queue: deque[tuple[float, int, bytes]] = deque()
        self.shift = self.jitter_until = self.last = 0.0

    def due(self, sent: float) -> float:
        """Return when a packet sent at `sent` arrives: after delay and jitter, never before its predecessor."""
        if self.jitter and sent >= self.jitter_until:
            self.shift = max(random.gauss(0.0, self.jitter), -self.delay)
            self.jitter_until = sent + JITTER_HOLD * self.jitter
        self.last = max(self.last, sent + self.delay + self.shift)
        return self.last


class Port:
    """An attached host; the operator is the port without a region."""

    def __init__(self, name: str, region: str | None, address: str, fd: int) -> None:
        self.name, self.region, self.text, self.fd = name, region, address, fd
        self.address = socket.inet_aton(address)
        self.routes: dict[bytes, tuple[Line, int]] = {}
        """Destination address to delay line and the file descriptor of the receiver."""
        self.free_at = 0.0
        """When the uplink will have sent everything handed to it."""
        self.behind = 0.0
        """Since when each read has left packets waiting; 0 if the last read took them all."""

"""Delay lines between regions, and the hosts attached to them."""

from __future__ import annotations

import socket
from collections import deque
from typing import TypedDict

from .impairments import Jitter, Loss, Pacer, Trace

FORMAT = 2
"""Version of links.json."""


class _Impairments(TypedDict, total=False):
    jitter_ms: float
    distribution: str
    reorder: bool
    loss: float
    mean_burst: float
    rate_mbps: float


class Direction(_Impairments):
    """Packets from one region to another; `stacks.local.wan.links.Direction` documents the fields."""

    delay_ms: float


class Links(TypedDict):
    """Content of links.json; `stacks.local.wan.links.Links` writes it and documents the fields."""

    directions: dict[str, Direction]
    bandwidth_mbps: float | None
    internet: bool
    trace: dict[str, str] | None


class Line:
    """A queue of packets in the order of their delivery: (due, file descriptor to write to, packet)."""

    __slots__ = ("changes", "delay", "jitter", "last", "loss", "pacer", "queue", "serial", "trace")

    def __init__(
        self,
        serial: int,
        delay: float,
        jitter: Jitter | None = None,
        loss: Loss | None = None,
        pacer: Pacer | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.serial, self.delay = serial, delay
        self.jitter, self.loss, self.pacer, self.trace = jitter, loss, pacer, trace
        self.queue: deque[tuple[float, int, bytes]] = deque()
        self.last = self.changes = 0.0

    def due(self, sent: float) -> float:
        """Return when a packet sent at `sent` arrives: not before its predecessor, unless jitter may reorder them."""
        if self.trace and sent >= self.changes:
            self.delay, self.changes = self.trace.at(sent)
        jitter = self.jitter
        if jitter is None:
            due = sent + self.delay
        elif jitter.reorder:
            return sent + max(self.delay + jitter.draw(), 0.0)
        else:
            due = sent + max(self.delay + jitter.held(sent), 0.0)
        self.last = due = max(self.last, due)
        return due


class Port:
    """An attached host; the operator is the port without a region."""

    def __init__(self, name: str, region: str | None, address: str, fd: int, key: int = 0) -> None:
        self.name, self.region, self.text, self.fd, self.key = name, region, address, fd, key
        self.address = socket.inet_aton(address)
        self.routes: dict[bytes, tuple[Line, int]] = {}
        """Destination address to delay line and the file descriptor of the receiver."""
        self.uplink: Pacer | None = None
        self.impaired = False
        """Whether packets of this host need more than a fixed delay."""
        self.behind = 0.0
        """Since when each read has left packets waiting; 0 if the last read took them all."""

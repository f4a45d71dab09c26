"""Measure whether other hosts answer, and how long that takes."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any

PROBE_S = 1.0


def open_socket(address: str, kind: socket.SocketKind) -> socket.socket:
    """Return a socket for an address of either family that never waits."""
    found = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    found.setblocking(False)
    return found


def round_trips(peers: Iterable[Mapping[str, Any]], each: int = 1, patience: float = PROBE_S) -> dict[str, float]:
    """Return the shortest round trip to each peer that answers, in s, by its address.

    Each peer gets `each` TCP connections to its port at once, which it may reject; `patience` is in s.
    """
    waiting: dict[socket.socket, tuple[str, float]] = {}
    found: dict[str, float] = {}

    def note(address: str, began: float, code: int) -> None:
        if code in (0, errno.ECONNREFUSED):
            found[address] = min(time.monotonic() - began, found.get(address, patience))

    addresses = set()
    for peer in peers:
        addresses.add(peer["address"])
        for _ in range(each):
            probe = open_socket(peer["address"], socket.SOCK_STREAM)
            began = time.monotonic()
            code = probe.connect_ex((peer["address"], peer["port"]))
            if code == errno.EINPROGRESS:
                waiting[probe] = peer["address"], began
            else:
                note(peer["address"], began, code)
                probe.close()
    started = time.monotonic()
    end = started + patience
    while waiting and (left := end - time.monotonic()) > 0:
        for probe in select.select([], list(waiting), [], left)[1]:
            note(*waiting.pop(probe), probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            probe.close()
        if len(found) == len(addresses):  # other answers that are lost would take long
            end = min(end, time.monotonic() + 0.2 * (time.monotonic() - started) + 0.01)
    for probe in waiting:
        probe.close()
    return found


def send_datagrams(addresses: Iterable[str], count: int, size: int = 0) -> None:
    """Send UDP datagrams that their receivers discard."""
    for address in addresses:
        with open_socket(address, socket.SOCK_DGRAM) as probe:
            for _ in range(count):
                with contextlib.suppress(OSError):
                    probe.sendto(bytes(size), (address, 9))

"""Exchange messages between the generator and the processes that send its requests."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from marshal import dumps, loads

from .hdr import Interval
from .metrics import Samples

_MOST_BYTES = 1 << 19
"""Longest message: more than a socket's buffer takes."""
_MOST_BUCKETS = 10_000
"""Histograms with more are sent in several messages: with twice as many, one might not fit into a socket's buffer."""

Message = tuple[str, float, Samples, Interval]
"""A kind and what belongs to it; the rest is 0 or empty."""


class Channel:
    """One end of a connection for messages."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._unsent: deque[bytes] = deque()

    def fileno(self) -> int:
        """Return the file descriptor, for an event loop."""
        return self._socket.fileno()

    def send(
        self, kind: str, number: float = 0, samples: Samples | None = None, interval: Interval | None = None
    ) -> None:
        """Send a message, or keep it for the next call if the other end has no room for it; OSError if that ended."""
        self._unsent.append(dumps((kind, number, samples or {}, interval or {})))
        while self._unsent:
            try:
                self._socket.send(self._unsent[0])
            except BlockingIOError:
                return
            self._unsent.popleft()

    def send_interval(self, number: int, interval: Interval) -> None:
        """Send the histograms of an interval, those of each tag on their own if there are many buckets."""
        many = sum(map(len, interval.values())) > _MOST_BUCKETS
        for part in [{tag: counts} for tag, counts in interval.items()] if many else [interval]:
            self.send("interval", number, interval=part)

    def wait(self) -> None:
        """From now on, wait in `send` until everything is sent."""
        self._socket.setblocking(True)

    def receive(self) -> Iterator[Message]:
        """Yield the messages that have arrived; EOFError if the other end has ended."""
        while True:
            try:
                data = self._socket.recv(_MOST_BYTES)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            if not data:
                raise EOFError
            yield loads(data)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

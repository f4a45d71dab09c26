"""Serve the metrics to Prometheus."""

from __future__ import annotations

import socket
from collections.abc import Callable

from .loop import READ, WRITE, Loop, Stream

_MOST_BYTES = 65536
"""Longest request."""


class Scrape(Stream):
    """A connection on which Prometheus reads the metrics."""

    __slots__ = ("_ask", "_buffer", "_last")

    def __init__(self, loop: Loop, sock: socket.socket, ask: Callable[[Scrape], None]) -> None:
        """Call `ask` with this connection for each request; it calls `answer`, at once or later."""
        sock.setblocking(False)
        super().__init__(loop, sock, READ)
        self._ask = ask
        self._buffer = b""
        self._last = False

    def on_event(self, events: int) -> None:
        """Read a request; the connection stays open until the client closes it, unless it speaks HTTP/1.0."""
        try:
            if self._unsent and events & WRITE:
                self.write(self._unsent)
                self._close_if_last()
            data = self.read() if events & ~WRITE else None
            if data is None:
                return
            self._buffer += data
            if not data or len(self._buffer) > _MOST_BYTES:
                self.close()
            elif b"\r\n\r\n" in self._buffer:
                words, self._buffer = self._buffer.split(b"\r\n", 1)[0].split(b" "), b""
                self._last = words[2:] == [b"HTTP/1.0"]
                if words[:2] == [b"GET", b"/metrics"]:
                    self._ask(self)
                else:
                    self._respond(b"404 Not Found", b"", b"metrics are at GET /metrics\n")
        except OSError:
            self.close()

    def answer(self, body: bytes) -> None:
        """Send the metrics."""
        try:
            self._respond(b"200 OK", b"; version=0.0.4", body)
        except OSError:
            self.close()

    def _respond(self, status: bytes, version: bytes, body: bytes) -> None:
        self.write(
            self._unsent
            + b"HTTP/1.1 %b\r\nContent-Type: text/plain%b; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"
            % (status, version, len(body), body)
        )
        self._close_if_last()

    def _close_if_last(self) -> None:
        if self._last and not self._unsent:
            self.close()

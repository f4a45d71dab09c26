"""Send requests over HTTP/1.1 connections."""

from __future__ import annotations

import re
import socket
from collections import deque
from math import inf
from time import monotonic

from .config import Workload
from .fields import ConfigError
from .loop import READ, WRITE, Loop, Stream
from .metrics import Metrics

MAX_HEAD = 65536
MAX_BODY = 1 << 20
"""Bytes of a response that `expect` searches."""


_HEADS: dict[bytes, tuple[int, bool, float, bool]] = {}
"""Heads that were read, because most responses within a second have the same: status, keep-alive, length, chunked."""


class ProtocolError(Exception):
    """The server sent something other than an HTTP/1.1 response."""


class Response:
    """Parser of one HTTP/1.1 response whose bytes arrive in pieces (RFC 9112, sections 6 and 7)."""

    __slots__ = ("_buffer", "_chunked", "_keeps_body", "_left", "_trailer", "body", "keep_alive", "status")

    def __init__(self, *, keeps_body: bool = False) -> None:
        self.reset(keeps_body=keeps_body)

    def reset(self, *, keeps_body: bool = False) -> None:
        """Prepare for the next response."""
        self._keeps_body = keeps_body
        self.status = 0
        self.keep_alive = True
        self.body = b""
        self._buffer = b""
        self._left = 0.0
        self._chunked = self._trailer = False

    def feed(self, data: bytes) -> bool:
        """Read the next bytes; return whether the response is complete. ProtocolError if it is not HTTP."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        while not self.status:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return self._wait(data)
            self._read_head(data[:end])
            data = data[end + 4 :]
        if self._chunked:
            return self._read_chunks(data)
        self._keep(data)
        self._left -= len(data)
        if self._left < 0:
            raise ProtocolError("more bytes than Content-Length announced")
        return not self._left

    def closed(self) -> bool:
        """Return whether the response is complete now that the connection has ended."""
        return self.status > 0 and self._left == inf

    def _wait(self, data: bytes) -> bool:
        if len(data) > MAX_HEAD:
            raise ProtocolError(f"no end of line in {len(data)} bytes")
        self._buffer = data
        return False

    def _keep(self, data: bytes) -> None:
        if self._keeps_body:
            self.body = (self.body + data)[:MAX_BODY]

    def _read_head(self, head: bytes) -> None:
        """Read a status line and header fields; skip an interim response, such as 103 (RFC 9110, section 15.2)."""
        known = _HEADS.get(head)
        if known:
            self.status, self.keep_alive, self._left, self._chunked = known
            return
        status = head[9:12]
        if not head.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) or not status.isdigit() or not b"100" <= status < b"600":
            raise ProtocolError(f"found {head[:40]!r}, expected an HTTP/1.1 response")
        if status == b"101":
            raise ProtocolError("found 101 Switching Protocols, which was not requested")
        if status < b"200":
            return
        self.status = int(status)
        fields = head.lower() + b"\r\n"
        connection = _field(fields, b"connection")
        self.keep_alive = b"keep-alive" in connection if fields[7:8] == b"0" else b"close" not in connection
        length = _field(fields, b"content-length")
        if self.status in (204, 304):
            self._left = 0
        elif b"chunked" in _field(fields, b"transfer-encoding"):
            self._chunked = True
        elif length.isdigit():
            self._left = int(length)
        elif length:
            raise ProtocolError(f"found Content-Length {length!r}, expected digits")
        else:
            self._left, self.keep_alive = inf, False
        if len(head) <= 2048:
            if len(_HEADS) >= 1024:
                _HEADS.clear()
            _HEADS[head] = self.status, self.keep_alive, self._left, self._chunked

    def _read_chunks(self, data: bytes) -> bool:
        at = 0
        while True:
            if self._left:  # within a chunk or the line break after it
                step = min(int(self._left), len(data) - at)
                self._keep(data[at : at + min(step, max(0, int(self._left) - 2))])
                at, self._left = at + step, self._left - step
                if self._left:
                    return False
            end = data.find(b"\r\n", at)
            if end < 0:
                return self._wait(data[at:])
            line, at = data[at:end], end + 2
            if self._trailer:
                if not line and at < len(data):
                    raise ProtocolError("bytes after the last chunk")
                if not line:
                    return True
                continue
            size = line.partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
                raise ProtocolError(f"found {line[:40]!r}, expected a chunk's size")
            self._trailer = int(size, 16) == 0
            self._left = 0 if self._trailer else int(size, 16) + 2


def _field(fields: bytes, name: bytes) -> bytes:
    """Return the value of a header field, b"" if it is missing; `fields` is lower case and ends in a line break."""
    at = fields.find(b"\r\n" + name + b":")
    return b"" if at < 0 else fields[at + len(name) + 3 : fields.index(b"\r\n", at + 2)].strip()


class Connection(Stream):
    """A connection to a target, either idle (`sequence` is -1) or with one request in flight."""

    __slots__ = ("_due", "_response", "_target", "_workload", "sequence")

    def __init__(self, loop: Loop, target: Target) -> None:
        sock = socket.socket(target.address[0], socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect_ex(target.address[1])  # an error is reported again when the request is written
        except OSError:
            sock.close()
            raise
        super().__init__(loop, sock, READ)
        self._target = target
        self._response = Response()
        self._workload: Workload | None = None
        self._due = 0.0
        self.sequence = -1

    def request(self, due: float, sequence: int, workload: Workload, data: bytes) -> None:
        """Send a request, once the connection is established."""
        self._due, self.sequence, self._workload = due, sequence, workload
        self._response.reset(keeps_body=workload.expect is not None)
        try:
            self.write(data)
        except OSError:
            self.fail("connection")

    def fail(self, error_type: str) -> None:
        """Close the connection and count its request, if any, as failed."""
        self.close()
        if self._workload:
            self._target.metrics.failed(self._workload.name, error_type, self._due, monotonic())
            self._target.metrics.inflight -= 1
        self.sequence, self._workload = -1, None
        self._target.lost(self)

    def give_up(self) -> None:
        """Record the request in flight as unanswered."""
        if self._workload:
            self._target.metrics.unanswered(self._workload.name, self._due, monotonic())

    def on_event(self, events: int) -> None:
        """Send the rest of the request and read the available part of its response."""
        if self._unsent and events & ~READ:
            try:
                self.write(self._unsent)
            except OSError:
                self.fail("connection")
                return
        if not events & ~WRITE:
            return
        data = self.read()
        if data is None:
            return
        try:
            complete = self._response.feed(data) if data else self._response.closed()
        except ProtocolError:
            self.fail("protocol")
            return
        if not complete and not data:
            self.fail("protocol" if self._response.status else "connection")
        elif not self._workload:
            self.fail("protocol")
        elif complete:
            self._finish(self._workload)

    def _finish(self, workload: Workload) -> None:
        now, due = monotonic(), self._due
        metrics, response = self._target.metrics, self._response
        metrics.inflight -= 1
        if response.status >= 300:
            metrics.failed(workload.name, f"http_{response.status // 100}xx", due, now)
        elif workload.expect and not workload.expect.met_by(response.body):
            metrics.failed(workload.name, "unexpected", due, now)
        else:
            metrics.succeeded(workload.name, due, now)
        self.sequence, self._workload = -1, None
        if response.keep_alive and not self._unsent:
            self._target.idle(self)
        else:
            self.fail("connection")


Address = tuple[int, tuple[object, ...]]
"""Address family and socket address."""


def resolve(host: str, port: int) -> Address:
    """Return the address of a server; ConfigError if it has none."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"requests.url: host {host!r} has no address: {error.strerror}") from None
    return found[0], found[4]


class Target:
    """A server with its idle connections and, in due order, the requests that wait for one."""

    def __init__(
        self, loop: Loop, metrics: Metrics, address: Address, *, timeout_s: float, max_connections: int
    ) -> None:
        self.metrics, self.address = metrics, address
        self._loop, self._timeout_s, self._max_connections = loop, timeout_s, max_connections
        self._open = 0
        self._idle: list[Connection] = []
        self._waiting: deque[tuple[float, int, Workload, bytes]] = deque()
        self._deadlines: deque[tuple[float, int, Connection]] = deque()
        metrics.oldest_due.append(self.oldest_due)

    def submit(self, due: float, sequence: int, workload: Workload, head: bytes) -> None:
        """Send a request that begins with `head`, or queue it while all connections are in use."""
        if self._idle or self._open < self._max_connections:
            self._send(due, sequence, workload, head)
        else:
            self._waiting.append((due, sequence, workload, head))

    def idle(self, connection: Connection) -> None:
        """Take back a connection whose response is complete."""
        self._idle.append(connection)
        if self._waiting:
            self._send_waiting()

    def lost(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        self._send_waiting()

    def stop(self) -> None:
        """Drop the requests that wait for a connection."""
        now = monotonic()
        for due, _, workload, _ in self._waiting:
            self.metrics.unanswered(workload.name, due, now)
        self._waiting.clear()

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle[-1].fail("connection")

    def give_up(self) -> None:
        """Record the requests in flight as unanswered."""
        for _, sequence, connection in self._deadlines:
            if connection.sequence == sequence:
                connection.give_up()

    def expire(self, now: float) -> float:
        """Fail each request that is not complete `timeout_s` after it was due; return when the next one times out."""
        while self._waiting and self._waiting[0][0] + self._timeout_s <= now:
            due, _, workload, _ = self._waiting.popleft()
            self.metrics.failed(workload.name, "timeout", due, now)
        deadlines = self._deadlines
        while deadlines:
            deadline, sequence, connection = deadlines[0]
            if connection.sequence == sequence:
                if deadline > now:
                    return deadline
                connection.fail("timeout")
            deadlines.popleft()
        return inf

    def oldest_due(self) -> float:
        """Return when the oldest request without an outcome was due; inf if there is none."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].sequence != deadlines[0][1]:
            deadlines.popleft()
        sent = deadlines[0][0] - self._timeout_s if deadlines else inf
        return min(sent, self._waiting[0][0] if self._waiting else inf)

    def _send_waiting(self) -> None:
        while self._waiting and (self._idle or self._open < self._max_connections):
            self._send(*self._waiting.popleft())

    def _send(self, due: float, sequence: int, workload: Workload, head: bytes) -> None:
        body = workload.body.render(sequence)
        metrics = self.metrics
        metrics.sent(due, monotonic())
        if self._idle:
            connection = self._idle.pop()
        else:
            try:
                connection = Connection(self._loop, self)
            except OSError:
                metrics.failed(workload.name, "connection", due, monotonic())
                return
            self._open += 1
        metrics.inflight += 1
        self._deadlines.append((due + self._timeout_s, sequence, connection))
        connection.request(due, sequence, workload, b"%b%d\r\n\r\n%b" % (head, len(body), body))

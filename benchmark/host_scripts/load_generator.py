"""Offer HTTP requests at the times they are due and export what happens to them as Prometheus metrics.

    python3 load_generator.py --config FILE

The loop is open: request n is due at a time that only the schedule knows, it is sent then whatever earlier responses
do, and its latency counts from the time it was due, so waiting for a connection is part of it. Only the standard
library is needed (Python >= 3.10), and little of that is imported, because many of these start at once on few cores.

Sending starts at a line `go` or `go UNIX_TIME` on standard input and ends at SIGTERM. The class Config tells
the fields of the configuration. Exit codes: 0 ended as asked, 1 the metrics port is taken, 2 bad configuration.
"""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import select
import signal
import socket
import sys
from binascii import b2a_base64
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import accumulate, pairwise
from math import inf, isfinite, sqrt
from random import Random
from time import monotonic, process_time, time

_R10 = ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")
BOUNDS = (*(float(f"{digits}e{decade}") for decade in range(-4, 2) for digits in _R10), 100.0)
"""Upper bounds of the histograms' buckets in s: ten per decade, the R10 series of ISO 3."""
ERROR_TYPES = ("connection", "timeout", "protocol", "http_3xx", "http_4xx", "http_5xx")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
GRACE_S = 0.5
"""How long requests in flight may still complete after SIGTERM."""
MAX_HEAD = 65536
READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class ConfigError(Exception):
    """The configuration is wrong: field, what was found, what is accepted."""


class ProtocolError(Exception):
    """The server sent something that is no HTTP/1.1 response."""


class Fields:
    """A JSON object, taken field by field; ConfigError names what is missing, wrong or unknown."""

    def __init__(self, document: object, where: str) -> None:
        if not isinstance(document, dict):
            raise ConfigError(f"{where or 'document'}: found {document!r:.60}, expected an object")
        self._rest = dict(document)
        self._prefix = f"{where}." if where else ""

    def take(self, name: str, kinds: tuple[type, ...], expected: str, default: object = None) -> object:
        """Return the field's value, which must be of one of `kinds`; a default of None makes it required."""
        value = self._rest.pop(name, default)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ConfigError(f"{self._prefix}{name}: found {value!r:.60}, expected {expected}")
        return value

    def text(self, name: str, pattern: str, expected: str, default: str | None = None) -> str:
        """Return a text that matches `pattern` in full."""
        value = str(self.take(name, (str,), expected, default))
        if not re.fullmatch(pattern, value, re.DOTALL):
            raise ConfigError(f"{self._prefix}{name}: found {value!r:.60}, expected {expected}")
        return value

    def number(self, name: str, default: float | None, least: float = 0.0) -> float:
        """Return a finite number of at least `least`."""
        expected = f"a number >= {least:g}"
        value = float(str(self.take(name, (int, float), expected, default)))
        if not least <= value < inf:
            raise ConfigError(f"{self._prefix}{name}: found {value!r}, expected {expected}")
        return value

    def has(self, name: str) -> bool:
        """Tell whether the field is there and was not taken yet."""
        return name in self._rest

    def end(self) -> None:
        """Raise ConfigError if a field is left that nobody knows."""
        if self._rest:
            raise ConfigError(f"unknown field {self._prefix}{next(iter(self._rest))}")


class Schedule:
    """When requests are due: a rate over time in pieces, each constant or linear.

    A piece is (start in s, rate there in 1/s, rate at its end); the first starts at 0, the last goes on for ever. The
    load until t is the integral of the rate, and request n is due when it reaches n + phase. The phase is what the
    constant rate of the first piece with any load delivers in `offset_s`; it stays for all pieces, so clients with
    equal profiles and offsets i / (sum of rates) stay interleaved. Nothing is added up per request: it cannot drift.
    """

    def __init__(self, pieces: list[tuple[float, float, float]], offset_s: float) -> None:
        self._starts = [start for start, _, _ in pieces]
        lengths = [end - start for start, end in pairwise([*self._starts, inf])]
        loads = [(low + high) / 2 * length for (_, low, high), length in zip(pieces[:-1], lengths, strict=False)]
        self._before = list(accumulate(loads, initial=0.0))
        self._rates = [(low, (high - low) / length) for (_, low, high), length in zip(pieces, lengths, strict=True)]
        self._phase = offset_s * next(((low + high) / 2 for _, low, high in pieces if low + high), 0.0)

    def due(self, n: int) -> float:
        """Return when request n, counted from 0, is due: seconds after the start; inf if never."""
        load = n + self._phase
        piece = bisect_right(self._before, load) - 1
        rate, slope = self._rates[piece]
        # The root of load = rate t + slope t^2 / 2 in the form that loses no digits and knows slope 0.
        load -= self._before[piece]
        speed = rate + sqrt(max(0.0, rate * rate + 2 * slope * load))
        return self._starts[piece] + 2 * load / speed if speed else (inf if not slope else self._starts[piece])


class Template:
    """The body of a request, with a fresh value for each of its placeholders.

    `{{sequence}}` counts this generator's requests from 0, `{{key:N}}` is one of N keys, `{{value:B}}` is B random
    bytes (letters and digits unless encoded); `:base64` after any of them encodes it.
    """

    _PLACEHOLDER = re.compile(r"(sequence|key|value)(?::([1-9]\d{0,8}))?(:base64)?")

    def __init__(self, text: str, seed: int) -> None:
        self._random = Random(seed)
        pieces = re.split(r"\{\{(.*?)\}\}", text)
        if any("{{" in literal for literal in pieces[::2]):
            raise ConfigError("requests.body: a placeholder {{ is not closed by }}")
        literals = [literal.encode().replace(b"%", b"%%") for literal in pieces[::2]]
        self._makers = [self._maker(name) for name in pieces[1::2]]
        self._format = b"%b".join(literals)

    def render(self, sequence: int) -> bytes:
        """Return the body of request `sequence`."""
        return self._format % tuple([make(sequence) for make in self._makers])

    def _maker(self, name: str) -> Callable[[int], bytes]:
        found = self._PLACEHOLDER.fullmatch(name)
        if not found or (found[1] == "sequence") != (found[2] is None):
            raise ConfigError(
                f"requests.body: found placeholder {{{{{name}}}}}, expected {{{{sequence}}}}, {{{{key:COUNT}}}} or "
                "{{value:BYTES}}, each optionally with :base64 at its end"
            )
        if found[1] == "value":
            return self._values(int(found[2]), bool(found[3]))
        if found[1] == "sequence":
            return _base64(b"%d".__mod__) if found[3] else b"%d".__mod__
        count, draw, digits = int(found[2]), self._random.random, b"key%%0%dd" % len(str(int(found[2]) - 1))
        return _base64(lambda _: digits % int(draw() * count)) if found[3] else lambda _: digits % int(draw() * count)

    def _values(self, size: int, base64: bool) -> Callable[[int], bytes]:
        """Draw from values made beforehand: 4 MB of them, but 16 to 1024."""
        raw = [self._random.randbytes(size) for _ in range(max(16, min(1024, (4 << 20) // size)))]
        letters = bytes(b"abcdefghijklmnopqrstuvwxyz012345"[i % 32] for i in range(256))
        pool = [b2a_base64(value, newline=False) if base64 else value.translate(letters) for value in raw]
        draw, count = self._random.random, len(pool)
        return lambda _: pool[int(draw() * count)]


def _base64(make: Callable[[int], bytes]) -> Callable[[int], bytes]:
    return lambda sequence: b2a_base64(make(sequence), newline=False)


class Config:
    """What a configuration file, a JSON object, asks for; ConfigError if it is wrong.

    rate              requests/s; or `profile`: pieces [start s, rate], or [start s, rate, rate at the end] for a ramp
    offset_s          phase of this client within the common schedule (0)
    requests          {url, method (POST), headers ({}), body: a Template ("")}
    targets           base URLs that take turns; `requests.url` is then a path
    workload          label of the latencies (default)
    timeout_s         a request not complete this long after it was due has failed (10)
    max_connections   for each target; while all are busy requests wait (1024)
    listen            ADDRESS:PORT of the metrics; port 0 takes any and prints it (0.0.0.0:18600)
    start             `go` waits for standard input, `now` does not (go)
    seed              of the random keys and values (1)
    """

    def __init__(self, document: object) -> None:
        fields = Fields(document, "")
        self.workload = fields.text("workload", r"[A-Za-z0-9_.-]+", "a word", "default")
        self.schedule = Schedule(_pieces(fields), fields.number("offset_s", 0.0))
        self.timeout_s = fields.number("timeout_s", 10.0, 0.001)
        self.max_connections = int(fields.number("max_connections", 1024, 1))
        listen = fields.text("listen", r"(\S+|\[\S+\]):\d{1,5}", "ADDRESS:PORT", "0.0.0.0:18600")
        self.listen = (listen.rpartition(":")[0].strip("[]"), int(listen.rpartition(":")[2]))
        self.start_now = fields.text("start", "now|go", "'now' or 'go'", "go") == "now"
        seed = int(fields.number("seed", 1))
        requests = Fields(fields.take("requests", (dict,), "an object"), "requests")
        method = requests.text("method", "|".join(METHODS), f"one of {', '.join(METHODS)}", "POST")
        headers = requests.take("headers", (dict,), "an object", {})
        self.template = Template(requests.text("body", ".*", "a text", ""), seed)
        self.targets = [
            (host, port, _head(method, host, port, path, headers)) for host, port, path in _addresses(fields, requests)
        ]
        requests.end()
        fields.end()


_PIECE = "[start s, rate] or [start s, rate, rate at the end]"


def _pieces(fields: Fields) -> list[tuple[float, float, float]]:
    """Read `rate`, or `profile`: a list of [start, rate] (constant) and [start, rate, rate at the end] (linear)."""
    if not fields.has("profile"):
        rate = fields.number("rate", None)
        return [(0.0, rate, rate)]
    if fields.has("rate"):
        raise ConfigError("rate: found beside profile, expected one of the two")
    profile = fields.take("profile", (list,), f"a list of {_PIECE}")
    pieces: list[tuple[float, float, float]] = []
    for item in profile if isinstance(profile, list) else []:
        numbers = [value for value in item if isinstance(value, int | float)] if isinstance(item, list) else []
        if len(numbers) not in (2, 3) or len(numbers) != len(item) or not all(0 <= value < inf for value in numbers):
            raise ConfigError(f"profile: found {item!r:.60}, expected {_PIECE}")
        pieces.append((float(numbers[0]), float(numbers[1]), float(numbers[-1])))
    starts = [start for start, _, _ in pieces]
    if not pieces or starts[0] != 0 or any(a >= b for a, b in pairwise(starts)) or len(set(pieces[-1][1:])) > 1:
        raise ConfigError("profile: expected starts that begin at 0 and grow, and a last piece of constant rate")
    return pieces


def _addresses(fields: Fields, requests: Fields) -> list[tuple[str, int, str]]:
    """Return host, port and path of every target: of `requests.url`, or of its path on each of `targets`."""
    url = requests.text("url", r"\S+", "a URL, or a path if there are targets")
    urls = [url]
    if fields.has("targets"):
        bases = fields.take("targets", (list,), "a list of URLs")
        urls = [f"{base}{url}" for base in bases] if isinstance(bases, list) else []
        if not urls or not url.startswith("/"):
            raise ConfigError(f"targets: found {bases!r:.60} and requests.url {url!r}, expected base URLs and a path")
    found = []
    for text in urls:
        match = re.fullmatch(r"http://(\[[0-9A-Fa-f:.]+\]|[^/:@\[\]]+)(?::(\d{1,5}))?(/\S*)?", text)
        if not match:
            raise ConfigError(f"requests.url: found {text!r}, expected http://HOST:PORT/PATH")
        found.append((match[1], int(match[2] or 80), match[3] or "/"))
    return found


def _head(method: str, host: str, port: int, path: str, headers: object) -> bytes:
    """Return a request's bytes up to the value of Content-Length."""
    lines = {"host": f"Host: {host}:{port}"}
    for name, value in headers.items() if isinstance(headers, dict) else []:
        if not (isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9-]+", name) and re.fullmatch(r"[ -~]*", value)):
            raise ConfigError(f"requests.headers: found {name!r:.60}: {value!r:.60}, expected a name and a text")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise ConfigError(f"requests.headers: {name} is set by the generator itself")
        lines[name.lower()] = f"{name}: {value}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines.values(), "Content-Length: "]).encode()


class Histogram:
    """Observations in s, counted in the buckets of BOUNDS."""

    def __init__(self, name: str, label: str = "") -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0
        comma, braces = (f"{label}," if label else ""), (f"{{{label}}}" if label else "")
        edges = [*map(repr, BOUNDS), "+Inf"]
        self._buckets = [f'{name}_bucket{{{comma}le="{edge}"}} ' for edge in edges]
        self._sum, self._count = f"{name}_sum{braces} ", f"{name}_count{braces} "

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(BOUNDS, value)] += 1
        self.sum += value

    def lines(self) -> Iterator[str]:
        """Yield the samples in the Prometheus text format."""
        total = 0
        for name, count in zip(self._buckets, self.counts, strict=True):
            total += count
            yield f"{name}{total}"
        yield f"{self._sum}{self.sum!r}"
        yield f"{self._count}{total}"


class Metrics:
    """All that is counted, and its exposition in the Prometheus text format 0.0.4."""

    def __init__(self, workload: str) -> None:
        self._label = f'workload="{workload}"'
        self.latency = Histogram("latency_s", self._label)
        self.lateness = Histogram("lateness_s")
        self.latency_squared = 0.0
        self.errors = dict.fromkeys(ERROR_TYPES, 0)
        self.due = self.submitted = self.inflight = 0
        self.start_time = 0.0
        self.started = self.stopped = inf

    def exposition(self) -> bytes:
        """Return the text of all metrics."""
        duration = max(0.0, min(monotonic(), self.stopped) - self.started)
        squared = f"{{{self._label}}} {self.latency_squared!r}"
        families = [
            ("latency_s", "histogram", "From due time to complete response, successes", self.latency.lines()),
            ("lateness_s", "histogram", "From due time to sending: the generator's own", self.lateness.lines()),
            ("latency_squared_s", "counter", "Sum of squared latencies, s^2", [squared]),
            ("errors", "counter", "Failed requests", [f'{{error_type="{k}"}} {n}' for k, n in self.errors.items()]),
            ("benchmark_duration", "counter", "Seconds since the start of sending", [f" {duration!r}"]),
            ("due", "counter", "Requests due so far by the schedule", [f" {self.due}"]),
            ("submitted", "counter", "Requests sent, or failed while connecting", [f" {self.submitted}"]),
            ("inflight", "gauge", "Requests submitted and not ended", [f" {self.inflight}"]),
            ("start_time_s", "gauge", "Unix time of the first due request", [f" {self.start_time!r}"]),
            ("process_cpu_seconds_total", "counter", "CPU time used by this process", [f" {process_time()!r}"]),
        ]
        lines = []
        for name, kind, text, samples in families:
            lines += [f"# HELP {name} {text}.", f"# TYPE {name} {kind}"]
            lines += samples if kind == "histogram" else [f"{name}{sample}" for sample in samples]
        return "\n".join([*lines, ""]).encode()


class Response:
    """The framing of one HTTP/1.1 response, read as its bytes arrive (RFC 9112, sections 6 and 7)."""

    __slots__ = ("_buffer", "_chunked", "_left", "_trailer", "keep_alive", "status")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Expect a new response."""
        self.status = 0
        self.keep_alive = True
        self._buffer = b""
        self._left = 0.0
        self._chunked = self._trailer = False

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; True when the response is complete. ProtocolError if it is none."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        if not self.status:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return self._wait(data)
            self._read_head(data[:end])
            data = data[end + 4 :]
        if self._chunked:
            return self._read_chunks(data)
        self._left -= len(data)
        if self._left < 0:
            raise ProtocolError("more bytes than Content-Length announced")
        return not self._left

    def closed(self) -> bool:
        """Tell whether the end of the connection is the end of the response."""
        return self.status > 0 and self._left == inf

    def _wait(self, data: bytes) -> bool:
        if len(data) > MAX_HEAD:
            raise ProtocolError(f"no end of line in {len(data)} bytes")
        self._buffer = data
        return False

    def _read_head(self, head: bytes) -> None:
        if not head.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) or not head[9:12].isdigit() or head[9:12] < b"200":
            raise ProtocolError(f"found {head[:40]!r}, expected a final HTTP/1.1 response")
        self.status = int(head[9:12])
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

    def _read_chunks(self, data: bytes) -> bool:
        at = 0
        while True:
            if self._left:  # within a chunk or the line break after it
                step = min(int(self._left), len(data) - at)
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
    """Return a header field's value; `fields` in lower case, each line ended; empty if it is not there."""
    at = fields.find(b"\r\n" + name + b":")
    return b"" if at < 0 else fields[at + len(name) + 3 : fields.index(b"\r\n", at + 2)].strip()


class Loop:
    """Which file descriptors are watched, and who handles their events."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}

    def watch(self, fd: int, handler: Callable[[int], None], events: int = READ) -> None:
        """Call `handler` with the events of `fd`."""
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, fd: int, events: int) -> None:
        """Watch `fd` for other events."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Watch `fd` no longer."""
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def run_once(self, wait: float) -> None:
        """Handle what happened, after waiting for it for at most `wait` seconds."""
        if wait > 0:
            # epoll waits in whole milliseconds, select in microseconds.
            select.select([self._epoll], [], [], min(wait, 3600.0))
        for fd, events in self._epoll.poll(0, 256):
            if fd in self._handlers:  # another handler may just have forgotten it
                self._handlers[fd](events)


class Stream:
    """A non-blocking TCP socket, and the bytes it could not take yet."""

    __slots__ = ("_fd", "_loop", "_socket", "_unsent")

    def __init__(self, loop: Loop, sock: socket.socket, events: int) -> None:
        self._loop, self._socket, self._fd = loop, sock, sock.fileno()
        self._unsent = b""
        loop.watch(self._fd, self.on_event, events)

    def on_event(self, events: int) -> None:
        """Handle that bytes, room for bytes, or an error arrived."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send bytes now, or as soon as the socket takes them; OSError if the connection is lost."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._loop.change(self._fd, READ | WRITE)
        elif self._unsent:
            self._loop.change(self._fd, READ)
        self._unsent = data[sent:]

    def read(self) -> bytes | None:
        """Return the bytes that arrived, none yet as None, the connection's end as no bytes."""
        try:
            return self._socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def close(self) -> None:
        """End the connection."""
        self._loop.forget(self._fd)
        self._socket.close()


class Connection(Stream):
    """A connection to a target, idle (`sequence` is -1) or with one request on it."""

    __slots__ = ("_due", "_response", "_target", "sequence")

    def __init__(self, loop: Loop, target: Target) -> None:
        sock = socket.socket(target.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect_ex(target.address)  # an error shows up again when the request is written
        except OSError:
            sock.close()
            raise
        super().__init__(loop, sock, READ)
        self._target = target
        self._response = Response()
        self._due = 0.0
        self.sequence = -1

    def request(self, due: float, sequence: int, data: bytes) -> None:
        """Send a request; while the connection is being made, as soon as it is."""
        self._due, self.sequence = due, sequence
        try:
            self.write(data)
        except OSError:
            self.fail("connection")

    def fail(self, error_type: str) -> None:
        """Count the request, if there is one, as failed, and end the connection."""
        self.close()
        if self.sequence >= 0:
            self._target.metrics.errors[error_type] += 1
            self._target.metrics.inflight -= 1
        self.sequence = -1
        self._target.lost(self)

    def on_event(self, events: int) -> None:
        """Send what is left of the request, and read what there is of its response."""
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
        elif self.sequence < 0:
            self.fail("protocol")
        elif complete:
            self._complete()

    def _complete(self) -> None:
        latency = monotonic() - self._due
        metrics, response = self._target.metrics, self._response
        metrics.inflight -= 1
        if response.status < 300:
            metrics.latency.observe(latency)
            metrics.latency_squared += latency * latency
        else:
            kind = f"http_{response.status // 100}xx"
            metrics.errors[kind] = metrics.errors.get(kind, 0) + 1
        self.sequence = -1
        if response.keep_alive and not self._unsent:
            response.reset()
            self._target.idle(self)
        else:
            self.fail("connection")


class Target:
    """A server: its idle connections, and in due order the requests that wait for one."""

    def __init__(self, loop: Loop, metrics: Metrics, config: Config, host: str, port: int, head: bytes) -> None:
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        except OSError as error:
            raise ConfigError(f"requests.url: host {host!r} has no address: {error.strerror}") from None
        self.family, self.address = found[0], found[4]
        self.metrics = metrics
        self._loop, self._config, self._head = loop, config, head
        self._open = 0
        self._idle: list[Connection] = []
        self._waiting: deque[tuple[float, int]] = deque()
        self._deadlines: deque[tuple[float, int, Connection]] = deque()

    def submit(self, due: float, sequence: int) -> None:
        """Send a request, or let it wait while every connection is busy."""
        if self._idle or self._open < self._config.max_connections:
            self._send(due, sequence)
        else:
            self._waiting.append((due, sequence))

    def idle(self, connection: Connection) -> None:
        """Take a connection whose response is complete."""
        self._idle.append(connection)
        self._send_waiting()

    def lost(self, connection: Connection) -> None:
        """Forget a connection that was closed."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        self._send_waiting()

    def stop(self) -> None:
        """Drop the requests that wait."""
        self._waiting.clear()

    def expire(self, now: float) -> float:
        """Fail every request that is not complete `timeout_s` after it was due; return the next such time."""
        while self._waiting and self._waiting[0][0] + self._config.timeout_s <= now:
            self._waiting.popleft()
            self.metrics.errors["timeout"] += 1
        deadlines = self._deadlines
        while deadlines:
            deadline, sequence, connection = deadlines[0]
            if connection.sequence == sequence:
                if deadline > now:
                    return deadline
                connection.fail("timeout")
            deadlines.popleft()
        return inf

    def _send_waiting(self) -> None:
        while self._waiting and (self._idle or self._open < self._config.max_connections):
            self._send(*self._waiting.popleft())

    def _send(self, due: float, sequence: int) -> None:
        body = self._config.template.render(sequence)
        metrics = self.metrics
        metrics.submitted += 1
        metrics.lateness.observe(max(0.0, monotonic() - due))
        if self._idle:
            connection = self._idle.pop()
        else:
            try:
                connection = Connection(self._loop, self)
            except OSError:
                metrics.errors["connection"] += 1
                return
            self._open += 1
        metrics.inflight += 1
        self._deadlines.append((due + self._config.timeout_s, sequence, connection))
        connection.request(due, sequence, b"%b%d\r\n\r\n%b" % (self._head, len(body), body))


class Scrape(Stream):
    """A client that reads the metrics."""

    __slots__ = ("_buffer", "_metrics")

    def __init__(self, loop: Loop, sock: socket.socket, metrics: Metrics) -> None:
        sock.setblocking(False)
        super().__init__(loop, sock, READ)
        self._metrics = metrics
        self._buffer = b""

    def on_event(self, events: int) -> None:
        """Answer a request; the connection stays until the client or an error ends it."""
        try:
            if self._unsent and events & WRITE:
                self.write(self._unsent)
            data = self.read() if events & ~WRITE else None
            if data is None:
                return
            self._buffer += data
            if not data or len(self._buffer) > MAX_HEAD:
                self.close()
            elif b"\r\n\r\n" in self._buffer:
                path, self._buffer = self._buffer.split(b"\r\n", 1)[0], b""
                self.write(self._unsent + self._answer(path.split(b" ")[:2]))
        except OSError:
            self.close()

    def _answer(self, request: list[bytes]) -> bytes:
        found = request == [b"GET", b"/metrics"]
        body = self._metrics.exposition() if found else b"metrics are at GET /metrics\n"
        status, version = (b"200 OK" if found else b"404 Not Found"), (b"; version=0.0.4" if found else b"")
        return b"HTTP/1.1 %b\r\nContent-Type: text/plain%b; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b" % (
            status,
            version,
            len(body),
            body,
        )


class Generator:
    """The life of the process: wait for `go`, send what is due, stop at SIGTERM."""

    def __init__(self, config: Config) -> None:
        self._config, self._loop, self._metrics = config, Loop(), Metrics(config.workload)
        self._targets = [Target(self._loop, self._metrics, config, *target) for target in config.targets]
        self._catch_signals()
        self._listener = self._listen()
        self._next_due = self._end = inf
        self._input = b""

    def run(self) -> None:
        """Serve metrics and load until told to stop; ConfigError if standard input says anything but go."""
        if self._config.start_now:
            self._go(time())
        else:
            self._watch_input()
        gc.disable()  # nothing below makes reference cycles, and a collection would make requests late
        while True:
            now = monotonic()
            self._submit(now)
            if now >= self._end or (self._end < inf and not self._metrics.inflight):
                return
            wake = min(self._next_due, self._end, *[target.expire(now) for target in self._targets])
            self._loop.run_once(wake - monotonic())

    def _submit(self, now: float) -> None:
        metrics, targets = self._metrics, self._targets
        while self._next_due <= now:
            sequence = metrics.due
            metrics.due += 1
            targets[sequence % len(targets)].submit(self._next_due, sequence)
            self._next_due = metrics.started + self._config.schedule.due(metrics.due)

    def _go(self, start: float) -> None:
        """Let the schedule begin at a Unix time, or now if that is over."""
        delay, first = max(0.0, start - time()), self._config.schedule.due(0)
        self._metrics.started = monotonic() + delay
        self._metrics.start_time = time() + delay + first if isfinite(first) else 0.0
        self._next_due = self._metrics.started + first

    def _stop(self, _: int) -> None:
        self._loop.forget(self._wakeup)
        if self._end == inf:
            now = monotonic()
            self._metrics.stopped, self._end, self._next_due = now, now + GRACE_S, inf
            for target in self._targets:
                target.stop()

    def _catch_signals(self) -> None:
        self._wakeup, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._loop.watch(self._wakeup, self._stop)

    def _watch_input(self) -> None:
        try:
            self._loop.watch(0, self._on_input)
        except PermissionError:  # a file: it can be read at once and not be watched
            while self._next_due == inf == self._end:
                self._on_input(READ)

    def _on_input(self, events: int) -> None:
        data = os.read(0, 4096)
        self._input += data
        line, newline, _ = self._input.partition(b"\n")
        if newline:
            found = re.fullmatch(rb"go(?:\s+(\d+(?:\.\d*)?))?\s*", line)
            if not found:
                raise ConfigError(f"standard input: found {line[:60]!r}, expected go or go UNIX_TIME")
            self._go(float(found[1] or 0.0))
        elif not data:
            self._stop(events)
        if newline or not data:
            self._loop.forget(0)

    def _listen(self) -> socket.socket:
        host, port = self._config.listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        listener.setblocking(False)
        self._loop.watch(listener.fileno(), self._accept)
        print(f"metrics at port {listener.getsockname()[1]}", flush=True)
        return listener

    def _accept(self, _: int) -> None:
        try:
            Scrape(self._loop, self._listener.accept()[0], self._metrics)
        except OSError:
            return


def _allow_descriptors(config: Config) -> None:
    needed = config.max_connections * len(config.targets) + 64
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(f"max_connections: needs {needed} open files, this process may have {hard} (`ulimit -Hn`)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _punctual() -> None:
    """Ask the kernel to run this process as soon as a request is due, where it may be asked (root, as on local hosts).

    A generator that shares its processors with the system would otherwise send late when that is busy.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def main(arguments: list[str]) -> int:
    """Run the generator; return its exit code."""
    if len(arguments) != 2 or arguments[0] != "--config":
        print("usage: python3 load_generator.py --config FILE", file=sys.stderr)
        return 2
    try:
        with open(arguments[1], encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes long to import
            config = Config(json.load(file))
        _allow_descriptors(config)
        generator = Generator(config)
    except (ConfigError, ValueError) as error:
        print(f"load_generator: {arguments[1]}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"load_generator: {error.filename or 'listen ' + str(config.listen)}: {error.strerror}", file=sys.stderr)
        return 2 if error.filename else 1
    _punctual()
    try:
        generator.run()
    except ConfigError as error:
        print(f"load_generator: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

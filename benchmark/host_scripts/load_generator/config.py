"""Read and check the configuration of a load generator."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable
from itertools import pairwise
from math import inf
from random import Random

from .schedule import Schedule

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WORKLOAD = r"[A-Za-z0-9][A-Za-z0-9_-]*"
"""Names of workloads, which are also tags of the latency log: `NAME.ERROR_TYPE` are its failures."""


class ConfigError(Exception):
    """A wrong configuration: the field, what was found, what is accepted."""


class Fields:
    """Take a JSON object apart field by field; ConfigError names what is missing, wrong or unknown."""

    def __init__(self, document: object, where: str) -> None:
        if not isinstance(document, dict):
            raise ConfigError(f"{where or 'document'}: found {document!r:.60}, expected an object")
        self._rest = dict(document)
        self._prefix = f"{where}." if where else ""

    def take(self, name: str, kinds: tuple[type, ...], expected: str, default: object = None) -> object:
        """Return a field's value, which must be of one of `kinds`; without a default the field is required."""
        value = self._rest.pop(name, default)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ConfigError(f"{self._prefix}{name}: found {value!r:.60}, expected {expected}")
        return value

    def text(self, name: str, pattern: str, expected: str, default: str | None = None) -> str:
        """Return a string that matches all of `pattern`."""
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
        """Return whether the field exists and was not taken yet."""
        return name in self._rest

    def end(self) -> None:
        """Raise ConfigError if a field was not taken: it is unknown."""
        if self._rest:
            raise ConfigError(f"unknown field {self._prefix}{next(iter(self._rest))}")


class Template:
    """Render the body of each request from a text with placeholders.

    `{{sequence}}` is the number of the request, from 0; `{{key:N}}` one of N keys, drawn at random; `{{value:B}}` B
    random bytes (letters and digits unless encoded). `:base64` at the end of any of them encodes the value.
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
        """Draw from a pool of values generated in advance: 4 MiB in total, but at least 16 and at most 1024 values."""
        raw = [self._random.randbytes(size) for _ in range(max(16, min(1024, (4 << 20) // size)))]
        letters = bytes(b"abcdefghijklmnopqrstuvwxyz012345"[i % 32] for i in range(256))
        pool = [b2a_base64(value, newline=False) if base64 else value.translate(letters) for value in raw]
        draw, count = self._random.random, len(pool)
        return lambda _: pool[int(draw() * count)]


def _base64(make: Callable[[int], bytes]) -> Callable[[int], bytes]:
    return lambda sequence: b2a_base64(make(sequence), newline=False)


class Expectation:
    """What a successful response must contain: its body matches one pattern, and does not match another."""

    def __init__(self, fields: Fields) -> None:
        self._match, self._no_match = (_pattern(fields, name) for name in ("match", "no_match"))
        fields.end()

    def met_by(self, body: bytes) -> bool:
        """Return whether a response has what it must and nothing that it must not."""
        found = self._match is None or self._match.search(body)
        return bool(found) and not (self._no_match and self._no_match.search(body))


def _pattern(fields: Fields, name: str) -> re.Pattern[bytes] | None:
    text = fields.text(name, ".*", "a regular expression", "")
    try:
        return re.compile(text.encode()) if text else None
    except re.error as error:
        raise ConfigError(f"requests.expect.{name}: found {text!r:.60}, not a regular expression: {error}") from None


class Config:
    """Configuration of one load generator, read from a JSON object; ConfigError if it is wrong.

    Fields, with defaults in parentheses:

    rate              requests/s; or `profile`: segments [start s, rate], or [start s, rate, rate at the end] for a ramp
    offset_s          phase of this client within the schedule of all clients (0)
    requests          {url, method (POST), headers ({}), body: see Template (""), expect: {match, no_match}}; the latter
                      are patterns that the body of a response must contain, or must not
    targets           base URLs used in round-robin order; `requests.url` is then a path
    workload          value of the label `workload` of the latencies (default)
    timeout_s         a request has failed if it is not complete this long after it was due (10)
    max_connections   per target; while all of them are in use, requests wait (1024)
    listen            ADDRESS:PORT of the metrics; with port 0 any free port, which is printed (0.0.0.0:18600)
    start             `go`: wait for standard input, `now`: start immediately (go)
    latency_log       file for the latencies of all requests: HdrHistograms of 0.1 s; empty for none ("")
    seed              seed of the random keys and values (1)
    """

    def __init__(self, document: object) -> None:
        fields = Fields(document, "")
        self.workload = fields.text("workload", WORKLOAD, "a word of letters, digits, - and _", "default")
        self.schedule = Schedule(_segments(fields), fields.number("offset_s", 0.0))
        self.timeout_s = fields.number("timeout_s", 10.0, 0.001)
        self.max_connections = int(fields.number("max_connections", 1024, 1))
        listen = fields.text("listen", r"(\S+|\[\S+\]):\d{1,5}", "ADDRESS:PORT", "0.0.0.0:18600")
        self.listen = (listen.rpartition(":")[0].strip("[]"), int(listen.rpartition(":")[2]))
        self.start_now = fields.text("start", "now|go", "'now' or 'go'", "go") == "now"
        self.latency_log = fields.text("latency_log", "[^\0]*", "the name of a file", "")
        seed = int(fields.number("seed", 1))
        requests = Fields(fields.take("requests", (dict,), "an object"), "requests")
        method = requests.text("method", "|".join(METHODS), f"one of {', '.join(METHODS)}", "POST")
        headers = requests.take("headers", (dict,), "an object", {})
        self.template = Template(requests.text("body", ".*", "a text", ""), seed)
        self.targets = [
            (host, port, _head(method, host, port, path, headers)) for host, port, path in _addresses(fields, requests)
        ]
        self.expect = None
        if requests.has("expect"):
            self.expect = Expectation(Fields(requests.take("expect", (dict,), "an object"), "requests.expect"))
        requests.end()
        fields.end()


_SEGMENT = "[start s, rate] or [start s, rate, rate at the end]"


def _segments(fields: Fields) -> list[tuple[float, float, float]]:
    """Return the segments of `profile`, or the single one that `rate` stands for."""
    if not fields.has("profile"):
        rate = fields.number("rate", None)
        return [(0.0, rate, rate)]
    if fields.has("rate"):
        raise ConfigError("rate: found together with profile, expected one of the two")
    profile = fields.take("profile", (list,), f"a list of {_SEGMENT}")
    segments: list[tuple[float, float, float]] = []
    for item in profile if isinstance(profile, list) else []:
        numbers = [value for value in item if isinstance(value, int | float)] if isinstance(item, list) else []
        if len(numbers) not in (2, 3) or len(numbers) != len(item) or not all(0 <= value < inf for value in numbers):
            raise ConfigError(f"profile: found {item!r:.60}, expected {_SEGMENT}")
        segments.append((float(numbers[0]), float(numbers[1]), float(numbers[-1])))
    starts = [start for start, _, _ in segments]
    if not segments or starts[0] != 0 or any(a >= b for a, b in pairwise(starts)) or len(set(segments[-1][1:])) > 1:
        raise ConfigError("profile: expected starts that increase from 0, and a constant rate in the last segment")
    return segments


def _addresses(fields: Fields, requests: Fields) -> list[tuple[str, int, str]]:
    """Return host, port and path of each target: `requests.url` itself, or that path on each of `targets`."""
    url = requests.text("url", r"\S+", "a URL, or a path if there are targets")
    urls = [url]
    if fields.has("targets"):
        bases = fields.take("targets", (list,), "a list of URLs")
        urls = [f"{base}{url}" for base in bases] if isinstance(bases, list) else []
        if not urls or not url.startswith("/"):
            raise ConfigError(f"targets: found {bases!r:.60} and requests.url {url!r}, expected base URLs and a path")
    found = []
    for text in urls:
        found.append(_address(text))
    return found


def _address(url: str) -> tuple[str, int, str]:
    """Return host, port and path of a URL."""
    match = re.fullmatch(r"http://(\[[0-9A-Fa-f:.]+\]|[^/:@?#\[\]]+)(?::(\d{1,5}))?(?:([/?][!-~]*))?", url)
    if match and "#" not in (match[3] or "") and 0 < int(match[2] or 80) < 65536:
        path = match[3] or "/"
        return match[1], int(match[2] or 80), path if path.startswith("/") else f"/{path}"
    scheme, authority, rest = url.partition("://")
    shown, advice = url, ""
    if scheme.lower() == "https":
        advice = "; TLS is not supported, so let the system also listen without it"
    if authority and "@" in rest.partition("/")[0]:
        shown = f"{scheme}://***@{rest.partition('@')[2]}"
        advice += "; credentials go into a header, such as Authorization"
    raise ConfigError(f"requests.url: found {shown!r}, expected http://HOST:PORT/PATH{advice}")


def _head(method: str, host: str, port: int, path: str, headers: object) -> bytes:
    """Return the bytes of a request up to the value of Content-Length."""
    lines = {"host": f"Host: {host}:{port}"}
    for name, value in headers.items() if isinstance(headers, dict) else []:
        if not (isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9-]+", name) and re.fullmatch(r"[ -~]*", value)):
            raise ConfigError(f"requests.headers: found {name!r:.60}: {value!r:.60}, expected a name and a text")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise ConfigError(f"requests.headers: {name} is set by the generator itself")
        lines[name.lower()] = f"{name}: {value}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines.values(), "Content-Length: "]).encode()

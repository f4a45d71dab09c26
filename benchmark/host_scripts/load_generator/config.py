"""Read and check the configuration of a load generator."""

from __future__ import annotations

import re
from copy import copy
from itertools import pairwise
from math import inf

from .fields import ConfigError, Fields
from .schedule import Schedule
from .template import Template

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WORKLOAD = r"[A-Za-z0-9][A-Za-z0-9_-]*"
"""Names of workloads, which are also tags of the latency log: `NAME.ERROR_TYPE` are its failures."""


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
        raise fields.error(name, f"found {text!r:.60}, not a regular expression: {error}") from None


class Workload:
    """One kind of request: a share of all requests, whose latencies have its name."""

    def __init__(self, fields: Fields, name: str, bases: list[str] | None, seed: int) -> None:
        """Read the fields of a request; `bases` are the base URLs of the targets, if its URL is only a path."""
        self.name = name
        self.weight = fields.number("weight", 1.0)
        method = fields.text("method", "|".join(METHODS), f"one of {', '.join(METHODS)}", "POST")
        headers = fields.take("headers", (dict,), "an object", {})
        body = fields.text("body", ".*", "a text", "")
        try:
            self.body = Template(body, seed)
        except ConfigError as error:
            raise fields.error("body", str(error)) from None
        url = fields.text("url", r"\S+", "a URL, or a path if there are targets")
        if bases is not None and not url.startswith("/"):
            raise fields.error("url", f"found {url!r:.60}, expected a path, because there are targets")
        self.targets = []
        """Host, port, and the bytes of the request up to the value of Content-Length."""
        for base in [""] if bases is None else bases:
            host, port, path = _address(fields, base + url)
            self.targets.append((host, port, _head(fields, method, host, port, path, headers)))
        self.expect = None
        if fields.has("expect"):
            self.expect = Expectation(fields.inner("expect"))
        self.preload = self._preload(fields, Template(body, seed, numbered=True)) if fields.has("preload") else None
        """This request with key n as request n, and the range of keys to send before the load."""
        fields.end()

    def _preload(self, fields: Fields, body: Template) -> tuple[Workload, range]:
        part, parts = fields.pair("preload")
        if len(body.key_counts) != 1:
            raise fields.error("preload", f"found {len(body.key_counts)} numbers of keys in the body, expected one")
        if not part < parts:
            raise fields.error("preload", f"found [{part}, {parts}], expected [PART, PARTS] with PART < PARTS")
        workload = copy(self)
        workload.body = body
        return workload, range(part, next(iter(body.key_counts)), parts)


class Config:
    """Configuration of one load generator, read from a JSON object; ConfigError if it is wrong.

    Fields, with defaults in parentheses:

    rate              requests/s; or `profile`: segments [start s, rate], or [start s, rate, rate at the end] for a ramp
    offset_s          phase of this client within the schedule of all clients (0)
    requests          {url, method (POST), headers ({}), body: see Template (""), expect: {match, no_match}}; the latter
                      are patterns that the body of a response must contain, or must not. A list of them, each with
                      `workload` and `weight` (1), sends each in proportion to its weight, in random order. With
                      `preload: [PART, PARTS]`, it is sent before the load once for every key with key % PARTS = PART
    targets           base URLs used in round-robin order; `requests.url` is then a path
    workload          value of the label `workload` of the latencies (default)
    timeout_s         a request has failed if it is not complete this long after it was due (10)
    max_connections   per target; while all of them are in use, requests wait (1024)
    processes         processes that send the requests; 0 for as many as the rate requires on this machine (0)
    listen            ADDRESS:PORT of the metrics; with port 0 any free port, which is printed (0.0.0.0:18600)
    start             `go`: wait for standard input, `now`: start immediately (go)
    latency_log       file for the latencies of all requests: HdrHistograms of 0.1 s; empty for none ("")
    seed              seed of the random requests, keys and values (1)
    """

    def __init__(self, document: object) -> None:
        fields = Fields(document, "")
        segments = _segments(fields)
        self.schedule = Schedule(segments, fields.number("offset_s", 0.0))
        self.peak_rate = max(max(low, high) for _, low, high in segments)
        self.timeout_s = fields.number("timeout_s", 10.0, 0.001)
        self.max_connections = int(fields.number("max_connections", 1024, 1))
        self.processes = int(fields.number("processes", 0))
        if self.processes > self.max_connections:
            raise fields.error("processes", f"found {self.processes}, more than max_connections")
        listen = fields.text("listen", r"(\S+|\[\S+\]):\d{1,5}", "ADDRESS:PORT", "0.0.0.0:18600")
        self.listen = (listen.rpartition(":")[0].strip("[]"), int(listen.rpartition(":")[2]))
        self.start_now = fields.text("start", "now|go", "'now' or 'go'", "go") == "now"
        self.latency_log = fields.text("latency_log", "[^\0]*", "the name of a file", "")
        self.seed = int(fields.number("seed", 1))
        self.workloads = _workloads(fields, self.seed)
        fields.end()


def _workloads(fields: Fields, seed: int) -> list[Workload]:
    """Return what `requests` describes: one workload, or several with weights."""
    bases = fields.take("targets", (list, type(None)), "a list of URLs")
    if bases is not None and not (isinstance(bases, list) and bases and all(isinstance(base, str) for base in bases)):
        raise ConfigError(f"targets: found {bases!r:.60}, expected base URLs")
    expected = "a word of letters, digits, - and _"
    requests = fields.take("requests", (dict, list), "an object, or a list of objects")
    if isinstance(requests, dict):
        return [
            Workload(Fields(requests, "requests"), fields.text("workload", WORKLOAD, expected, "default"), bases, seed)
        ]
    found: list[Workload] = []
    for index, request in enumerate(requests if isinstance(requests, list) else []):
        each = Fields(request, f"requests[{index}]")
        found.append(Workload(each, each.text("workload", WORKLOAD, expected), bases, seed + index))
    if len({workload.name for workload in found}) < len(found):
        raise ConfigError("requests: found a workload twice, expected different names")
    if not sum(workload.weight for workload in found):
        raise ConfigError("requests: expected at least one request with a weight above 0")
    return found


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


def _address(fields: Fields, url: str) -> tuple[str, int, str]:
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
    raise fields.error("url", f"found {shown!r}, expected http://HOST:PORT/PATH{advice}")


def _head(fields: Fields, method: str, host: str, port: int, path: str, headers: object) -> bytes:
    """Return the bytes of a request up to the value of Content-Length."""
    lines = {"host": f"Host: {host}:{port}"}
    for name, value in headers.items() if isinstance(headers, dict) else []:
        if not (isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9-]+", name) and re.fullmatch(r"[ -~]*", value)):
            raise fields.error("headers", f"found {name!r:.60}: {value!r:.60}, expected a name and a text")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise fields.error("headers", f"{name} is set by the generator itself")
        lines[name.lower()] = f"{name}: {value}"
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines.values(), "Content-Length: "]).encode()

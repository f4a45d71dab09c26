"""Responses in every framing, and connections to a real server, within this process."""

from __future__ import annotations

import gc
import time
from math import inf
from pathlib import Path

import pytest
from fakes.reference_server import running_server

from benchmark.host_scripts.load_generator.config import Config, Workload
from benchmark.host_scripts.load_generator.hdr import Recorder
from benchmark.host_scripts.load_generator.http import ProtocolError, Response, Target, resolve
from benchmark.host_scripts.load_generator.loop import Loop
from benchmark.host_scripts.load_generator.metrics import Metrics

OK = b"HTTP/1.1 200 OK\r\n"
RESPONSES = [
    (OK + b"Content-Length: 5\r\n\r\nhello", True),
    (OK + b"content-length:0\r\n\r\n", True),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello", True),
    (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2 + OK + b"Content-Length: 1\r\n\r\nx", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    (OK + b"CONNECTION:  Close\r\nContent-Length: 1\r\n\r\nx", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", False),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", True),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;q=1\r\n\r\n\r\n345678\r\n0\r\n\r\n", True),
    (OK + b"Transfer-Encoding: Chunked\r\nConnection: close\r\n\r\n0\r\nTrailer: 1\r\n\r\n", False),
]


@pytest.mark.parametrize(("data", "keep_alive"), RESPONSES)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_response_is_complete_at_its_last_byte_for_any_split(data: bytes, keep_alive: bool, step: int) -> None:
    response = Response()
    for _ in range(2):  # a connection is reused
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        assert [response.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert response.keep_alive is keep_alive
        response.reset()


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_body_is_kept_without_its_framing(step: int) -> None:
    bodies = []
    for data, _ in RESPONSES:
        response = Response(keeps_body=True)
        for at in range(0, len(data), step):
            response.feed(data[at : at + step])
        bodies.append(response.body)
    assert bodies == [b"hello", b"", b"hello", b"x", b"", b"x", b"x", b"x", b"hello\r\n\r\n345678", b""]


def test_kept_body_is_bounded_and_is_empty_for_the_next_response() -> None:
    response = Response(keeps_body=True)
    assert response.feed(OK + b"Content-Length: 1048577\r\n\r\n" + b"x" * 1048577)
    assert len(response.body) == 1048576
    response.reset()
    assert response.body == b""


def test_interim_response_alone_is_not_a_response() -> None:
    response = Response()
    assert not response.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert not response.closed()


def test_body_without_length_ends_with_the_connection() -> None:
    response = Response()
    assert not response.closed()
    assert not response.feed(OK + b"\r\nsome")
    assert response.closed()
    assert not response.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/1.1 600 Odd\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1\r\n\r\nxy",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP",
        OK + b"X: " + b"y" * 70_000,
    ],
)
def test_invalid_response_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Response().feed(data)


def make_target(request: dict[str, object], loop: Loop, max_connections: int = 10) -> tuple[Target, Workload, bytes]:
    """Return a target with a timeout of 5 s, and a request to it."""
    (workload,) = Config({"rate": 1, "requests": request}).workloads
    ((host, port, head),) = workload.targets
    metrics = Metrics(["default"], 5.0, Recorder(None))
    return Target(loop, metrics, resolve(host, port), timeout_s=5.0, max_connections=max_connections), workload, head


def test_request_that_times_out_in_the_queue_is_not_sent(tmp_path: Path) -> None:
    with running_server("constant:0", tmp_path) as server:
        target, workload, head = make_target({"url": server.url("/hang")}, Loop(), max_connections=1)
        metrics = target.metrics
        due = time.monotonic()
        for n in range(3):
            target.submit(due + n, n, workload, head)
        assert target.oldest_due() == pytest.approx(due)
        assert target.expire(due + 4.9) == due + 5
        assert metrics.errors["timeout"] == 0
        target.expire(due + 8)
        assert target.oldest_due() == inf
    assert (metrics.errors["timeout"], metrics.submitted, metrics.inflight) == (3, 1, 0)


@pytest.mark.parametrize(
    ("path", "expect", "outcome"),
    [
        ("hints", {}, "completed"),
        ("error", {}, "completed"),
        ("error", {"no_match": '"error"'}, "unexpected"),
        ("chunked", {"match": "^ok"}, "completed"),
        ("http10", {"match": "^ok$"}, "completed"),
        ("dribble", {"match": "no"}, "unexpected"),
        ("status/404", {"match": "no"}, "http_4xx"),
    ],
)
def test_response_is_judged_by_its_status_and_its_body(
    tmp_path: Path, path: str, expect: dict[str, str], outcome: str
) -> None:
    with running_server("constant:0", tmp_path) as server:
        loop = Loop()
        target, workload, head = make_target({"url": server.url(f"/{path}"), "expect": expect}, loop)
        metrics = target.metrics
        for n in range(2):  # a connection is reused
            target.submit(time.monotonic(), n, workload, head)
            while metrics.inflight:
                loop.run_once(1.0)
    outcomes = {"completed": sum(metrics.latency["default"].counts), **metrics.errors}
    assert {name: count for name, count in outcomes.items() if count} == {outcome: 2}


@pytest.mark.parametrize("path", ["", "close", "drop", "garbage"])
def test_connections_leave_no_reference_cycles(tmp_path: Path, path: str) -> None:
    with running_server("constant:0", tmp_path) as server:
        loop = Loop()
        target, workload, head = make_target({"url": server.url(f"/{path}")}, loop)
        metrics = target.metrics
        gc.collect()
        gc.disable()
        try:
            for n in range(20):
                target.submit(time.monotonic(), n, workload, head)
                while metrics.inflight:
                    loop.run_once(1.0)
            target.expire(inf)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            assert not [item for item in gc.garbage if type(item).__module__.startswith("benchmark")]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

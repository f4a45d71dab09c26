"""The server with known service times: its models, its log, and what goes wrong on purpose."""

from __future__ import annotations

import http.client
import socket
import statistics
import time
from itertools import pairwise
from pathlib import Path

import pytest
from truth import ANSWERS, CLOSING, Truth, running_truth, service_time


def ask(truth: Truth, path: str, body: str = "0") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", truth.port, timeout=5)
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_constant_model_always_takes_its_time() -> None:
    draw = service_time("constant:0.05", seed=1)
    assert {draw() for _ in range(10)} == {0.05}


def test_an_exponential_model_has_its_mean_and_its_spread() -> None:
    draw = service_time("exponential:0.1", seed=1)
    values = [draw() for _ in range(20_000)]
    assert statistics.fmean(values) == pytest.approx(0.1, rel=0.03)
    assert statistics.stdev(values) == pytest.approx(0.1, rel=0.03)


def test_a_bimodal_model_has_two_values_in_the_given_shares() -> None:
    draw = service_time("bimodal:0.01:0.2:0.25", seed=1)
    values = [draw() for _ in range(20_000)]
    assert set(values) == {0.01, 0.2}
    assert values.count(0.2) / len(values) == pytest.approx(0.25, abs=0.02)


def test_the_log_tells_when_each_request_came_and_was_answered(tmp_path: Path) -> None:
    with running_truth("constant:0.05", tmp_path) as truth:
        before = time.monotonic()
        assert [ask(truth, "/", str(number)) for number in range(3)] == [(200, b"ok")] * 3
        after = time.monotonic()
        log = truth.stop()
    assert [entry.sequence for entry in log] == [0, 1, 2]
    assert before < log[0].arrival < log[0].completion < log[1].arrival < log[2].completion < after
    assert all(entry.completion - entry.arrival >= 0.05 for entry in log)


def test_in_a_stall_nothing_is_answered(tmp_path: Path) -> None:
    with running_truth("stall:0.001:0.1:0.5", tmp_path) as truth:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            ask(truth, "/")
        completions = [entry.completion for entry in truth.stop()]
    gaps = [later - earlier for earlier, later in pairwise(completions)]
    assert 0.5 <= max(gaps) < 0.7
    assert sum(gap > 0.3 for gap in gaps) == 1


def test_paths_name_the_status_or_the_framing(tmp_path: Path) -> None:
    with running_truth("constant:0", tmp_path) as truth:
        assert ask(truth, "/status/503") == (503, b"ok")
        assert ask(truth, "/chunked") == (200, b"ok\r\n\n")
        assert ask(truth, "/dribble") == (200, b"ok")
        assert ask(truth, "/http10") == (200, b"ok")


@pytest.mark.parametrize("path", CLOSING)
def test_closing_paths_send_what_they_promise_and_close(tmp_path: Path, path: str) -> None:
    with (
        running_truth("constant:0", tmp_path) as truth,
        socket.create_connection(("127.0.0.1", truth.port), timeout=5) as sock,
    ):
        sock.sendall(f"POST /{path} HTTP/1.1\r\nContent-Length: 1\r\n\r\n0".encode())
        received = b"".join(iter(lambda: sock.recv(4096), b""))
    assert received == ANSWERS[path]


def test_nothing_is_left_when_the_block_ends(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), running_truth("constant:0", tmp_path) as truth:
        raise RuntimeError
    assert truth.process.poll() is not None

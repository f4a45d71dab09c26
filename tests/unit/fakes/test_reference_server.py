"""The reference server: its models, its log, its deliberate faults."""

from __future__ import annotations

import http.client
import socket
import statistics
import time
from itertools import pairwise
from pathlib import Path

import pytest
from fakes.reference_server import ANSWERS, CLOSING, ReferenceServer, running_server, service_time, wake_up_delay


def ask(server: ReferenceServer, path: str, body: str = "0") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_constant_model_always_takes_the_same_time() -> None:
    draw = service_time("constant:0.05", seed=1)
    assert {draw() for _ in range(10)} == {0.05}


def test_exponential_model_has_the_given_mean_and_deviation() -> None:
    draw = service_time("exponential:0.1", seed=1)
    values = [draw() for _ in range(20_000)]
    assert statistics.fmean(values) == pytest.approx(0.1, rel=0.03)
    assert statistics.stdev(values) == pytest.approx(0.1, rel=0.03)


def test_bimodal_model_has_two_values_with_the_given_shares() -> None:
    draw = service_time("bimodal:0.01:0.2:0.25", seed=1)
    values = [draw() for _ in range(20_000)]
    assert set(values) == {0.01, 0.2}
    assert values.count(0.2) / len(values) == pytest.approx(0.25, abs=0.02)


def test_log_holds_arrival_and_completion_of_each_request(tmp_path: Path) -> None:
    with running_server("constant:0.05", tmp_path) as server:
        before = time.monotonic()
        assert [ask(server, "/", str(number)) for number in range(3)] == [(200, b"ok")] * 3
        after = time.monotonic()
        log = server.stop()
    assert [entry.sequence for entry in log] == [0, 1, 2]
    assert before < log[0].arrival < log[0].completion < log[1].arrival < log[2].completion < after
    assert all(entry.completion - entry.arrival >= 0.05 for entry in log)


def test_no_request_is_answered_during_a_stall(tmp_path: Path) -> None:
    with running_server("stall:0.001:0.1:0.5", tmp_path) as server:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            ask(server, "/")
        completions = [entry.completion for entry in server.stop()]
    gaps = [later - earlier for earlier, later in pairwise(completions)]
    assert 0.5 <= max(gaps) < 0.7
    assert sum(gap > 0.3 for gap in gaps) == 1


def test_path_selects_status_or_framing(tmp_path: Path) -> None:
    with running_server("constant:0", tmp_path) as server:
        assert ask(server, "/status/503") == (503, b"ok")
        assert ask(server, "/chunked") == (200, b"ok\r\n\n")
        assert ask(server, "/dribble") == (200, b"ok")
        assert ask(server, "/http10") == (200, b"ok")


@pytest.mark.parametrize("path", CLOSING)
def test_closing_paths_send_their_response_and_close(tmp_path: Path, path: str) -> None:
    with (
        running_server("constant:0", tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock,
    ):
        sock.sendall(f"POST /{path} HTTP/1.1\r\nContent-Length: 1\r\n\r\n0".encode())
        received = b"".join(iter(lambda: sock.recv(4096), b""))
    assert received == ANSWERS[path]


def test_server_stops_when_the_block_ends(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), running_server("constant:0", tmp_path) as server:
        raise RuntimeError
    assert server.process.poll() is not None


def test_scheduling_delay_of_the_machine_is_measured_during_the_block() -> None:
    with wake_up_delay(seconds=0.1) as machine_delay:
        assert 0 < machine_delay() < 1

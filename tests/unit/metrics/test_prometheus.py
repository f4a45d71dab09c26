"""The client against servers that misbehave; tests/integration has a real Prometheus."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests import ConnectionError

from benchmark.errors import InfrastructureError, UsageError
from benchmark.measure.live_stats import read_live_stats
from benchmark.metrics import prometheus as prometheus_module
from benchmark.metrics.prometheus import Prometheus


def test_importing_the_module_does_not_import_heavy_libraries() -> None:
    heavy = ("numpy", "pyarrow", "requests", "prometheus_api_client", "pandas")
    code = f"import sys, benchmark.metrics.prometheus; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"


@contextmanager
def answering(status: int, body: bytes, expected: str = "/api/v1/query?") -> Iterator[str]:
    """Serve the same response to every request, in place of Prometheus."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
        assert all(path.startswith(expected) for path in asked)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(*result: object) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"status": "success"}'])
def test_server_that_is_not_prometheus_is_detected(body: bytes) -> None:
    with answering(200, body) as url, Prometheus(url) as client, pytest.raises(InfrastructureError, match="not Prom"):
        client.scraped(0)


@pytest.mark.parametrize("status", [400, 422, 503])
def test_error_of_a_rejected_query_contains_query_and_response(status: int) -> None:
    refusal = pytest.raises(InfrastructureError, match=rf"rejected the query timestamp.*{status}.*because")
    with answering(status, b"because") as url, Prometheus(url) as client, refusal:
        client.scraped(0)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([{"value": [1, "1"]}], r"0\.metric: Field required"),
        ([{"metric": {"job": 1}, "value": [1, "1"]}], r"0\.metric\.job: .*string, found '1'"),
        ([{"metric": {}}], r"0\.value: Field required"),
        ([{"metric": {}, "value": [1]}], r"0\.value"),
        ([{"metric": {}, "value": [1, "fast"]}], r"0\.value\.1: .*number.*, found 'fast'"),
        ([{"metric": {}, "histogram": [1, {"count": "1"}]}], r"0\.value: Field required"),
        ({"metric": {}}, r"list, found"),
    ],
)
def test_malformed_answer_is_one_clear_error(result: object, message: str) -> None:
    body = json.dumps({"status": "success", "data": {"result": result}}).encode()
    with (
        answering(200, body) as url,
        Prometheus(url) as client,
        pytest.raises(InfrastructureError, match=f"malformed answer to the query up: .*{message}"),
    ):
        client.query("up")


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["metric", "value", "values", "job", "le", "quantity", "__name__"]), inner)
    ),
    max_leaves=12,
)
_SERIES = st.fixed_dictionaries(
    {},
    optional={
        "metric": st.dictionaries(st.sampled_from(["job", "host", "instance", "quantity"]), st.text(max_size=5))
        | _JSON,
        "value": st.tuples(st.floats(), st.sampled_from(["1", "NaN", "+Inf", "x", ""])) | _JSON,
        "values": st.lists(st.tuples(st.floats(), st.sampled_from(["1", "NaN", "-Inf", "x"])), max_size=3) | _JSON,
    },
)


class Canned(Prometheus):
    """A client whose connection returns one answer to everything."""

    def __init__(self, result: object) -> None:
        super().__init__("http://127.0.0.1:1")
        self.custom_query = lambda *_, **__: result
        self._connection = self  # type: ignore[assignment]


@settings(derandomize=True, max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_SERIES, max_size=3) | _JSON)
def test_no_answer_ends_in_a_traceback(result: object) -> None:
    client = Canned(result)
    for ask in (
        lambda: client.scraped(0),
        lambda: client.samples("m", 0, 10),
        lambda: client.exported("node"),
        lambda: read_live_stats(client, timedelta(seconds=4)),
    ):
        with suppress(InfrastructureError):
            ask()


def test_samples_outside_the_window_are_removed() -> None:
    values = [[1.0, "1"], [2.0, "2"], [3.0, "3"], [4.0, "4"]]
    matrix = [{"metric": {"__name__": "m", "host": "a"}, "values": values}, {"metric": {}, "values": [[9.0, "9"]]}]
    with answering(200, answer(*matrix)) as url, Prometheus(url) as client:
        (one,) = client.samples("m", 2.0, 3.0)
    assert (one.metric, one.labels) == ("m", {"host": "a"})
    assert one.times.tolist() == one.values.tolist() == [2.0, 3.0]


def test_native_histograms_are_no_samples() -> None:
    native = {"metric": {"__name__": "h"}, "histograms": [[1.0, {"count": "1", "sum": "2", "buckets": []}]]}
    plain = {"metric": {"__name__": "m"}, "values": [[2.0, "2"]]}
    with answering(200, answer(native, plain)) as url, Prometheus(url) as client:
        assert [one.metric for one in client.samples("m", 1.0, 3.0)] == ["m"]


def test_window_that_ends_before_it_starts_is_rejected() -> None:
    with (
        Prometheus("http://127.0.0.1:1") as client,
        pytest.raises(UsageError, match=r"the end 1\.0 is before the start 2\.0"),
    ):
        client.samples("m", 2.0, 1.0)


def test_refused_connection_is_an_infrastructure_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            Prometheus(url) as client,
            pytest.raises(InfrastructureError, match=r"did not answer.*that the tunnel is open"),
        ):
            client.scraped(0)


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [(200, b"Prometheus Server is Ready.\n", ""), (503, b"Starting up\n", "Prometheus is not ready: Starting up")],
)
def test_a_prometheus_that_is_not_ready_is_a_problem(
    status: int, body: bytes, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_module, "_STARTING_S", 0.0)
    with answering(status, body, "/-/ready") as url, Prometheus(url) as client:
        assert client.problem() == problem


def test_a_prometheus_that_just_started_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_module, "_PAUSE_S", 0.01)
    body = b"Prometheus Server is Ready.\n"
    with answering(503, body, "/-/ready") as url, Prometheus(url) as client:
        answers = iter([503, 503, 200])
        get = client._session.get

        def changing(*arguments: object, **options: object) -> object:
            found = get(*arguments, **options)  # type: ignore[arg-type]
            found.status_code = next(answers)
            return found

        monkeypatch.setattr(client._session, "get", changing)
        assert client.problem() == ""


def test_a_prometheus_that_closes_connections_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_module, "_STARTING_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        closing = threading.Thread(target=lambda: server.accept()[0].close(), daemon=True)
        closing.start()
        with Prometheus(url, timedelta(seconds=2)) as client:
            assert re.fullmatch("Prometheus does not answer: [A-Z][a-z ]*", client.problem())
        closing.join(2)


def test_errors_of_scrapes_are_those_of_prometheus() -> None:
    labels = {"job": "node", "host": "a", "instance": "10.0.0.1:1"}
    failed = {"labels": labels, "lastError": "server returned HTTP status 404 Not Found", "health": "down"}
    body = json.dumps({"status": "success", "data": {"activeTargets": [failed, {"labels": {}}]}}).encode()
    with answering(200, body, "/api/v1/targets?") as url, Prometheus(url) as client:
        assert client.scrape_errors() == {("node", "a", "10.0.0.1:1"): failed["lastError"], ("", "", ""): ""}
    with (
        answering(200, b'{"data": {"activeTargets": [1]}}', "/api/v1/targets?") as url,
        Prometheus(url) as client,
        pytest.raises(InfrastructureError, match=r"malformed answer to its targets: activeTargets\.0"),
    ):
        client.scrape_errors()


class Restarting(Canned):
    """A client whose Prometheus is down for the first `down` requests."""

    def __init__(self, down: list[Exception], patience: timedelta) -> None:
        super().__init__([])
        self._patience = patience.total_seconds()
        self.asked = 0

        def answer(*_: object, **__: object) -> object:
            self.asked += 1
            if down:
                raise down.pop(0)
            return [{"metric": {}, "value": [1, "1"]}]

        self.custom_query = answer


def test_requests_are_repeated_while_prometheus_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_module, "_PAUSE_S", 0.001)
    down = [ConnectionError("refused"), PrometheusApiClientException("HTTP Status Code 503 (b'Service Unavailable')")]
    client = Restarting([*down], timedelta(seconds=10))
    assert client.query("up")[0].value == (1.0, 1.0)
    assert client.asked == 3
    for impatient in (Restarting([*down], timedelta(0)), Restarting([*down], timedelta(seconds=10))):
        with pytest.raises(InfrastructureError, match="did not answer the query up"):
            impatient.query("up", timeout=timedelta(seconds=1))
        assert impatient.asked == 1
    rejected = Restarting([PrometheusApiClientException("HTTP Status Code 400 (b'bad')")], timedelta(seconds=10))
    with pytest.raises(InfrastructureError, match="rejected the query up"):
        rejected.query("up")


def test_missing_response_is_an_error_after_the_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        with (
            Prometheus(url, timedelta(seconds=0.3)) as client,
            pytest.raises(InfrastructureError, match=r"within 0\.3 s: Read timed out\. \(read timeout=0\.3\); check"),
        ):
            client.scraped(0)
        assert 0.3 <= time.monotonic() - started < 3


def test_proxy_of_the_operator_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    scraped = {"metric": {"job": "host", "host": "a", "instance": "10.0.0.1:9100"}, "value": [1, "1"]}
    with answering(200, answer(scraped)) as url, Prometheus(url) as client:
        assert client.scraped(0) == {("host", "a", "10.0.0.1:9100")}

"""The load generator: its parts alone, and the whole of it against a server that knows the truth."""

from __future__ import annotations

import base64
import gc
import json
import re
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from truth import FAVOURED, Entry, running_truth

from benchmark.host_scripts import load_generator
from benchmark.host_scripts.load_generator import (
    BOUNDS,
    Config,
    ConfigError,
    Metrics,
    ProtocolError,
    Response,
    Schedule,
    Template,
)

SCRIPT = Path(load_generator.__file__)
Json = dict[str, object]
Pieces = list[tuple[float, float, float]]


class Running:
    """A generator's process."""

    def __init__(self, folder: Path, config: Json) -> None:
        path = folder / f"config-{time.monotonic_ns()}.json"
        path.write_text(json.dumps({"listen": "127.0.0.1:0", **config}))
        command = [*FAVOURED, sys.executable, "-I", str(SCRIPT), "--config", str(path)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout is not None
        self.port = self.process.stdout.readline().rpartition(" ")[2].strip()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def go(self) -> float:
        """Let it start 0.2 s from now; return that moment on the monotonic clock."""
        start = time.time() + 0.2
        self.say(f"go {start:.6f}")
        return time.monotonic() + start - time.time()

    def metrics(self) -> dict[str, float]:
        """Scrape: samples by name, or by name and value of the last label."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            samples = [sample for family in families for sample in family.samples]
        # The parser appends _total to the name of a counter that has none.
        labels = [sample.labels.get("le") or sample.labels.get("error_type") or "" for sample in samples]
        names = [f"{s.name.removesuffix('_total')} {label}".strip() for s, label in zip(samples, labels, strict=True)]
        return dict(zip(names, (sample.value for sample in samples), strict=True))

    def ended(self, requests: int) -> dict[str, float]:
        """Wait until so many requests are answered or failed; return the metrics then."""
        return self.wait(lambda m: m["latency_s_count"] + errors(m) >= requests)

    def wait(self, condition: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        deadline = time.monotonic() + 15
        while not condition(found := self.metrics()):
            assert time.monotonic() < deadline, found
            time.sleep(0.01)  # the generator needs the processor more
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


def errors(metrics: dict[str, float]) -> float:
    return sum(value for name, value in metrics.items() if name.startswith("errors "))


def quantile_bounds(metrics: dict[str, float], name: str, q: float) -> tuple[float, float]:
    """The bucket of the value of rank ceil(q n)."""
    rank = q * metrics[f"{name}_count"]
    counts = [metrics[f"{name}_bucket {edge!r}"] for edge in BOUNDS]
    index = next(i for i, count in enumerate(counts) if count >= rank)
    return (BOUNDS[index - 1] if index else 0.0), BOUNDS[index]


def latencies(log: Sequence[Entry], start: float, pieces: Pieces) -> list[float]:
    """What the generator should have measured: from the schedule to the server's own log, sorted."""
    schedule = Schedule(pieces, 0.0)
    return sorted(entry.completion - start - schedule.due(entry.sequence) for entry in log)


def to(url: str, rate: float, seconds: float, **more: object) -> Json:
    """A configuration of exactly rate x seconds requests, numbered in their body."""
    profile = [[0, rate], [seconds, 0]]
    return {"profile": profile, "requests": {"url": url, "body": "{{sequence}}"}, **more}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Json], Running]]:
    with ExitStack() as stack:

        def begin(config: Json) -> Running:
            running = Running(tmp_path, config)
            stack.callback(running.close)
            return running

        yield begin


# The schedule


def test_request_n_is_due_after_n_periods_without_drift() -> None:
    schedule = Schedule([(0.0, 17.0, 17.0)], 0.002)
    assert schedule.due(0) == pytest.approx(0.002, abs=1e-12)
    assert schedule.due(10**9) == pytest.approx(10**9 / 17 + 0.002, rel=1e-14)


def test_steps_and_pauses_are_exact() -> None:
    schedule = Schedule([(0.0, 10.0, 10.0), (1.0, 0.0, 0.0), (2.0, 100.0, 100.0)], 0.0)
    assert [schedule.due(n) for n in (0, 9, 10, 11, 110)] == pytest.approx([0.0, 0.9, 2.0, 2.01, 3.0])


def test_a_ramp_is_due_where_its_integral_says() -> None:
    schedule = Schedule([(0.0, 0.0, 100.0), (2.0, 100.0, 100.0)], 0.0)  # 25 t^2 until 2 s
    assert [schedule.due(n) for n in (0, 25, 64, 100, 150)] == pytest.approx([0.0, 1.0, 1.6, 2.0, 2.5])
    falling = Schedule([(0.0, 100.0, 0.0), (2.0, 0.0, 0.0)], 0.0)
    assert [falling.due(n) for n in (0, 75, 99)] == pytest.approx([0.0, 1.0, 1.8])
    assert falling.due(100) in (2.0, inf)
    assert falling.due(101) == inf


def test_no_load_is_never_due() -> None:
    assert Schedule([(0.0, 0.0, 0.0)], 0.1).due(0) == inf


@pytest.mark.parametrize("pieces", [[(0.0, 1.0, 1.0)], [(0.0, 1.0, 3.0), (5.0, 0.5, 0.5), (6.0, 4.0, 4.0)]])
def test_clients_with_offsets_interleave_into_the_schedule_of_their_sum(pieces: Pieces) -> None:
    clients, load = 5, 50.0
    shares = [(t, low * load / clients, high * load / clients) for t, low, high in pieces]
    total = Schedule([(t, low * load, high * load) for t, low, high in pieces], 0.0)
    mean = (pieces[0][1] + pieces[0][2]) / 2 * load
    parts = [Schedule(shares, index / mean) for index in range(clients)]
    merged = sorted(part.due(n) for part in parts for n in range(200))
    assert merged == pytest.approx([total.due(n) for n in range(1000)], abs=1e-9)


# The template


def test_placeholders_are_filled_and_encoded() -> None:
    body = Template('{"n":{{sequence}},"k":"{{key:1000:base64}}","v":"{{value:48:base64}}","p":"100%"}', seed=3)
    documents = [json.loads(body.render(n)) for n in range(200)]
    assert [document["n"] for document in documents] == list(range(200))
    keys = {base64.b64decode(document["k"]) for document in documents}
    assert all(re.fullmatch(rb"key\d{3}", key) for key in keys)
    assert len(keys) > 100
    values = {base64.b64decode(document["v"], validate=True) for document in documents}
    assert {len(value) for value in values} == {48}
    assert len(values) > 100
    assert documents[0]["p"] == "100%"


def test_keys_stay_in_their_space_and_plain_values_are_text() -> None:
    body = Template("{{key:3}} {{value:20}} {{sequence:base64}}", seed=1)
    parts = [body.render(7).decode().split() for _ in range(100)]
    assert {key for key, _, _ in parts} == {"key0", "key1", "key2"}
    assert all(re.fullmatch(r"[a-z0-9]{20}", value) for _, value, _ in parts)
    assert {sequence for _, _, sequence in parts} == {base64.b64encode(b"7").decode()}


def test_the_seed_decides_the_bodies() -> None:
    text = "{{key:100000}}{{value:9}}"
    first, again, other = ([Template(text, seed).render(n) for n in range(9)] for seed in (1, 1, 2))
    assert first == again != other


# The configuration

GOOD: Json = {"rate": 17, "requests": {"url": "http://10.0.0.1:2379/v3/kv/put", "body": "x"}}


def with_request(**fields: object) -> Json:
    return {**GOOD, "requests": {"url": "http://h/", **fields}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"requests": GOOD["requests"]}, "rate: found None, expected a number >= 0"),
        ({**GOOD, "rate": "17"}, "rate: found '17', expected a number"),
        ({**GOOD, "rate": True}, "rate: found True"),
        ({**GOOD, "rate": float("nan")}, "rate: found nan"),
        ({**GOOD, "profile": [[0, 1]]}, "rate: found beside profile"),
        ({"requests": GOOD["requests"], "profile": [[1, 5]]}, "profile: expected starts that begin at 0"),
        ({"requests": GOOD["requests"], "profile": [[0, 5], [0, 6]]}, "profile: expected starts that begin at 0"),
        ({"requests": GOOD["requests"], "profile": [[0, 5, 6]]}, "a last piece of constant rate"),
        ({"requests": GOOD["requests"], "profile": [[0, -5]]}, "profile: found [0, -5], expected [start s, rate]"),
        ({**GOOD, "rrate": 1}, "unknown field rrate"),
        ({**GOOD, "timeout_s": 0}, "timeout_s: found 0.0, expected a number >= 0.001"),
        ({**GOOD, "listen": "18600"}, "listen: found '18600', expected ADDRESS:PORT"),
        ({**GOOD, "start": "later"}, "start: found 'later', expected 'now' or 'go'"),
        ({**GOOD, "targets": ["http://a"]}, "expected base URLs and a path"),
        (with_request(url="https://h/"), "requests.url: found 'https://h/', expected http://HOST:PORT/PATH"),
        (with_request(method="HEAD"), "requests.method: found 'HEAD', expected one of GET"),
        (with_request(more=1), "unknown field requests.more"),
        (with_request(headers={"X": "a\r\nb"}), "requests.headers: found 'X'"),
        (with_request(headers={"Connection": "close"}), "Connection is set by the generator itself"),
        (with_request(body="{{nonce}}"), "found placeholder {{nonce}}, expected {{sequence}}"),
        (with_request(body="{{key}}"), "found placeholder {{key}}"),
        (with_request(body="{{key:3"), "a placeholder {{ is not closed"),
        ([], "document: found [], expected an object"),
    ],
)
def test_a_wrong_configuration_is_named(config: object, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Config(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"rate": 1}', "requests: found None, expected an object"),
        ('{"rate": ', "Expecting value"),
        ('{"rate": 1, "requests": {"url": "http://no.such.host.invalid/"}}', "has no address"),
    ],
)
def test_a_wrong_file_is_one_line_and_exit_code_2(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    ended = subprocess.run([sys.executable, SCRIPT, "--config", path], capture_output=True, text=True, timeout=10)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"load_generator: {path}: ")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_missing_file_and_a_wrong_command_line_are_exit_code_2(tmp_path: Path) -> None:
    for arguments in (["--config", str(tmp_path / "none.json")], []):
        ended = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=10)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


def test_a_taken_port_is_one_line_and_exit_code_1(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    first = start(GOOD | {"requests": {"url": "http://127.0.0.1:9/"}})
    second = start(GOOD | {"requests": {"url": "http://127.0.0.1:9/"}, "listen": f"127.0.0.1:{first.port}"})
    _, complaint = second.process.communicate(timeout=10)
    assert second.process.returncode == 1
    assert complaint.count("\n") == 1
    assert "Address already in use" in complaint


def test_little_is_imported() -> None:
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import load_generator; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    slow = {"asyncio", "argparse", "dataclasses", "logging", "pathlib", "ssl", "typing", "urllib"}
    assert "load_generator" in loaded.split()
    assert not slow & set(loaded.split())


# Histograms and the text of the metrics


def test_buckets_are_ten_per_decade_and_never_far_apart() -> None:
    ratios = [upper / lower for lower, upper in pairwise(BOUNDS)]
    assert (BOUNDS[0], BOUNDS[-1], len(BOUNDS)) == (0.0001, 100.0, 61)
    assert 1.2 < min(ratios) <= max(ratios) < 1.3


def test_a_value_is_counted_in_every_bucket_from_its_own() -> None:
    metrics = Metrics("put")
    for value in (0.0, 0.0001, 0.00011, 0.09, 0.1, 99.0, 101.0):
        metrics.latency.observe(value)
    text = metrics.exposition().decode()
    (family,) = [family for family in text_string_to_metric_families(text) if family.name == "latency_s"]
    counts = {s.labels["le"]: s.value for s in family.samples if s.name == "latency_s_bucket"}
    found = [counts[edge] for edge in ("0.0001", "0.000125", "0.08", "0.1", "80.0", "100.0", "+Inf")]
    assert found == [2, 3, 3, 5, 5, 6, 7]
    assert list(counts.values()) == sorted(counts.values())
    assert all(s.labels["workload"] == "put" for s in family.samples)


def test_the_metrics_have_their_names_and_types_before_anything_was_sent() -> None:
    families = {f.name: f for f in text_string_to_metric_families(Metrics("put").exposition().decode())}
    assert {name: family.type for name, family in families.items()} == {
        "latency_s": "histogram",
        "lateness_s": "histogram",
        "latency_squared_s": "counter",
        "errors": "counter",
        "benchmark_duration": "counter",
        "due": "counter",
        "submitted": "counter",
        "inflight": "gauge",
        "start_time_s": "gauge",
        "process_cpu_seconds": "counter",
    }
    assert {sample.labels["error_type"] for sample in families["errors"].samples} >= {"timeout", "connection"}
    values = [s.value for name, family in families.items() for s in family.samples if name != "process_cpu_seconds"]
    assert set(values) == {0.0}


# Responses

OK = b"HTTP/1.1 200 OK\r\n"
RESPONSES = [
    (OK + b"Content-Length: 5\r\n\r\nhello", True),
    (OK + b"content-length:0\r\n\r\n", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    (OK + b"CONNECTION:  Close\r\nContent-Length: 1\r\n\r\nx", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", False),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", True),
    (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;q=1\r\n\r\n\r\n345678\r\n0\r\n\r\n", True),
    (OK + b"Transfer-Encoding: Chunked\r\nConnection: close\r\n\r\n0\r\nTrailer: 1\r\n\r\n", False),
]


@pytest.mark.parametrize(("data", "keep_alive"), RESPONSES)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_a_response_is_complete_at_its_last_byte_however_it_is_cut(data: bytes, keep_alive: bool, step: int) -> None:
    response = Response()
    for _ in range(2):  # a connection is used again
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        assert [response.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert response.keep_alive is keep_alive
        response.reset()


def test_a_body_without_length_ends_with_the_connection() -> None:
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
        b"HTTP/1.1 100 Continue\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1\r\n\r\nxy",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP",
        OK + b"X: " + b"y" * 70_000,
    ],
)
def test_what_is_no_response_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Response().feed(data)


# Against the truth


@pytest.mark.parametrize(
    ("model", "rate"),
    [("constant:0.09", 100), ("exponential:0.1", 150), ("bimodal:0.05:0.3:0.1", 150), ("stall:0.01:0.5:2", 100)],
)
def test_latency_is_what_the_server_and_the_schedule_say(
    tmp_path: Path, start: Callable[[Json], Running], model: str, rate: float
) -> None:
    seconds = 3
    with running_truth(model, tmp_path) as truth:
        generator = start(to(truth.url(), rate, seconds))
        began = generator.go()
        found = generator.ended(seconds * int(rate))
        exact = latencies(truth.stop(), began, [(0, rate, rate), (seconds, 0, 0)])
    assert found["latency_s_count"] == found["submitted"] == found["due"] == len(exact) == seconds * rate
    assert errors(found) == found["inflight"] == 0
    assert found["latency_s_sum"] / len(exact) == pytest.approx(statistics.fmean(exact), rel=0.01)
    assert found["latency_squared_s"] == pytest.approx(sum(value * value for value in exact), rel=0.02)
    for q in (0.5, 0.9, 0.99):
        lower, upper = quantile_bounds(found, "latency_s", q)
        assert lower * 0.99 <= exact[int(q * len(exact) + 0.999999) - 1] <= upper * 1.01


def test_a_stall_is_seen_by_every_request_that_was_due_in_it(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    with running_truth("stall:0.01:0.5:2", tmp_path) as truth:
        generator = start(to(truth.url(), 100, 3))
        generator.go()
        found = generator.ended(300)
    assert quantile_bounds(found, "latency_s", 0.99)[0] >= 1.6
    assert found["latency_s_count"] - found["latency_s_bucket 1.0"] == pytest.approx(
        100, abs=10
    )  # due in its first half
    assert quantile_bounds(found, "lateness_s", 0.9)[1] <= 0.1  # sent on time nevertheless


def test_requests_are_sent_when_they_are_due(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    with running_truth("constant:0", tmp_path) as truth:
        generator = start(to(truth.url(), 200, 2))
        generator.go()
        found = generator.ended(400)
    assert found["lateness_s_count"] == 400
    # Where other work cannot be kept from the processor only most of them can be promised.
    assert quantile_bounds(found, "lateness_s", 0.99 if FAVOURED else 0.5)[1] <= 0.001


@pytest.mark.parametrize("path", ["chunked", "dribble", "close", "http10", "idle-close"])
def test_every_framing_is_understood(tmp_path: Path, start: Callable[[Json], Running], path: str) -> None:
    with running_truth("constant:0.001", tmp_path) as truth:
        generator = start(to(truth.url(f"/{path}"), 10, 1))
        generator.go()
        found = generator.ended(10)
    assert (found["latency_s_count"], errors(found)) == (10, 0)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("status/302", "http_3xx"),
        ("status/404", "http_4xx"),
        ("status/503", "http_5xx"),
        ("drop", "connection"),
        ("truncate", "protocol"),
        ("garbage", "protocol"),
        ("overlong", "protocol"),
        ("hang", "timeout"),
    ],
)
def test_failures_are_counted_by_kind(tmp_path: Path, start: Callable[[Json], Running], path: str, kind: str) -> None:
    with running_truth("constant:0.001", tmp_path) as truth:
        generator = start(to(truth.url(f"/{path}"), 50, 0.4, timeout_s=0.3))
        generator.go()
        found = generator.ended(20)
    assert {name: value for name, value in found.items() if name.startswith("errors ") and value} == {
        f"errors {kind}": 20
    }
    assert found["latency_s_count"] == found["latency_s_sum"] == found["inflight"] == 0


def test_a_killed_server_is_seen_and_the_schedule_goes_on(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    with running_truth("constant:0.05", tmp_path) as truth:
        generator = start({"rate": 100, "requests": {"url": truth.url()}})
        generator.go()
        generator.wait(lambda m: m["latency_s_count"] > 20)
        truth.process.kill()
        killed = generator.metrics()
        later = generator.wait(lambda m: m["errors connection"] > 50)
    assert later["due"] >= killed["due"] + 40
    assert later["submitted"] == later["due"] == later["latency_s_count"] + errors(later) + later["inflight"]
    with running_truth("constant:0.05", tmp_path, truth.port):
        generator.wait(lambda m: m["latency_s_count"] > later["latency_s_count"] + 20)


def test_a_full_pool_makes_requests_wait_in_order_and_the_wait_counts(
    tmp_path: Path, start: Callable[[Json], Running]
) -> None:
    with running_truth("constant:0.1", tmp_path) as truth:
        generator = start(to(truth.url(), 100, 0.3, max_connections=2))
        began = generator.go()
        found = generator.ended(30)
        log = truth.stop()
    assert [entry.sequence // 2 for entry in log] == [n // 2 for n in range(30)]
    assert all(later.arrival >= earlier.completion - 0.01 for earlier, later in zip(log, log[2:], strict=False))
    exact = latencies(log, began, [(0, 100, 100), (0.3, 0, 0)])
    assert exact[-1] > 1.1
    assert found["latency_s_sum"] == pytest.approx(sum(exact), rel=0.01)
    assert found["lateness_s_sum"] == pytest.approx(sum(exact) - 30 * 0.1, rel=0.05)


def test_a_request_times_out_counted_from_when_it_was_due(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    with running_truth("constant:0.2", tmp_path) as truth:
        generator = start(to(truth.url(), 100, 0.2, max_connections=1, timeout_s=0.5))
        generator.go()
        found = generator.ended(20)
    assert found["due"] == 20
    assert found["latency_s_count"] == 2  # the third would be answered after 0.6 s
    assert found["errors timeout"] == 18
    assert found["inflight"] == 0


def test_requests_that_wait_too_long_are_never_sent(tmp_path: Path) -> None:
    with running_truth("constant:0", tmp_path) as truth:
        config = Config({"rate": 1, "requests": {"url": truth.url("/hang")}, "max_connections": 1, "timeout_s": 5})
        metrics = Metrics("put")
        target = load_generator.Target(load_generator.Loop(), metrics, config, *config.targets[0])
        due = time.monotonic()
        for n in range(3):
            target.submit(due + n, n)
        assert target.expire(due + 4.9) == due + 5
        assert metrics.errors["timeout"] == 0
        target.expire(due + 8)
    assert (metrics.errors["timeout"], metrics.submitted, metrics.inflight) == (3, 1, 0)


def test_targets_take_turns(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    with running_truth("constant:0", tmp_path) as one, running_truth("constant:0", tmp_path) as two:
        generator = start({**to("/x", 50, 0.4), "targets": [one.url(""), two.url("")]})
        generator.go()
        generator.ended(20)
        logs = one.stop(), two.stop()
    assert [sorted(entry.sequence for entry in log) for log in logs] == [list(range(0, 20, 2)), list(range(1, 20, 2))]


def test_the_rate_follows_its_profile(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    profile = [[0, 50], [1, 200], [1.5, 0, 200], [2.5, 0]]
    with running_truth("constant:0", tmp_path) as truth:
        generator = start({"profile": profile, "requests": {"url": truth.url(), "body": "{{sequence}}"}})
        began = generator.go()
        found = generator.ended(250)
        arrivals = [entry.arrival - began for entry in truth.stop()]
    assert found["submitted"] == 250
    counts = Counter(min(2, int(at >= 1) + int(at >= 1.5)) for at in arrivals)
    assert [counts[index] for index in range(3)] == pytest.approx([50, 100, 100], abs=3)
    schedule = Schedule([(0, 50, 50), (1, 200, 200), (1.5, 0, 200), (2.5, 0, 0)], 0.0)
    delays = [at - schedule.due(n) for n, at in enumerate(sorted(arrivals))]
    assert 0 <= statistics.median(delays) < 0.005


def test_several_generators_offer_what_was_asked(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    shares = (17, 17, 16)
    with running_truth("constant:0.001", tmp_path) as truth:
        generators = [start(to(truth.url(), share, 2, offset_s=i / 50)) for i, share in enumerate(shares)]
        at = time.time() + 0.3
        for generator in generators:
            generator.say(f"go {at:.6f}")
        found = [generator.ended(2 * share) for generator, share in zip(generators, shares, strict=True)]
        arrivals = sorted(entry.arrival for entry in truth.stop())
    assert abs(sum(metrics["submitted"] for metrics in found) - 100) <= 1
    assert [metrics["start_time_s"] for metrics in found] == pytest.approx([at, at + 0.02, at + 0.04], abs=0.001)
    assert arrivals[-1] - arrivals[0] == pytest.approx(1.98, abs=0.05)


# The life of the process


def test_metrics_answer_before_go_and_nothing_is_sent(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    with running_truth("constant:0", tmp_path) as truth:
        generator = start({"rate": 1000, "requests": {"url": truth.url()}})
        assert generator.metrics()["due"] == generator.metrics()["benchmark_duration"] == 0
        before = time.time()
        generator.say("go")
        found = generator.ended(1)
    assert before - 0.01 <= found["start_time_s"] <= time.time()
    assert 0 < found["benchmark_duration"] <= time.time() - before
    assert found["process_cpu_seconds"] > 0


def test_it_starts_by_itself_if_the_configuration_says_so(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    with running_truth("constant:0", tmp_path) as truth:
        generator = start({"rate": 100, "requests": {"url": truth.url()}, "start": "now"})
        assert generator.ended(5)["submitted"] >= 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_a_second_even_if_requests_hang(
    tmp_path: Path, start: Callable[[Json], Running], number: int
) -> None:
    with running_truth("constant:0", tmp_path) as truth:
        generator = start({"rate": 100, "requests": {"url": truth.url("/hang")}, "max_connections": 10})
        generator.say("go")
        generator.wait(lambda m: m["inflight"] == 10)
        generator.process.send_signal(number)
        assert generator.process.wait(1) == 0


def test_a_signal_before_go_ends_it(start: Callable[[Json], Running]) -> None:
    generator = start({"rate": 100, "requests": {"url": "http://127.0.0.1:9/"}})
    generator.process.terminate()
    assert generator.process.wait(1) == 0


def test_the_end_of_input_ends_it_before_go_and_not_after(tmp_path: Path, start: Callable[[Json], Running]) -> None:
    with running_truth("constant:0", tmp_path) as truth:
        waiting, working = (start({"rate": 100, "requests": {"url": truth.url()}}) for _ in range(2))
        working.say("go")
        for generator in (waiting, working):
            assert generator.process.stdin is not None
            generator.process.stdin.close()
        assert waiting.process.wait(5) == 0
        first = working.ended(5)
        assert working.ended(int(first["due"]) + 20)["errors connection"] == 0


def test_a_signal_and_the_end_of_input_at_once_end_it_once(start: Callable[[Json], Running]) -> None:
    generator = start({"rate": 100, "requests": {"url": "http://127.0.0.1:9/"}})
    generator.metrics()  # it is in its loop
    generator.process.send_signal(signal.SIGSTOP)  # so that it meets both in one turn
    assert generator.process.stdin is not None
    generator.process.stdin.close()
    generator.process.terminate()
    generator.process.send_signal(signal.SIGCONT)
    assert generator.process.wait(2) == 0


def test_input_that_is_not_go_is_refused(start: Callable[[Json], Running]) -> None:
    generator = start({"rate": 100, "requests": {"url": "http://127.0.0.1:9/"}})
    generator.say("stop")
    _, complaint = generator.process.communicate(timeout=5)
    assert generator.process.returncode == 2
    assert complaint == "load_generator: standard input: found b'stop', expected go or go UNIX_TIME\n"


def test_only_the_metrics_path_is_served(start: Callable[[Json], Running]) -> None:
    generator = start({"rate": 0, "requests": {"url": "http://127.0.0.1:9/"}})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{generator.port}/", timeout=5)


@pytest.mark.parametrize("path", ["", "close", "drop", "garbage"])
def test_connections_leave_no_reference_cycles(tmp_path: Path, path: str) -> None:
    with running_truth("constant:0", tmp_path) as truth:
        config = Config({"rate": 1, "requests": {"url": truth.url(f"/{path}")}})
        loop, metrics = load_generator.Loop(), Metrics("put")
        target = load_generator.Target(loop, metrics, config, *config.targets[0])
        gc.collect()
        gc.disable()
        try:
            for n in range(20):
                target.submit(time.monotonic(), n)
                while metrics.inflight:
                    loop.run_once(1.0)
            target.expire(inf)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            assert not [item for item in gc.garbage if type(item).__module__ == load_generator.__name__]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

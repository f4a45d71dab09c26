"""The load generator as a process, measured against a server that knows the exact times."""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.reference_server import REAL_TIME, Entry, running_server, wake_up_delay
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from prometheus_client.parser import text_string_to_metric_families

from benchmark.host_scripts import build_archive
from benchmark.host_scripts.load_generator.metrics import BOUNDS
from benchmark.host_scripts.load_generator.schedule import Schedule

Json = dict[str, object]
Segments = list[tuple[float, float, float]]
COMMAND = (sys.executable, "-I", "-S")
GOOD: Json = {"rate": 17, "requests": {"url": "http://10.0.0.1:2379/v3/kv/put", "body": "x"}}


def archive(folder: Path) -> Path:
    """Write the generator as it is copied to hosts."""
    path = folder / "load_generator.pyz"
    if not path.exists():
        path.write_bytes(build_archive("load_generator"))
    return path


class Generator:
    """A load generator running as a process."""

    def __init__(self, folder: Path, config: Json) -> None:
        path = folder / f"config-{time.monotonic_ns()}.json"
        path.write_text(json.dumps({"listen": "127.0.0.1:0", **config}))
        command = [*REAL_TIME, *COMMAND, str(archive(folder)), "--config", str(path)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout is not None
        self.port = self.process.stdout.readline().rpartition(" ")[2].strip()

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def start_load(self) -> float:
        """Start the load in 0.2 s; return that moment on the monotonic clock."""
        start = time.time() + 0.2
        self.send(f"go {start:.6f}")
        return time.monotonic() + start - time.time()

    def metrics(self) -> dict[str, float]:
        """Scrape the metrics: samples by name, or by name and value of the last label."""
        samples = [sample for family in text_string_to_metric_families(self.exposition()) for sample in family.samples]
        # The parser appends _total to the name of a counter that has none.
        labels = [sample.labels.get("le") or sample.labels.get("error_type") or "" for sample in samples]
        names = [f"{s.name.removesuffix('_total')} {label}".strip() for s, label in zip(samples, labels, strict=True)]
        return dict(zip(names, (sample.value for sample in samples), strict=True))

    def exposition(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def wait_completed(self, requests: int) -> dict[str, float]:
        """Wait until that many requests have completed or failed; return the metrics then."""
        return self.wait(lambda m: m["latency_s_count"] + errors(m) >= requests)

    def wait(self, condition: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        deadline = time.monotonic() + 15
        while not condition(found := self.metrics()):
            assert time.monotonic() < deadline, found
            time.sleep(0.01)  # leave the processor to the generator
        return found

    def stop(self) -> None:
        """Stop it and wait until it has written its log."""
        self.process.terminate()
        assert self.process.wait(5) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


def read_log(path: Path) -> list[tuple[str, int, HdrHistogram]]:
    """Return tag, number of the interval of 0.1 s since the epoch, and histogram of each line of a latency log."""
    reader = HistogramLogReader(str(path), HdrHistogram(1, 3_600_000_000, 3))
    with reader.input_file:
        found = list(iter(reader.get_next_interval_histogram, None))
    return [(each.get_tag(), round(each.get_start_time_stamp() / 100), each) for each in found]


def merged(log: Sequence[tuple[str, int, HdrHistogram]]) -> dict[str, HdrHistogram]:
    """Return the sum of the histograms of each tag."""
    total: dict[str, HdrHistogram] = {}
    for tag, _, each in log:
        total.setdefault(tag, HdrHistogram(1, 3_600_000_000, 3)).add(each)
    return total


def running(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def errors(metrics: dict[str, float]) -> float:
    return sum(value for name, value in metrics.items() if name.startswith("errors "))


def quantile_bounds(metrics: dict[str, float], name: str, q: float) -> tuple[float, float]:
    """Return the bucket that holds the value of rank ceil(q n)."""
    rank = q * metrics[f"{name}_count"]
    counts = [metrics[f"{name}_bucket {edge!r}"] for edge in BOUNDS]
    index = next(i for i, count in enumerate(counts) if count >= rank)
    return (BOUNDS[index - 1] if index else 0.0), BOUNDS[index]


def latencies(log: Sequence[Entry], start: float, segments: Segments) -> list[float]:
    """Return the exact latencies, sorted: from due time to the completion in the server's log."""
    schedule = Schedule(segments, 0.0)
    return sorted(entry.completion - start - schedule.due(entry.sequence) for entry in log)


def to(url: str, rate: float, seconds: float, **more: object) -> Json:
    """Return a configuration of exactly rate x seconds requests, numbered in their bodies."""
    profile = [[0, rate], [seconds, 0]]
    return {"profile": profile, "requests": {"url": url, "body": "{{sequence}}"}, **more}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Json], Generator]]:
    with ExitStack() as stack:

        def begin(config: Json) -> Generator:
            running = Generator(tmp_path, config)
            stack.callback(running.close)
            return running

        yield begin


def at_most(exact: list[float], q: float) -> float:
    """A quantile of sorted latencies if a loaded machine has delayed 3 % of the responses by any time."""
    return exact[min(math.ceil((q + 0.03) * len(exact)), len(exact)) - 1]


@pytest.mark.timing
@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ("constant:0.09", 100),
        ("exponential:0.1", 150),
        ("bimodal:0.05:0.3:0.1", 150),
        ("stall:0.01:0.5:2", 100),
        ("stall:0.01:0.5:0.3", 100),
    ],
)
def test_latencies_match_the_log_of_the_server(
    tmp_path: Path, start: Callable[[Json], Generator], model: str, rate: float
) -> None:
    seconds = 3
    with running_server(model, tmp_path) as server:
        generator = start(to(server.url(), rate, seconds, latency_log=str(tmp_path / "latencies.hlog")))
        with wake_up_delay(seconds=seconds) as machine_delay:
            began = generator.start_load()
            found = generator.wait_completed(seconds * int(rate))
            allowed = 0.0005 + machine_delay()
        generator.stop()
        entries = server.stop()
    exact = latencies(entries, began, [(0, rate, rate), (seconds, 0, 0)])
    assert found["latency_s_count"] == found["submitted"] == found["due"] == len(exact) == seconds * rate
    assert errors(found) == found["inflight"] == 0
    # 1 %, and what a loaded machine adds between the server's clock and the generator's.
    mean = statistics.fmean(exact)
    assert found["latency_s_sum"] / len(exact) == pytest.approx(mean, rel=0.01, abs=allowed)
    squares = sum(value * value for value in exact)
    assert found["latency_squared_s"] == pytest.approx(squares, rel=0.02, abs=2 * len(exact) * mean * allowed)
    for q in (0.5, 0.9, 0.99):
        lower, upper = quantile_bounds(found, "latency_s", q)
        assert lower * 0.99 - allowed <= at_most(exact, q)
        assert exact[math.ceil(q * len(exact)) - 1] <= upper * 1.01
    log = read_log(tmp_path / "latencies.hlog")
    total = merged(log)
    assert {tag: each.total_count for tag, each in total.items()} == {
        "default": len(exact),
        "_scheduling_delay": len(exact),
    }
    for q in (0.5, 0.9, 0.99, 1.0):
        value = total["default"].get_value_at_percentile(100 * q) / 1e6
        assert value >= exact[math.ceil(q * len(exact)) - 1] * 0.99 - allowed
        assert value <= at_most(exact, q) * 1.01 + allowed * (1 if q < 0.97 else 10)
    # Completions by interval of 0.1 s: the same as in the server's log, but for those at the edges of intervals.
    done = Counter({start: each.total_count for tag, start, each in log if tag == "default"})
    to_unix = time.time() - time.monotonic()
    expected_done = Counter(math.floor((entry.completion + to_unix) * 10) for entry in entries)
    assert (done - expected_done).total() <= 0.05 * len(exact)


@pytest.mark.timing
def test_a_stall_is_visible_in_the_intervals_of_the_log(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("stall:0.01:0.5:0.3", tmp_path) as server:
        generator = start(to(server.url(), 100, 1.5, latency_log=str(tmp_path / "latencies.hlog")))
        generator.start_load()
        generator.wait_completed(150)
        generator.stop()
    log = read_log(tmp_path / "latencies.hlog")
    sent, done = ({start for tag, start, _ in log if tag == name} for name in ("_scheduling_delay", "default"))
    assert len(sent) >= 14  # sent all the time, but for what a loaded machine delays
    assert 2 <= len(sent - done) <= 4


@pytest.mark.timing
def test_every_request_due_during_a_stall_measures_it(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("stall:0.01:0.5:2", tmp_path) as server:
        generator = start(to(server.url(), 100, 3))
        generator.start_load()
        found = generator.wait_completed(300)
    assert quantile_bounds(found, "latency_s", 0.99)[0] >= 1.6
    # Those due in the first half of the stall, and what a loaded machine delays behind them.
    assert 90 <= found["latency_s_count"] - found["latency_s_bucket 1.0"] <= 150
    assert quantile_bounds(found, "lateness_s", 0.9)[1] <= 0.1  # still sent on time


@pytest.mark.timing
def test_requests_are_sent_when_they_are_due(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("constant:0", tmp_path) as server:
        generator = start(to(server.url(), 200, 2))
        with wake_up_delay(seconds=2.2) as machine_delay:
            generator.start_load()
            found = generator.wait_completed(400)
            allowed = 0.001 + 3 * machine_delay()
    assert found["lateness_s_count"] == 400
    # A loaded machine delays any process: 1 ms, and three times the delay of one that only sleeps.
    assert quantile_bounds(found, "lateness_s", 0.99)[1] <= allowed


def workers(generator: Generator) -> list[int]:
    """Return the processes that send requests."""
    pid = generator.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_several_processes_send_what_one_would_send(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    log = tmp_path / "latencies.hlog"
    with running_server("constant:0.01", tmp_path) as one, running_server("constant:0.01", tmp_path) as two:
        targets = [one.url(""), two.url("")]
        generator = start(to("/x", 200, 1, targets=targets, processes=3, max_connections=50, latency_log=str(log)))
        assert len(workers(generator)) == 3
        began = generator.start_load()
        found = generator.wait_completed(200)
        generator.stop()
        logs = one.stop(), two.stop()
    assert found["processes"] == 3
    assert found["latency_s_count"] == found["due"] == found["submitted"] == found["lateness_s_count"] == 200
    assert [sorted(entry.sequence for entry in each) for each in logs] == [[*range(0, 200, 2)], [*range(1, 200, 2)]]
    schedule = Schedule([(0, 200, 200), (1, 0, 0)], 0.0)
    assert all(entry.arrival >= began + schedule.due(entry.sequence) - 0.002 for each in logs for entry in each)
    lines = read_log(log)
    assert {tag: each.total_count for tag, each in merged(lines).items()} == {"default": 200, "_scheduling_delay": 200}
    keys = [(start, tag) for tag, start, _ in lines]
    assert len(keys) == len(set(keys))
    assert [start for start, _ in keys] == sorted(start for start, _ in keys)


def test_requests_are_sent_in_proportion_to_their_weights(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    log = tmp_path / "latencies.hlog"
    with running_server("constant:0", tmp_path) as server:
        requests = [
            {"workload": "get", "weight": 3, "url": server.url("/x")},
            {"workload": "put", "url": server.url("/status/503")},
            {"workload": "never", "weight": 0, "url": server.url("/x")},
        ]
        config: Json = {"profile": [[0, 1000], [1, 0]], "requests": requests, "processes": 2}
        generator = start({**config, "timeout_s": 2, "latency_log": str(log)})
        generator.start_load()
        generator.wait(lambda m: m["due"] == 1000 and not m["inflight"])
        text = generator.exposition()
        generator.stop()
    samples = {
        (sample.labels.get("workload"), sample.labels.get("error_type")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in ("latency_s_count", "errors_total") or sample.name == "errors"
    }
    assert samples["get", None] == pytest.approx(750, abs=70)  # five standard deviations
    assert samples["get", None] + samples[None, "http_5xx"] == 1000
    assert samples["put", None] == samples["never", None] == 0
    total = merged(read_log(log))
    assert {tag: each.total_count for tag, each in total.items()} == {
        "get": samples["get", None],
        "put.http_5xx": samples[None, "http_5xx"],
        "_scheduling_delay": 1000,
    }


def test_all_keys_are_written_before_the_load_and_outside_the_metrics(
    tmp_path: Path, start: Callable[[Json], Generator]
) -> None:
    log = tmp_path / "latencies.hlog"
    with running_server("constant:0.001", tmp_path) as server:
        get = {"workload": "get", "url": server.url("/x"), "body": "{{sequence}}"}
        put = {"workload": "put", "weight": 0, "url": server.url("/x"), "body": "{{key:500}}", "preload": [1, 2]}
        config: Json = {"profile": [[0, 100], [0.2, 0]], "requests": [get, put], "processes": 2}
        generator = start({**config, "latency_log": str(log)})
        ready = generator.metrics()
        generator.start_load()
        found = generator.wait(lambda m: m["due"] == 20 and not m["inflight"])
        generator.stop()
        entries = server.stop()
    assert ready["submitted"] == 0
    assert found["submitted"] == 20
    assert Counter(entry.sequence >= 0 for entry in entries) == {True: 20, False: 250}
    assert merged(read_log(log)).keys() == {"get", "_scheduling_delay"}


def test_failures_before_the_load_end_the_generator(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("constant:0", tmp_path) as server:
        request = {"url": server.url("/status/503"), "body": "{{key:1}}", "preload": [0, 1]}
        generator = start({"rate": 1, "requests": request})
        _, complaint = generator.process.communicate(timeout=10)
    assert generator.process.returncode == 1
    assert complaint == (
        "load_generator: could not write all keys before the load: default: 1 http_5xx\n"
        "load_generator: process 1 of 1 ended unexpectedly\n"
    )


def test_generator_ends_with_an_error_if_a_process_is_killed(start: Callable[[Json], Generator]) -> None:
    generator = start({"rate": 10, "requests": {"url": "http://127.0.0.1:9/"}, "processes": 2})
    first, second = workers(generator)
    os.kill(first, signal.SIGKILL)
    _, complaint = generator.process.communicate(timeout=5)
    assert generator.process.returncode == 1
    assert complaint == "load_generator: process 1 of 2 ended unexpectedly\n"
    wait_until(lambda: not running(second))


def test_processes_end_when_the_generator_is_killed(start: Callable[[Json], Generator]) -> None:
    generator = start({"rate": 10, "requests": {"url": "http://127.0.0.1:9/"}, "processes": 2, "start": "now"})
    started = workers(generator)
    generator.process.kill()
    wait_until(lambda: not any(running(pid) for pid in started))


def test_a_process_that_does_not_stop_is_an_error_and_the_log_has_the_others(
    tmp_path: Path, start: Callable[[Json], Generator]
) -> None:
    log = tmp_path / "latencies.hlog"
    with running_server("constant:0", tmp_path) as server:
        generator = start({"rate": 100, "requests": {"url": server.url()}, "processes": 2, "latency_log": str(log)})
        stuck = workers(generator)[0]
        generator.send("go")
        generator.wait(lambda m: m["latency_s_count"] > 10)
        os.kill(stuck, signal.SIGSTOP)
        generator.process.terminate()
        code = generator.process.wait(10)
        os.kill(stuck, signal.SIGCONT)
        _, complaint = generator.process.communicate(timeout=10)
    assert (code, complaint) == (1, "load_generator: 1 of 2 processes did not stop\n")
    assert merged(read_log(log))["default"].total_count > 0
    wait_until(lambda: not running(stuck))


def test_signal_to_the_whole_group_stops_all_processes(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    log = tmp_path / "latencies.hlog"
    with running_server("constant:0.2", tmp_path) as server:
        generator = start({"rate": 100, "requests": {"url": server.url()}, "processes": 2, "latency_log": str(log)})
        generator.send("go")
        generator.wait(lambda m: m["inflight"] >= 10)
        for pid in (*workers(generator), generator.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert generator.process.wait(2) == 0
    total = merged(read_log(log))
    assert total["default"].total_count == total["_scheduling_delay"].total_count >= 10  # those in flight completed


@pytest.mark.parametrize("path", ["chunked", "dribble", "close", "http10", "idle-close"])
def test_every_framing_is_read(tmp_path: Path, start: Callable[[Json], Generator], path: str) -> None:
    with running_server("constant:0.001", tmp_path) as server:
        generator = start(to(server.url(f"/{path}"), 10, 1))
        generator.start_load()
        found = generator.wait_completed(10)
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
def test_failures_are_counted_by_type(tmp_path: Path, start: Callable[[Json], Generator], path: str, kind: str) -> None:
    with running_server("constant:0.001", tmp_path) as server:
        generator = start(
            to(server.url(f"/{path}"), 50, 0.4, timeout_s=0.3, latency_log=str(tmp_path / "latencies.hlog"))
        )
        generator.start_load()
        found = generator.wait_completed(20)
    assert {name: value for name, value in found.items() if name.startswith("errors ") and value} == {
        f"errors {kind}": 20
    }
    assert found["latency_s_count"] == found["latency_s_sum"] == found["inflight"] == 0
    generator.stop()
    total = merged(read_log(tmp_path / "latencies.hlog"))
    assert total[f"default.{kind}"].total_count == 20
    assert total[f"default.{kind}"].get_min_value() >= 299_000  # at least the timeout
    assert total.keys() == {f"default.{kind}", "_scheduling_delay"}


def test_schedule_continues_after_the_server_is_killed(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("constant:0.05", tmp_path) as server:
        generator = start({"rate": 100, "requests": {"url": server.url()}})
        generator.start_load()
        generator.wait(lambda m: m["latency_s_count"] > 20)
        server.process.kill()
        killed = generator.metrics()
        later = generator.wait(lambda m: m["errors connection"] > 50)
    assert later["due"] >= killed["due"] + 40
    assert later["submitted"] == later["due"] == later["latency_s_count"] + errors(later) + later["inflight"]
    with running_server("constant:0.05", tmp_path, server.port):
        generator.wait(lambda m: m["latency_s_count"] > later["latency_s_count"] + 20)


@pytest.mark.timing
def test_requests_queue_in_order_for_connections_and_the_wait_counts(
    tmp_path: Path, start: Callable[[Json], Generator]
) -> None:
    with running_server("constant:0.1", tmp_path) as server:
        generator = start(to(server.url(), 100, 0.3, max_connections=2))
        began = generator.start_load()
        found = generator.wait_completed(30)
        log = server.stop()
    assert [entry.sequence // 2 for entry in log] == [n // 2 for n in range(30)]
    assert all(later.arrival >= earlier.completion - 0.01 for earlier, later in zip(log, log[2:], strict=False))
    exact = latencies(log, began, [(0, 100, 100), (0.3, 0, 0)])
    assert exact[-1] > 1.1
    assert found["latency_s_sum"] == pytest.approx(sum(exact), rel=0.05)
    assert found["lateness_s_sum"] == pytest.approx(sum(exact) - 30 * 0.1, rel=0.1)


@pytest.mark.timing
def test_timeout_counts_from_the_due_time(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("constant:0.2", tmp_path) as server:
        generator = start(to(server.url(), 100, 0.2, max_connections=1, timeout_s=0.5))
        generator.start_load()
        found = generator.wait_completed(20)
    assert found["due"] == 20
    assert found["latency_s_count"] == 2  # the third would complete after 0.6 s
    assert found["errors timeout"] == 18
    assert found["inflight"] == 0


def test_targets_are_used_in_round_robin_order(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("constant:0", tmp_path) as one, running_server("constant:0", tmp_path) as two:
        generator = start({**to("/x", 50, 0.4), "targets": [one.url(""), two.url("")]})
        generator.start_load()
        generator.wait_completed(20)
        logs = one.stop(), two.stop()
    assert [sorted(entry.sequence for entry in log) for log in logs] == [list(range(0, 20, 2)), list(range(1, 20, 2))]


@pytest.mark.timing
def test_rate_follows_the_profile(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    profile = [[0, 50], [1, 200], [1.5, 0, 200], [2.5, 0]]
    with running_server("constant:0", tmp_path) as server:
        generator = start({"profile": profile, "requests": {"url": server.url(), "body": "{{sequence}}"}})
        began = generator.start_load()
        found = generator.wait_completed(250)
        arrivals = [entry.arrival - began for entry in server.stop()]
    assert found["submitted"] == 250
    counts = Counter(min(2, int(at >= 1) + int(at >= 1.5)) for at in arrivals)
    assert [counts[index] for index in range(3)] == pytest.approx([50, 100, 100], abs=10)
    schedule = Schedule([(0, 50, 50), (1, 200, 200), (1.5, 0, 200), (2.5, 0, 0)], 0.0)
    delays = [at - schedule.due(n) for n, at in enumerate(sorted(arrivals))]
    assert 0 <= statistics.median(delays) < 0.02


@pytest.mark.timing
def test_several_generators_offer_the_requested_load(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    shares = (17, 17, 16)
    with running_server("constant:0.001", tmp_path) as server:
        generators = [start(to(server.url(), share, 2, offset_s=i / 50)) for i, share in enumerate(shares)]
        at = time.time() + 0.3
        for generator in generators:
            generator.send(f"go {at:.6f}")
        found = [generator.wait_completed(2 * share) for generator, share in zip(generators, shares, strict=True)]
        arrivals = sorted(entry.arrival for entry in server.stop())
    assert abs(sum(metrics["submitted"] for metrics in found) - 100) <= 1
    assert [metrics["start_time_s"] for metrics in found] == pytest.approx([at, at + 0.02, at + 0.04], abs=0.008)
    assert arrivals[-1] - arrivals[0] == pytest.approx(1.98, abs=0.2)


def test_metrics_are_served_before_go_and_nothing_is_sent(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("constant:0", tmp_path) as server:
        generator = start({"rate": 1000, "requests": {"url": server.url()}})
        assert generator.metrics()["due"] == generator.metrics()["benchmark_duration"] == 0
        before = time.time()
        generator.send("go")
        found = generator.wait_completed(1)
    assert before - 0.01 <= found["start_time_s"] <= time.time()
    assert 0 < found["benchmark_duration"] <= time.time() - before
    assert found["process_cpu_seconds"] > 0


def test_load_starts_immediately_with_start_now(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("constant:0", tmp_path) as server:
        generator = start({"rate": 100, "requests": {"url": server.url()}, "start": "now"})
        assert generator.wait_completed(5)["submitted"] >= 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_the_generator_within_a_second_even_if_requests_hang(
    tmp_path: Path, start: Callable[[Json], Generator], number: int
) -> None:
    with running_server("constant:0", tmp_path) as server:
        log = str(tmp_path / "latencies.hlog")
        requests: Json = {"requests": {"url": server.url("/hang")}, "max_connections": 10}
        generator = start({"rate": 100, **requests, "latency_log": log})
        generator.send("go")
        due = generator.wait(lambda m: m["inflight"] == 10)["due"]
        generator.process.send_signal(number)
        assert generator.process.wait(1) == 0
    total = merged(read_log(Path(log)))
    assert total["_scheduling_delay"].total_count == 10
    assert total["default.unanswered"].total_count >= due  # those that waited for a connection are among them


def test_a_killed_generator_leaves_a_readable_log(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("constant:0", tmp_path) as server:
        log = tmp_path / "latencies.hlog"
        generator = start({"rate": 500, "requests": {"url": server.url()}, "latency_log": str(log)})
        generator.send("go")
        generator.wait(lambda m: m["latency_s_count"] > 100)
        generator.process.kill()
        generator.process.wait()
    assert log.read_bytes().endswith(b"\n")
    assert merged(read_log(log))["default"].total_count >= 50


def test_a_full_disk_ends_the_generator_with_an_error(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    log = tmp_path / "latencies.hlog"
    with running_server("constant:0", tmp_path) as server:
        generator = start({"rate": 500, "requests": {"url": server.url()}, "latency_log": str(log)})
        limit = log.stat().st_size + 200
        resource.prlimit(generator.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        generator.send("go")
        _, complaint = generator.process.communicate(timeout=10)
    assert generator.process.returncode == 1
    assert complaint.startswith(f"load_generator: {log}: ")
    assert complaint.count("\n") == 1
    assert log.read_bytes().endswith(b"\n")
    assert log.stat().st_size <= limit


def test_signal_before_go_stops_the_generator(start: Callable[[Json], Generator]) -> None:
    generator = start({"rate": 100, "requests": {"url": "http://127.0.0.1:9/"}})
    generator.process.terminate()
    assert generator.process.wait(1) == 0


def test_end_of_input_stops_the_generator_only_before_go(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    with running_server("constant:0", tmp_path) as server:
        waiting, working = (start({"rate": 100, "requests": {"url": server.url()}}) for _ in range(2))
        working.send("go")
        for generator in (waiting, working):
            assert generator.process.stdin is not None
            generator.process.stdin.close()
        assert waiting.process.wait(5) == 0
        first = working.wait_completed(5)
        assert working.wait_completed(int(first["due"]) + 20)["errors connection"] == 0


def test_simultaneous_signal_and_end_of_input_stop_the_generator_once(start: Callable[[Json], Generator]) -> None:
    generator = start({"rate": 100, "requests": {"url": "http://127.0.0.1:9/"}})
    generator.metrics()  # it is in its event loop
    generator.process.send_signal(signal.SIGSTOP)  # so that it finds both in one iteration
    assert generator.process.stdin is not None
    generator.process.stdin.close()
    generator.process.terminate()
    generator.process.send_signal(signal.SIGCONT)
    assert generator.process.wait(2) == 0


def test_input_other_than_go_is_an_error(start: Callable[[Json], Generator]) -> None:
    generator = start({"rate": 100, "requests": {"url": "http://127.0.0.1:9/"}})
    generator.send("stop")
    _, complaint = generator.process.communicate(timeout=5)
    assert generator.process.returncode == 2
    assert complaint == "load_generator: standard input: found b'stop', expected go or go UNIX_TIME\n"


def test_a_client_that_speaks_http_1_0_gets_the_end_of_the_connection(start: Callable[[Json], Generator]) -> None:
    generator = start({"rate": 0, "requests": {"url": "http://127.0.0.1:9/"}})
    with socket.create_connection(("127.0.0.1", generator.port), timeout=5) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as answer:
            text = answer.read()
    assert text.startswith(b"HTTP/1.1 200 OK")
    assert b"submitted" in text


def test_only_the_metrics_path_is_served(start: Callable[[Json], Generator]) -> None:
    generator = start({"rate": 0, "requests": {"url": "http://127.0.0.1:9/"}})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{generator.port}/", timeout=5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"rate": 1}', "requests: found None, expected an object"),
        ('{"rate": ', "Expecting value"),
        ('{"rate": 1, "requests": {"url": "http://no.such.host.invalid/"}}', "has no address"),
    ],
)
def test_invalid_configuration_is_a_one_line_error_with_exit_code_2(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    ended = subprocess.run([*COMMAND, archive(tmp_path), "--config", path], capture_output=True, text=True, timeout=10)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"load_generator: {path}: ")
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_missing_file_and_invalid_command_line_exit_with_code_2(tmp_path: Path) -> None:
    for arguments in (["--config", str(tmp_path / "none.json")], []):
        ended = subprocess.run([*COMMAND, archive(tmp_path), *arguments], capture_output=True, text=True, timeout=10)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


def test_port_in_use_is_a_one_line_error_with_exit_code_1(tmp_path: Path, start: Callable[[Json], Generator]) -> None:
    first = start(GOOD | {"requests": {"url": "http://127.0.0.1:9/"}})
    second = start(GOOD | {"requests": {"url": "http://127.0.0.1:9/"}, "listen": f"127.0.0.1:{first.port}"})
    _, complaint = second.process.communicate(timeout=10)
    assert second.process.returncode == 1
    assert complaint.count("\n") == 1
    assert "Address already in use" in complaint


def test_no_slow_module_is_imported(tmp_path: Path) -> None:
    command = [*COMMAND[:1], "-X", "importtime", *COMMAND[1:], archive(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=10)
    loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    slow = {"asyncio", "argparse", "dataclasses", "logging", "pathlib", "ssl", "typing", "urllib"}
    assert "load_generator.http" in loaded
    assert not slow & loaded

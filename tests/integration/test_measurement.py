"""Accuracy of measurements: real load generators and servers with known service times, sampled by a real Prometheus."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fakes.reference_server import running_server
from numpy.typing import NDArray

from benchmark.errors import InfrastructureError
from benchmark.host_scripts import build_archive
from benchmark.measure.client_logs import ClientLog, log_timeline
from benchmark.measure.measurement import Measurement, measure
from benchmark.measure.run_metrics import QUANTILES
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import judge
from benchmark.metrics.latency_log import read_latency_log
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.samples import Series

pytestmark = [pytest.mark.integration, pytest.mark.timing, pytest.mark.quiet]

MODELS = {
    "constant": "constant:0.2",
    "exponential": "exponential:0.25",
    "bimodal": "bimodal:0.1:0.5:0.15",
    "stall": "stall:0.1:3:2",
    "short-stall": "stall:0.1:3:0.3",
}
RATE, INTERVAL, WARM_UP, SECONDS, DEADLINE = 60.0, 0.25, 1.5, 6.0, 40.0


@dataclass(frozen=True)
class Run:
    """What Prometheus stored of all clients, and by client when each request was due and completed (Unix s)."""

    start: float
    end: float
    series: list[Series]
    log: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    written: dict[str, ClientLog]
    """The latency logs of the clients."""

    def measured(self, *hosts: str) -> Measurement:
        chosen = [one for one in self.series if one.labels["host"] in hosts]
        return measure(RunSamples(chosen), self.start, self.end, scrape_interval=INTERVAL)

    def logged(self, *hosts: str) -> Measurement:
        """Return what the latency logs give, confirmed by the samples."""
        chosen = [one for one in self.series if one.labels["host"] in hosts]
        logs = [self.written[host] for host in hosts]
        return measure(RunSamples(chosen), self.start, self.end, scrape_interval=INTERVAL, logs=logs)

    def ended(self, host: str) -> NDArray[np.float64]:
        """Return the sorted latencies of the requests that the server answered in the window."""
        due, completed = self.log[host]
        inside = (completed >= self.start) & (completed < self.end)
        return np.sort((completed - due)[inside])

    def exact(self, host: str) -> NDArray[np.float64]:
        """Return the sorted latencies of the requests that completed between the samples that the window uses.

        They are selected by count, not by time: a sample has the time at which its scrape began, and counts a moment
        later.
        """
        (count,) = [s for s in self.series if s.metric == "latency_s_count" and s.labels["host"] == host]
        inside = count.values[(count.times >= self.start) & (count.times <= self.end)].astype(int)
        due, completed = self.log[host]
        order = np.argsort(completed)[inside[0] : inside[-1]]
        return np.sort((completed - due)[order])

    def on_time(self) -> bool:
        """Return whether the clients sent on time; on a loaded machine the run shows nothing about the measurement."""
        found = self.measured(*MODELS)
        return not found.gaps and all(p99.estimate < 0.003 for p99 in found.client_delay_s.values())


@contextmanager
def generator(folder: Path, url: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a load generator that waits for `go`; yield it and the port of its metrics."""
    path = folder / "generator.json"
    requests = {"url": url, "body": "{{sequence}}"}
    profile = [[0, RATE], [WARM_UP + SECONDS + 3, 0]]
    log = {"latency_log": str(folder / "latencies.hlog")}
    path.write_text(json.dumps({"listen": "127.0.0.1:0", "profile": profile, "requests": requests} | log))
    archive = folder / "load_generator.pyz"
    archive.write_bytes(build_archive("load_generator"))
    command = [sys.executable, "-I", "-S", str(archive), "--config", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline().rpartition(" ")[2])
        finally:
            process.kill()


@contextmanager
def prometheus(folder: Path, ports: dict[str, int]) -> Iterator[Prometheus]:
    """Run a Prometheus that samples the clients at `ports`, by host."""
    groups = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"host": host, "region": f"r{number % 2}"}}
        for number, (host, port) in enumerate(ports.items())
    ]
    every = f"{INTERVAL * 1000:g}ms"
    scrape = {"job_name": "client", "scrape_interval": every, "scrape_timeout": every, "static_configs": groups}
    (folder / "prometheus.json").write_text(json.dumps({"scrape_configs": [scrape]}))  # JSON is YAML
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = {
        "config.file": folder / "prometheus.json", "storage.tsdb.path": folder / "data", "web.listen-address": address,
    }  # fmt: skip
    command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with Prometheus(f"http://{address}") as client:
                yield client
        finally:
            process.terminate()


def wait_until(client: Prometheus, hosts: int, since: float) -> None:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            if len(client.scraped(since)) == hosts:
                return
        except InfrastructureError:
            pass  # it is starting
        time.sleep(0.05)
    pytest.fail(f"not all clients were sampled after {since} within {DEADLINE:g} s")


def drive(folder: Path) -> Run:
    """Let each client send to its server; return what Prometheus and the servers recorded."""
    with ExitStack() as stack:
        servers, clients = {}, {}
        for host, model in MODELS.items():
            (folder / host).mkdir(parents=True)
            servers[host] = stack.enter_context(running_server(model, folder / host))
            clients[host] = stack.enter_context(generator(folder / host, servers[host].url()))
        client = stack.enter_context(prometheus(folder, {host: port for host, (_, port) in clients.items()}))
        wait_until(client, len(MODELS), 0.0)
        begin = math.ceil(time.time() * 10 + 2) / 10
        for process, _ in clients.values():
            assert process.stdin is not None
            process.stdin.write(f"go {begin:.6f}\n")
            process.stdin.flush()
        start, end = begin + WARM_UP, begin + WARM_UP + SECONDS
        wait_until(client, len(MODELS), end)
        series = client.samples('{job="client"}', begin - 1, end)
        for process, _ in clients.values():
            process.terminate()
            process.wait(timeout=DEADLINE)
        boot = time.time() - time.monotonic()
        log = {}
        for host, server in servers.items():
            entries = server.stop()
            due = np.array([begin + entry.sequence / RATE for entry in entries])
            log[host] = (due, np.array([boot + entry.completion for entry in entries]))
        written = {
            host: ClientLog(host, host, f"r{number % 2}", read_latency_log(folder / host / "latencies.hlog"))
            for number, host in enumerate(MODELS)
        }
    return Run(start, end, series, log, written)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = drive(tmp_path_factory.mktemp("run"))
    for _ in range(2):
        if found.on_time():
            break
        found = drive(tmp_path_factory.mktemp("run"))
    return found


@pytest.mark.parametrize("host", MODELS)
def test_throughput_and_mean_are_within_one_percent_of_the_log(run: Run, host: str) -> None:
    exact, found = run.exact(host), run.measured(host).total
    assert found.latency_s is not None
    assert found.completed == len(exact)
    assert found.completed_tps == pytest.approx(RATE, rel=0.02)
    assert found.latency_s.mean == pytest.approx(exact.mean(), rel=0.01)
    assert found.latency_s.stdev == pytest.approx(exact.std(), rel=0.02, abs=0.003)


@pytest.mark.parametrize("host", MODELS)
def test_bounds_of_quantiles_contain_the_exact_quantiles(run: Run, host: str) -> None:
    exact, found = run.exact(host), run.measured(host).total.latency_s
    assert found is not None
    ranks = 3 / len(exact)
    for q, quantile in [(0.5, found.quantiles["p50"]), (0.9, found.quantiles["p90"]), (0.99, found.p99)]:
        below, above = np.quantile(exact, [max(0.0, q - ranks), min(1.0, q + ranks)], method="inverted_cdf")
        assert quantile.lower <= above + 0.002
        assert below <= (quantile.upper or math.inf)
        assert quantile.upper is not None
        assert quantile.upper <= 1.3 * quantile.lower


def test_stall_of_two_seconds_shows_in_latency_and_timeline(run: Run) -> None:
    measurement = run.measured("stall")
    assert measurement.total.latency_s is not None
    assert measurement.total.latency_s.p99.lower >= 1.6
    assert measurement.timeline is not None
    # Two seconds are eight intervals; the first and the last are covered in part.
    assert np.sum(measurement.timeline.completed_tps < RATE / 10) >= 6
    assert np.nanmax(measurement.timeline.quantiles_s["p99_s"]) >= 1.6


def test_totals_are_the_sum_of_all_logs(run: Run) -> None:
    measurement = run.measured(*MODELS)
    every = np.concatenate([run.exact(host) for host in MODELS])
    assert measurement.total.latency_s is not None
    assert measurement.total.completed == len(every)
    assert measurement.total.latency_s.mean == pytest.approx(every.mean(), rel=0.01)
    assert measurement.total.latency_s.quantiles["p90"].lower <= np.quantile(every, 0.905)
    assert np.quantile(every, 0.895) <= (measurement.total.latency_s.quantiles["p90"].upper or math.inf)
    assert set(measurement.regions) == {"r0", "r1"}
    verdict = judge(measurement, requested_tps=RATE * len(MODELS), expected_clients=MODELS)
    assert (verdict.reasons, verdict.saturated) == ([], False)


@pytest.mark.parametrize("host", MODELS)
def test_quantiles_of_latency_logs_are_within_one_percent_of_the_log(run: Run, host: str) -> None:
    found, exact = run.logged(host), run.ended(host)
    assert found.contradictions == []
    assert found.total.latency_s is not None
    assert found.total.completed == pytest.approx(len(exact), abs=2)  # on their way at an edge
    assert found.total.latency_s.mean == pytest.approx(exact.mean(), rel=0.01)
    buckets = run.measured(host).total.latency_s
    assert buckets is not None
    for metric, q in QUANTILES.items():
        rank, width = math.ceil(q * len(exact)) - 1, 2
        low, high = exact[max(0, rank - width)], exact[min(len(exact) - 1, rank + width)]
        estimate, coarse = (each.quantiles[metric.key].estimate for each in (found.total.latency_s, buckets))
        print(f"{host} {metric.short}: {exact[rank]:.4f} s, latency log {estimate:.4f} s, buckets {coarse:.4f} s")
        assert 0.99 * low <= estimate <= 1.01 * high + 0.001


@pytest.mark.parametrize(("host", "seconds"), [("stall", 2.0), ("short-stall", 0.3)])
def test_stalls_are_visible_in_intervals_of_100_ms(run: Run, host: str, seconds: float) -> None:
    timeline = log_timeline([run.written[host]], run.start, run.end, 0.1)
    assert timeline is not None
    idle = np.concatenate([[False], timeline.completed_tps == 0, [False]]).astype(int)
    begins, ends = np.flatnonzero(np.diff(idle) > 0), np.flatnonzero(np.diff(idle) < 0)
    longest = int(np.argmax(ends - begins))
    assert seconds - 0.2 <= (ends - begins)[longest] / 10 <= seconds + 0.1
    # What fell due at the start of the stall completes first after it.
    assert timeline.quantiles_s["p99_s"][ends[longest]] == pytest.approx(seconds + 0.1, abs=0.15)


def test_latency_logs_and_samples_of_all_clients_agree(run: Run) -> None:
    found = run.logged(*MODELS)
    assert found.contradictions == []
    assert found.unverified == []
    verdict = judge(found, requested_tps=RATE * len(MODELS), expected_clients=MODELS)
    assert (verdict.reasons, verdict.saturated) == ([], False)

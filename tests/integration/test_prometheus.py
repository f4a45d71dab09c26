"""The client, the targets, the configuration and every query of the dashboards, against a real Prometheus.

A small server plays all hosts: it serves what node exporters, nodes and load generators serve, and remembers it.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest

from benchmark.errors import InfrastructureError
from benchmark.host_layout import PROMETHEUS_CONFIG, PROMETHEUS_PORT, TARGETS_DIRECTORY
from benchmark.inventory import Host
from benchmark.measure.live_stats import read_details, read_live_stats
from benchmark.metrics import prometheus as monitoring
from benchmark.metrics import targets as metrics_targets
from benchmark.metrics.exported import check_exported
from benchmark.metrics.names import MetricNames
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.targets import Endpoint, Mark, identities, marks, targets
from benchmark.orchestrator.evaluate import fetch
from benchmark.plan import placement
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.protocols.process import Process
from stacks.monitoring import DASHBOARDS, STORAGE, monitoring_files, prometheus_arguments

pytestmark = pytest.mark.integration

T = TypeVar("T")
INTERVAL = timedelta(milliseconds=200)
WINDOW = timedelta(seconds=2)
RATE = 100  # requests per second and client
DEADLINE = 30.0
BUCKETS = {"0.01": 0.0, "0.05": 0.5, "0.1": 0.9, "0.2": 1.0, "+Inf": 1.0}
BORN = time.time()


def histogram(name: str, count: int, labels: str = "") -> str:
    """Half of the requests between 10 and 50 ms, 40 % up to 100 ms, the rest up to 200 ms."""
    lines = [f"# TYPE {name} histogram"]
    for bound, share in BUCKETS.items():
        joined = ",".join(filter(None, [labels, f'le="{bound}"']))
        lines.append(f"{name}_bucket{{{joined}}} {int(share * count)}")
    shown = f"{{{labels}}}" if labels else ""
    return "\n".join([*lines, f"{name}_sum{shown} {0.06 * count}", f"{name}_count{shown} {count}"]) + "\n"


def client_metrics(seconds: float) -> str:
    count = int(RATE * seconds)
    return (
        histogram("latency_s", count, 'workload="put"')
        + histogram("lateness_s", count)
        + f'latency_squared_s{{workload="put"}} {count * 0.005}\nbenchmark_duration {seconds}\n'
        + f'submitted {count}\ndue {count}\nerrors{{error_type="timeout"}} {int(seconds)}\n'
        + f"inflight 6\nstart_time_s {BORN}\n"
    )


def node_metrics(seconds: float) -> str:
    return f"process_cpu_seconds_total {0.5 * seconds}\nprocess_resident_memory_bytes 5e+07\n"


def stamped_metrics(seconds: float) -> str:
    """Samples with time stamps of their own, an hour old."""
    stamp = round((time.time() - 3600) * 1000)
    return f'{node_metrics(seconds)}op_s{{quantile="0.5"}} 0.1 {stamp}\nop_s_count {int(seconds)} {stamp}\n'


def host_metrics(seconds: float) -> str:
    counters = [f'node_cpu_seconds_total{{cpu="{cpu}",mode="idle"}} {0.75 * seconds}' for cpu in (0, 1)]
    counters += [
        f'node_network_{way}_{what}_total{{device="{device}"}} {1000 * seconds}'
        for way in ("receive", "transmit")
        for what in ("bytes", "drop")
        for device in ("eth0", "lo")
    ]
    counters += [
        f'node_disk_{name}_total{{device="sda"}} {0.25 * seconds}'
        for name in ("written_bytes", "read_bytes", "io_time_seconds")
    ]
    gauges = ["node_load1 1", "node_memory_MemAvailable_bytes 3e+09", "node_memory_MemTotal_bytes 4e+09"]
    gauges += [
        f'node_filesystem_{name}_bytes{{device="/dev/sda1",fstype="ext4",mountpoint="/"}} {value}'
        for name, value in (("avail", 1e9), ("size", 4e9))
    ]
    emulator = f"wan_packets_total {50 * seconds}\n" + f'wan_dropped_packets_total{{reason="loss"}} {seconds}\n'
    events = [Mark(BORN, "phase", "measure"), Mark(BORN + 1, "fault", "partition", 'cuts "eu"\\us\nfor\t10 s')]
    return (
        "\n".join(counters + gauges)
        + "\n"
        + emulator
        + histogram("wan_lateness_seconds", int(50 * seconds))
        + marks("run-1", events)
    )


SERVED: dict[str, Callable[[float], str]] = {
    "/metrics": host_metrics,
    "/client": client_metrics,
    "/node/metrics": node_metrics,
    "/node/stats?format=prometheus": stamped_metrics,
}


@dataclass
class Machine:
    """The server that plays the hosts, and what it has served: address and path to (time, `submitted`)."""

    port: int
    answers: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))


@contextmanager
def serving() -> Iterator[Machine]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in SERVED:
                self.send_error(404)
                return
            text = SERVED[self.path](time.time() - BORN)
            found = re.search(r"^submitted (\d+)$", text, re.MULTILINE)
            if found:
                machine.answers[self.headers["Host"].split(":")[0], self.path].append(float(found[1]))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    machine = Machine(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield machine
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], T], what: str) -> T:
    """Return the first true value of `condition`; an InfrastructureError counts as not yet."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except InfrastructureError:
            pass
        threading.Event().wait(0.05)
    raise AssertionError(f"not within {DEADLINE:g} s: {what}")


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """Run Prometheus as the monitoring host does, but for its paths and its port; yields its address."""
    port = free_port()
    moved = {
        TARGETS_DIRECTORY: f"{folder}/targets",
        PROMETHEUS_CONFIG: f"{folder}/prometheus.yml",
        STORAGE: f"{folder}/data",
        f"127.0.0.1:{PROMETHEUS_PORT}": f"127.0.0.1:{port}",
    }

    def here(text: str) -> str:
        for old, new in moved.items():
            text = text.replace(old, new)
        return text

    (folder / "targets").mkdir(exist_ok=True)
    (folder / "prometheus.yml").write_text(here(monitoring_files(INTERVAL)[PROMETHEUS_CONFIG]))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *map(here, prometheus_arguments())], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        with Prometheus(url) as client:
            wait_for(lambda: process.poll() is not None or client.scraped(0) is not None, (folder / "log").read_text())
        assert process.poll() is None, (folder / "log").read_text()
        yield url
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE)


def host(number: int, region: str) -> Host:
    return Host(
        name=f"{region}-{number}",
        provider="local",
        region=region,
        specs="namespace",
        address=f"127.0.0.{number + 1}",
        host_key="ssh-ed25519 AAAA",
        role="monitoring" if number == 0 else "instance",
    )


HOSTS = (host(0, "us-east-1"), host(1, "us-east-1"), host(2, "eu-west-1"))


@dataclass
class Scraped:
    """A Prometheus that scrapes three hosts, of which the last one's client is dead."""

    url: str
    client: Prometheus
    machine: Machine
    folder: Path

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            unfinished = self.folder / f".{name}"
            unfinished.write_text(text)
            unfinished.replace(self.folder / name)

    def steady(self) -> bool:
        now = time.time()
        found = self.client.samples('submitted{job="client"}', now - WINDOW.total_seconds(), now)
        return len(found) == 2 and all(len(one.times) >= 9 for one in found) and len(self.client.scraped(BORN)) == 8

    def complete_until(self) -> float:
        """Return a recent time before which no more samples of the clients will appear."""
        now = time.time()
        wanted = {one.name for one in HOSTS[:2]}
        wait_for(
            lambda: wanted <= {host for job, host, _ in self.client.scraped(now) if job == "client"}, "later scrapes"
        )
        return now

    def ask(self, path: str, **parameters: str) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=DEADLINE) as answer:
            return json.load(answer)["data"]


@contextmanager
def scraping(folder: Path) -> Iterator[Scraped]:
    """Run a Prometheus that scrapes what is written, of hosts whose metrics are all served by one machine."""
    with (
        pytest.MonkeyPatch.context() as patch,
        serving() as machine,
        prometheus(folder) as url,
        Prometheus(url) as client,
    ):
        patch.setattr(metrics_targets, "NODE_EXPORTER_PORT", machine.port)
        yield Scraped(url, client, machine, folder / "targets")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    with scraping(tmp_path_factory.mktemp("prometheus")) as running:
        running.write(targets(HOSTS, endpoints(running.machine.port)))
        wait_for(running.steady, "a window full of samples of both clients, and one of every other target")
        yield running


def endpoints(port: int) -> list[Endpoint]:
    nodes = [Endpoint(one.name, port, "node", "/node/metrics") for one in HOSTS[:2]]
    nodes.append(Endpoint(HOSTS[2].name, port, "node", "/node/stats?format=prometheus"))
    clients = [Endpoint(one.name, port, "client", "/client") for one in HOSTS[:2]]
    return [*nodes, *clients, Endpoint(HOSTS[2].name, free_port(), "client")]


def test_samples_are_what_was_served_and_nothing_else(scraped: Scraped) -> None:
    now = time.time()
    found = scraped.client.samples('submitted{job="client"}', BORN, now)
    assert {one.labels["host"] for one in found} == {"us-east-1-0", "us-east-1-1"}
    for one in found:
        served = scraped.machine.answers[f"127.0.0.{int(one.labels['host'][-1]) + 1}", "/client"]
        assert len(one.values) >= 2
        assert one.values.tolist() == served[: len(one.values)]
        assert (one.times[1:] > one.times[:-1]).all()
        assert one.times[0] >= BORN
        assert one.times[-1] <= now
        assert one.metric == "submitted"
        assert (one.labels["job"], one.labels["region"]) == ("client", "us-east-1")


def test_samples_include_both_edges_and_split_windows_share_only_the_edge(scraped: Scraped) -> None:
    selector = 'submitted{job="client",host="us-east-1-1"}'
    every = wait_for(
        lambda: [one for one in scraped.client.samples(selector, BORN, time.time()) if len(one.times) >= 5],
        "five samples",
    )[0]
    first, middle, last = every.times[0], every.times[2], every.times[4]
    assert scraped.client.samples(selector, first, last)[0].times.tolist() == every.times[:5].tolist()
    assert scraped.client.samples(selector, first, middle)[0].times.tolist() == every.times[:3].tolist()
    assert scraped.client.samples(selector, middle, last)[0].times.tolist() == every.times[2:5].tolist()
    assert scraped.client.samples(selector, first + 0.001, middle - 0.001)[0].times.tolist() == [every.times[1]]
    assert scraped.client.samples(selector, middle, middle)[0].values.tolist() == [every.values[2]]


@pytest.mark.parametrize("part", [1, 150, 700])
def test_reading_in_parts_changes_nothing(scraped: Scraped, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    end = scraped.complete_until()
    start = end - (0.3 if part == 1 else 2)  # a request for each millisecond takes its time
    selector = '{job="client",__name__=~"submitted|latency_s_bucket"}'
    whole = {json.dumps([one.metric, one.labels]): one for one in scraped.client.samples(selector, start, end)}
    monkeypatch.setattr(monitoring, "_PART_MS", part)
    parts = {json.dumps([one.metric, one.labels]): one for one in scraped.client.samples(selector, start, end)}
    assert len(whole) == 2 * (1 + len(BUCKETS))
    assert {name: one.times.tolist() for name, one in parts.items()} == {n: o.times.tolist() for n, o in whole.items()}
    assert {name: one.values.tolist() for name, one in parts.items()} == {
        n: o.values.tolist() for n, o in whole.items()
    }


def test_a_selector_of_a_whole_job_returns_every_metric(scraped: Scraped) -> None:
    found = scraped.client.samples('{job="client"}', time.time() - 2, time.time())
    assert {"latency_s_bucket", "latency_squared_s", "benchmark_duration", "start_time_s", "up"} <= {
        s.metric for s in found
    }
    assert all("__name__" not in one.labels for one in found)


def test_no_samples_before_the_first_scrape(scraped: Scraped) -> None:
    assert scraped.client.samples('{job="client"}', BORN - 20, BORN - 10) == []


def test_scraped_names_targets_with_a_sample_after_the_time_given(scraped: Scraped) -> None:
    wanted = {("client", "us-east-1-0"), ("client", "us-east-1-1")} | {
        (j, h.name) for j in ("host", "node") for h in HOSTS
    }
    since = time.time()
    wait_for(lambda: {pair[:2] for pair in scraped.client.scraped(since)} == wanted, f"scraped after {since}")
    addresses = {address for job, _, address in scraped.client.scraped(since) if job == "client"}
    assert addresses == {one.endpoint(scraped.machine.port) for one in HOSTS[:2]}
    assert scraped.client.scraped(time.time() + 60) == set()


def _includes(client: Prometheus, since: float, wanted: set[tuple[str, str, str]]) -> bool:
    return wanted <= client.scraped(since)


def test_a_host_that_was_stopped_and_has_another_address_is_scraped(tmp_path: Path) -> None:
    with serving() as machine:
        for address in ("127.0.0.1", "127.0.0.9"):  # Prometheus is stopped in between, as its host is
            there = HOSTS[0].model_copy(update={"address": address})
            with prometheus(tmp_path) as url, Prometheus(url) as client:
                running = Scraped(url, client, machine, tmp_path / "targets")
                running.write(targets([there], [Endpoint(there.name, machine.port, "node", "/node/metrics")]))
                wanted = {("node", there.name, there.endpoint(machine.port))}
                wait_for(partial(_includes, client, time.time(), wanted), f"scraped at {address}")


def test_hosts_that_came_back_with_each_other_s_addresses_are_not_taken_for_one_another(tmp_path: Path) -> None:
    first, second = HOSTS[:2]
    swapped = [
        first.model_copy(update={"address": second.address}),
        second.model_copy(update={"address": first.address}),
    ]
    begin = time.time()
    with scraping(tmp_path) as running:
        for hosts in ([first, second], swapped):  # the former are still scraped when the run's clients start
            clients = [
                Process(
                    f"client-{one.name}", "client", one, (), metrics_port=running.machine.port, metrics_path="/client"
                )
                for one in hosts
            ]
            running.write(targets(hosts, placement.endpoints(clients)))
            wanted = identities(hosts, placement.endpoints(clients))
            wait_for(partial(_includes, running.client, time.time(), wanted), "scraped under their names")
        found = fetch(running.client, Etcd(EtcdNode(), EtcdClient()), swapped, clients, begin, time.time())
    assert {(one.labels["job"], one.labels["host"], one.labels["instance"]) for one in found} == wanted
    assert {"up", "submitted", "node_load1"} <= {one.metric for one in found}


def test_progress_agrees_with_what_the_clients_do(scraped: Scraped) -> None:
    wait_for(scraped.steady, "a window full of samples")
    progress = read_live_stats(scraped.client, WINDOW)
    # On a busy machine counters are read some time after the time that their samples have.
    assert progress.scheduled_tps == pytest.approx(2 * RATE, rel=0.3)
    assert progress.completed_tps == pytest.approx(2 * RATE, rel=0.3)
    assert progress.errors_tps == pytest.approx(2, abs=1.5)
    assert progress.inflight == 12
    assert progress.latencies_s["mean_s"] == pytest.approx(0.06, rel=0.01)
    assert progress.latencies_s["p50_s"] == pytest.approx(0.05, rel=0.05)
    assert 0.1 < progress.latencies_s["p99_s"] <= 0.2  # one request in a hundred fails


def test_progress_is_known_by_region_and_by_host(scraped: Scraped) -> None:
    wait_for(scraped.steady, "a window full of samples")
    regions, hosts = read_details(scraped.client, WINDOW)
    assert regions.keys() == {"us-east-1", "eu-west-1"}
    busy, idle = regions["us-east-1"], regions["eu-west-1"]
    assert (busy.completed_tps or 0) > RATE
    assert (busy.errors_tps or 0) > 0
    assert (busy.inflight, busy.nodes, busy.nodes_up, busy.clients_up) == (12, 2, 2, 2)
    assert busy.latencies_s["mean_s"] == pytest.approx(0.06, rel=0.02)
    assert 0.1 < busy.latencies_s["p99_s"] <= 0.2
    assert (idle.completed_tps, idle.latencies_s, idle.clients_up) == (None, {}, 0)
    assert hosts.keys() == {host.name for host in HOSTS}
    assert all(host.sent_bytes_per_s is not None and host.cpu_busy is not None for host in hosts.values())


def test_targets_are_scraped_with_parameters_and_without_their_time_stamps(scraped: Scraped) -> None:
    (one,) = scraped.client.samples('op_s_count{job="node"}', BORN, time.time())
    assert one.labels["host"] == HOSTS[2].name
    assert len(one.times) > 5


def test_failed_scrapes_have_the_reason_of_prometheus(scraped: Scraped) -> None:
    errors = scraped.client.scrape_errors()
    dead = {identity: reason for identity, reason in errors.items() if reason}
    ((job, name, _), reason), *others = dead.items()
    assert (job, name, others) == ("client", HOSTS[2].name, [])
    assert "connection refused" in reason
    assert len(errors) == 9


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (MetricNames(), None),
        (MetricNames('latency_s{workload="put"}', throughput="latency_s_count"), None),
        (MetricNames('latency_s{workload=~"get|scan"}'), "`workload` is 'put'"),
        (MetricNames("latency", throughput="submited"), "no client exports `latency`; did you mean `latency_s`"),
        (MetricNames("op_s", job="node"), "`op_s` has no buckets (a summary?)"),
    ],
)
def test_metrics_that_are_not_exported_are_found(scraped: Scraped, names: MetricNames, problem: str | None) -> None:
    problems, _ = check_exported(scraped.client, names, up_s=60.0)
    assert problem in problems[0] if problem else not problems
    impossible, _ = check_exported(scraped.client, MetricNames(), up_s=0.01)
    assert "a mean latency of 0.06 s after 0.0 s of running is impossible" in impossible[0]


def test_a_running_prometheus_has_no_problem(scraped: Scraped) -> None:
    assert scraped.client.problem() == ""


def test_marks_survive_the_exporter_format(scraped: Scraped) -> None:
    entry = next(e for e in scraped.ask("query", query='run_mark_time_seconds{kind="fault"}')["result"])
    assert entry["metric"]["detail"] == 'cuts "eu"\\us\nfor\t10 s'
    assert float(entry["value"][1]) == pytest.approx(BORN + 1, abs=0.001)


def test_a_refused_query_is_named(scraped: Scraped) -> None:
    with pytest.raises(InfrastructureError, match=r"rejected the query up\{.*parse error"):
        scraped.client.samples("up{", BORN, BORN + 1)


def test_rewritten_target_files_are_taken_up_and_the_old_targets_go(tmp_path: Path, scraped: Scraped) -> None:
    before = {path.name: path.read_text() for path in scraped.folder.glob("*.json")}
    try:
        scraped.write(targets(HOSTS, [Endpoint(HOSTS[2].name, scraped.machine.port, "client", "/client")]))
        wanted = {("client", HOSTS[2].name)} | {("host", one.name) for one in HOSTS}
        wait_for(lambda: {pair[:2] for pair in scraped.client.scraped(BORN)} == wanted, "only the new client")
    finally:
        scraped.write(before)
        wait_for(scraped.steady, "the clients as before")


def queries() -> Iterator[Any]:
    """Every query of every panel and annotation."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        board = json.loads(path.read_text())
        for annotation in board["annotations"]["list"]:
            yield pytest.param(annotation["expr"], id=f"{path.stem}-{annotation['name']}")
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                yield pytest.param(target["expr"], id=f"{path.stem}-{panel['title']}-{target['legendFormat']}")


@pytest.mark.parametrize("expression", list(queries()))
def test_every_query_of_the_dashboards_returns_data(scraped: Scraped, expression: str) -> None:
    for name, value in {"$__rate_interval": "2s", "$region": ".*", "$host": "us-east-1-1|eu-west-1-2"}.items():
        expression = expression.replace(name, value)
    assert "$" not in expression

    def numbers() -> list[float]:
        now = time.time()
        answer = scraped.ask("query_range", query=expression, start=str(now - 2), end=str(now), step="0.5")
        return [float(value) for one in answer["result"] for _, value in one["values"] if value != "NaN"]

    assert wait_for(numbers, f"data for {expression}")
    assert all(number >= 0 for number in numbers())


@pytest.mark.parametrize("board", sorted(DASHBOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_the_variables_of_the_dashboards_offer_regions_and_hosts(scraped: Scraped, board: Path) -> None:
    offered = {}
    for variable in json.loads(board.read_text())["templating"]["list"]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", str(variable["query"]))
        if found:
            selector = found[1].replace("$region", "eu-.*")
            offered[variable["name"]] = scraped.ask(f"label/{found[2]}/values", **{"match[]": selector})
    assert offered == {"region": ["eu-west-1", "us-east-1"], "host": ["eu-west-1-2"]}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """The names of the metrics of a real node exporter that also reads the marks of a run."""
    folder, port = tmp_path_factory.mktemp("textfile"), free_port()
    (folder / "marks.prom").write_text(marks("run-1", [Mark(BORN, "fault", "cut", 'a "b"\\c\n\t')]))
    arguments = [f"--web.listen-address=127.0.0.1:{port}", f"--collector.textfile.directory={folder}"]
    process = subprocess.Popen(["prometheus-node-exporter", *arguments], stderr=subprocess.DEVNULL)

    def read() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    try:
        lines = wait_for(read, "the node exporter").splitlines()
        assert "node_textfile_scrape_error 0" in lines
        yield {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}
    finally:
        process.terminate()
        process.wait(timeout=DEADLINE)


def test_the_node_exporter_has_the_metrics_that_the_dashboards_ask_for(exported: set[str]) -> None:
    wanted = set(re.findall(r"node_\w+", (DASHBOARDS / "hosts.json").read_text()))
    assert len(wanted) >= 12
    if not Path("/proc/diskstats").read_text().strip():
        wanted = {name for name in wanted if not name.startswith("node_disk_")}
    assert wanted - exported == set()
    assert "run_mark_time_seconds" in exported

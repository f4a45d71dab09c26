"""Built-in and declared protocols are benchmarked on local hosts."""

from __future__ import annotations

import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from fakes.local_testbed import LocalTestbed, local_testbed
from fakes.runner import beside_load
from paths import FAKES, ROOT

from benchmark.errors import SystemFailure, UsageError
from benchmark.host_scripts import build_archive
from benchmark.measure.window_stats import WindowStats
from benchmark.metrics.latency_log import read_latency_log
from benchmark.orchestrator.profiler import profile
from benchmark.orchestrator.sweep import run_benchmark
from benchmark.plan.request import Request
from benchmark.plan.source import Binaries
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.registry import find_protocol
from benchmark.results.events import Event, PhaseStarted, Progress
from benchmark.results.log_files import read_log
from benchmark.results.summary import Summary, Window
from benchmark.settings import Network, Settings, parse_fault, parse_phase, read_matrix, read_trace
from stacks.local.wan.links import links_for

pytestmark = pytest.mark.integration

EXAMPLES = ROOT / "assets" / "declared"
STANDIN = FAKES / "standin"


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTestbed]:
    with local_testbed(tmp_path_factory.mktemp("testbed"), "it-protocols", {"us-east-1": 3, "eu-west-1": 2}) as made:
        yield made


class Latencies(NamedTuple):
    """Counts of latencies in s."""

    counts: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]

    @property
    def mean(self) -> float:
        return float(np.average(self.seconds, weights=self.counts))

    @property
    def slowest(self) -> float:
        return float(self.seconds[np.flatnonzero(self.counts)[-1]])


class Runner:
    """Run benchmarks on the testbed, with results in a separate folder."""

    def __init__(self, testbed: LocalTestbed, results: Path) -> None:
        self.testbed, self.results = testbed, results
        self.events: list[Event] = []

    def __call__(self, protocol: str, load: int, *, binaries: Path | None = None, **given: Any) -> Summary:
        parameters = {name: given.pop(name) for name in ("node_parameters", "client_parameters") if name in given}
        settings = Settings(regions=("a",), **parameters)
        request = Request(
            protocol=make_protocol(find_protocol(protocol), settings),
            settings=settings,
            loads=(load,),
            warm_up_s=2.0,
            results_dir=self.results,
            source=Binaries(binaries) if binaries else None,
            **{"duration_s": 5.0, **given},
        )
        (summary,) = run_benchmark(self.testbed.testbed, request, self.events.append, began=time.time())
        return summary

    def manifest(self, summary: Summary) -> dict[str, Any]:
        path = self.results / self.testbed.inventory.testbed_id / summary.run_id / "manifest.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def latencies(self, summary: Summary, client: int) -> Latencies:
        """Return what the latency log of a client has of the whole run, warm-up included."""
        folder = self.results / self.testbed.inventory.testbed_id / summary.run_id
        log = read_latency_log(folder / "latencies" / f"client-{client}.hlog")
        (counts,) = log.by_tag().values()
        edges = log.layout.edges(len(counts))
        return Latencies(counts, (edges[:-1] + edges[1:]) / 2)

    def read(self, host: str, path: str) -> str:
        """Read a file of the last run; the next run removes it."""
        return self.testbed.output(host, f"cat geobench/run/{path}")


@pytest.fixture
def runner(testbed: LocalTestbed, tmp_path: Path) -> Runner:
    return Runner(testbed, tmp_path / "results")


@pytest.fixture(scope="module")
def remora_binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("remora")
    shutil.copytree(STANDIN, folder, dirs_exist_ok=True)
    subprocess.run(["make", "--quiet"], cwd=folder, check=True)
    return folder / "target" / "release"


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    folder = tmp_path / "binaries"
    folder.mkdir()
    shutil.copy(STANDIN / "replica.py", folder / "replica")
    (folder / "replica").chmod(0o755)
    return folder


def assert_measured(summary: Summary, tps: float) -> None:
    """Assert that a run has measured its load, on a machine that may be loaded."""
    assert summary.status in ("ok", "invalid")
    assert beside_load(summary.reasons) == []
    assert summary.completed_tps == pytest.approx(tps, rel=0.1)


@pytest.mark.quiet
def test_the_measured_network_is_the_requested_one_and_another_one_fails_the_check(
    testbed: LocalTestbed, tmp_path: Path
) -> None:
    settings = {"testbed_id": "it-protocols", "regions": testbed.inventory.regions}
    files = {"inventory": testbed.inventory.model_dump_json(), "settings": json.dumps(settings)}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    options = [word for name in files for word in (f"--{name}", str(tmp_path / name))]

    def geobench(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "benchmark", *words, *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    code, said = geobench("network", "measure", "--output", str(tmp_path / "n.yaml"), "--duration", "1s")
    assert code == 0, said
    requested = testbed.inventory.round_trips
    links = {f"{link.source}/{link.destination}": link for link in read_matrix(tmp_path / "n.yaml").links}
    assert links.keys() == requested.keys()
    assert all(link.rtt_ms and requested[pair].allows(link.rtt_ms) for pair, link in links.items()), links
    for (source, target), values in read_trace(tmp_path / "n.csv").items():
        assert len(values) == 100
        assert requested[f"{source}/{target}"].allows(statistics.median(rtt_ms for _, rtt_ms in values))
    code, said = geobench("check")
    assert code == 0, said
    regions = testbed.inventory.regions
    try:
        testbed.network.start(links_for(regions, Network(rtt_ms={"/".join(regions): 80})))
        code, said = geobench("check", "--json")
    finally:
        testbed.network.start(links_for(regions, Network()))
    assert code == 3
    assert re.search(r"the round trip from us-east-1 to eu-west-1 is 80\.\d\d ms, requested 65\.65 ms", said)


def test_redis_example_replicates_what_clients_write(runner: Runner) -> None:
    summary = runner(str(EXAMPLES / "redis.yaml"), 60, committee=3, client_parameters={"keys": 50, "value_bytes": 32})
    assert (summary.protocol, summary.errors) == ("redis", _none(summary))
    assert_measured(summary, 60)
    assert summary.latency_s is not None
    assert summary.latency_s.mean > 0.01  # two of three nodes are on another continent than the primary or its clients
    assert set(runner.manifest(summary)["packages"]) == {"redis-server", "webdis"}
    nodes = runner.manifest(summary)["placement"]["nodes"]
    logs = [runner.read(host, f"logs/node-{index}.log") for index, host in enumerate(nodes)]
    assert sum("MASTER <-> REPLICA sync: Finished" in log for log in logs) == 2


def test_nginx_example_is_read_by_dedicated_clients(runner: Runner) -> None:
    summary = runner(
        str(EXAMPLES / "nginx.yaml"), 200, committee=2, dedicated_clients=2, node_parameters={"file_bytes": 5000}
    )
    assert (summary.nodes, summary.clients) == (2, 2)
    assert_measured(summary, 200)
    manifest = runner.manifest(summary)
    assert not set(manifest["placement"]["nodes"]) & set(manifest["placement"]["clients"])
    assert manifest["parameters"]["shares_tps"] == [100, 100]


def test_example_in_the_docs_is_benchmarked(runner: Runner, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    (tmp_path / "web.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    summary = runner(str(tmp_path / "web.yaml"), 40, committee=2, dedicated_clients=1)
    assert summary.protocol == "python-web"
    assert_measured(summary, 40)


@pytest.mark.quiet
def test_etcd_serves_reads_and_writes_from_clients_with_several_processes_and_is_linearizable(runner: Runner) -> None:
    parameters = {"reads": 0.75, "popularity": "zipf", "keys": 100, "value_bytes": {"uniform": [16, 64]}}
    summary = runner("etcd", 120, committee=3, client_parameters={**parameters, "processes": 2}, verify=True)
    assert_measured(summary, 120)
    folder = runner.results / runner.testbed.inventory.testbed_id / summary.run_id
    logs = [read_latency_log(path).by_tag() for path in sorted((folder / "latencies").iterdir())]
    total: Counter[str] = Counter()
    for log in logs:
        total.update({".".join(filter(None, tag)): int(counts.sum()) for tag, counts in log.items()})
    assert set(total) == {"get", "put", "_scheduling_delay"}
    assert total["get"] + total["put"] == total["_scheduling_delay"]
    assert total["get"] / total["_scheduling_delay"] == pytest.approx(0.75, abs=0.08)
    found = summary.verification
    assert found is not None
    assert found.verdict == ("ok" if shutil.which("go") else "unknown"), found.reason
    *operations, end = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()][1:]
    assert end == {"complete": True, "unread": []}
    assert len([each for each in operations if each["outcome"] == "ok"]) > 200
    assert {each.get("swapped") for each in operations if each["op"] == "cas"} == {True, False}


def test_faults_are_proved_in_force_and_healed(runner: Runner) -> None:
    texts = ["crash:leader@1s-3s", "partition:node-1@4s-5500ms", "pause:node-2@6s-7s"]
    phases = parse_phase("crash 4s"), parse_phase("rest 4s")
    summary = runner("etcd", 60, committee=3, duration_s=8.0, phases=phases, faults=tuple(map(parse_fault, texts)))
    assert summary.status in ("ok", "invalid")
    assert beside_load(summary.reasons) == []
    manifest = runner.manifest(summary)
    crash, partition, pause = manifest["faults"]
    assert crash["nodes"] == ["node-0"]  # the leader by default
    for fault in manifest["faults"]:
        begin = manifest["times"]["start"]
        start, end = begin + fault["scheduled_start_s"], begin + fault["scheduled_end_s"]
        assert start - 0.05 <= fault["injected"] <= fault["in_force"] < end - 0.05 <= fault["healing"], fault
        assert fault["healing"] <= fault["healed"], fault
    lives = manifest["processes"]
    again = lives["node-0"]
    assert again["started"] < again["ready"] < crash["in_force"] < again["started_again"] < again["ready_again"]
    assert re.fullmatch(r"us-east-1-1: node-0: pid \d+ gone", crash["proof"])
    assert re.search(r"node-0: pid \d+ started [\d.]+ s after pid \d+", crash["healed_proof"])
    assert re.search(r"(\d+) of \1 packets dropped, probes of 2 hosts unanswered", partition["proof"])
    assert partition["healed_proof"].endswith("packet filter deleted, probes of 2 hosts answered")
    assert pause["proof"].endswith("node-2: 1 process in state T")
    assert lives["node-1"]["started_again"] is None
    impacts = [(each.kind, each.target, each.injected, each.healed) for each in summary.faults]
    assert impacts == [(each["kind"], each["target"], each["injected"], each["healing"]) for each in manifest["faults"]]
    assert summary.faults[0].outage_s is not None
    assert summary.faults[0].outage_s > 0.5, "nothing completes until followers have missed the leader's heartbeats"
    assert set(summary.faults[0].regions) == {"us-east-1", "eu-west-1"}
    assert [set(each.catch_up_s) for each in summary.faults] == [{"us-east-1-1"}, {"eu-west-1-0"}, {"us-east-1-2"}]
    assert [(each.label, each.end - each.start) for each in summary.phases] == [("crash", 4), ("rest", 4)]
    counted = [each.completed for phase in summary.phases if (each := phase.stats)]
    assert sum(count or 0 for count in counted) == sum(each.completed or 0 for each in summary.by_client.values())


def test_faults_of_one_link_compose_on_all_hosts_that_take_part(runner: Runner) -> None:
    texts = "delay:node-1,delay=40ms@1s-4s", "bandwidth:node-1,rate=20Mbit@1s-4s"
    summary = runner("etcd", 60, committee=3, duration_s=5.0, verify=False, faults=tuple(map(parse_fault, texts)))
    assert beside_load(summary.reasons) == []
    manifest = runner.manifest(summary)
    delay, bandwidth = manifest["faults"]
    assert delay["hosts"] == bandwidth["hosts"] == [manifest["placement"]["nodes"][1]]
    longer = re.findall(r"round trips to (\d) hosts? longer by ([\d.]+)", delay["proof"].partition("; at its end")[0])
    assert sorted(count for count, _ in longer) == ["1", "1", "2"], delay["proof"]
    assert min(float(ms) for _, ms in longer) >= 40, "twice 40 ms, but for what the measurement before took longer"
    assert re.search(
        r": [\d.]+ Mbit/s in [\d.]+ s of full links, \d+ packets dropped, \d+ packets on 4 links", bandwidth["proof"]
    )
    for fault in manifest["faults"]:
        assert re.search(r"packets pass, round trips to 2 hosts [\d.]+( to [\d.]+)? ms", fault["healed_proof"])


def test_a_packet_filter_that_does_not_filter_is_no_proof(testbed: LocalTestbed) -> None:
    host, other = (testbed.inventory.host(name) for name in ("us-east-1-1", "us-east-1-2"))
    folder = "geobench/sabotage"
    script = {f"{folder}/inject.pyz": build_archive("inject")}
    testbed.fleet.put({host.name: script}, deadline=20).raise_for_failures("put")
    opened = testbed.fleet.open(
        f"exec python3 -I -S {folder}/inject.pyz serve {folder} mark $SSH_CONNECTION", hosts=[host.name], deadline=20
    )
    session = opened.raise_for_failures("open")[host.name]

    def order(do: str, number: int, **details: Any) -> tuple[bool, str]:
        session.send(json.dumps({"do": do, "id": str(number), **details}) + "\n")
        deadline = time.monotonic() + 20
        while not (lines := session.read_lines()):
            assert not session.ended, session.stderr
            assert time.monotonic() < deadline
            time.sleep(0.01)
        answer = json.loads(lines[0])
        return answer["ok"], answer["text"]

    def inject(number: int, share: float, *, cut: bool = True) -> None:
        peer = {"address": other.address, "port": 9100, "in": cut, "out": cut}
        assert order("prepare", number, mechanisms=[{"kind": "drop", "peers": [peer], "share": share}])[0]
        assert order("inject", number, deadline_s=60)[0]

    try:
        inject(1, 1.0)
        assert order("prove", 1)[0]
        testbed.output(host.name, "nft flush ruleset")  # by somebody else
        ok, text = order("prove_held", 1)
        assert not ok
        assert "No such file or directory" in text
        assert order("heal", 1) == (True, "")
        inject(2, 1.0, cut=False)  # a table without rules
        assert order("prove", 2) == (False, f"still reaches {other.address}")
        inject(3, 0.5, cut=False)
        assert order("prove", 3) == (False, "0 of 0 packets dropped")
    finally:
        session.finish_input()
        deadline = time.monotonic() + 20
        while not session.ended and time.monotonic() < deadline:
            time.sleep(0.01)
        session.close()
        testbed.output(host.name, "nft --file /etc/nftables.conf")
    assert "geobench_" not in testbed.output(host.name, "nft list tables")


def test_hosts_heal_their_faults_when_the_runner_is_killed(runner: Runner, tmp_path: Path) -> None:
    testbed = runner.testbed
    settings = {
        "testbed_id": "it-protocols", "regions": testbed.inventory.regions,
        "faults": ["pause:node-0@0s-100s", "partition:node-1@0s-100s"], "results_dir": str(tmp_path / "results"),
        "scrape_interval": "1s",
    }  # fmt: skip
    files = {"inventory": testbed.inventory.model_dump_json(), "settings": json.dumps(settings)}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    options = [word for name in files for word in (f"--{name}", str(tmp_path / name))]
    command = [sys.executable, "-m", "benchmark", "run", *options]
    command += ["--loads", "20", "--committee", "3", "--duration", "100s", "--warm-up", "1s", "--protocol", "etcd"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    paused, cut = "us-east-1-1", "eu-west-1-0"
    states = 'read -r pid _ <geobench/run/node-0/pid && cut -d " " -f 3 /proc/$pid/stat'

    def wait_for(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 40
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def in_force() -> bool:
        assert process.poll() is None, process.communicate()[1]
        return testbed.output(paused, f"{states} || true").strip() == "T" and "geobench_" in filters()

    def filters() -> str:
        return testbed.output(cut, "nft list tables")

    with process:
        try:
            wait_for(in_force)
        finally:
            process.kill()
    wait_for(lambda: "geobench_" not in filters())
    wait_for(lambda: not testbed.testbed.probe(clean=False)[paused].stale_processes)
    assert testbed.output(paused, "ls geobench/run/faults.json 2>/dev/null || true") == ""


def test_load_in_steps_is_sent_as_scheduled(runner: Runner) -> None:
    summary = runner(str(EXAMPLES / "nginx.yaml"), 200, committee=1, load_shape="steps:2", duration_s=8.0)
    assert beside_load(summary.reasons) == []
    assert not summary.saturated or summary.status == "invalid"
    # Half of the window has 100 tx/s, half 200; the first and last sample may lie a second inside.
    assert summary.scheduled_tps == pytest.approx(150, rel=0.1)
    assert summary.completed_tps == pytest.approx(summary.scheduled_tps, rel=0.1)
    config = json.loads(runner.read(runner.manifest(summary)["placement"]["clients"][0], "client-0/config.json"))
    assert config["profile"] == [[0, 100, 100], [2, 100, 100], [6, 200, 200]]


def test_pgbench_is_measured_as_its_own_summary_says(runner: Runner) -> None:
    summary = runner(
        str(EXAMPLES / "postgres.yaml"),
        100,
        committee=2,
        duration_s=3.0,
        node_parameters={"scale": 1},
        client_parameters={"connections": 12, "script": "select-only"},
    )
    assert (beside_load(summary.reasons), summary.closed_loop, summary.errors) == ([], False, {})
    assert summary.window is not None
    placement = runner.manifest(summary)["placement"]
    for index, host in enumerate(placement["clients"]):
        printed = runner.read(host, f"logs/client-{index}.log")
        rows = [line.split() for line in runner.read(host, f"client-{index}/transactions.*").splitlines()]
        ended = [int(row[4]) + int(row[5]) / 1e6 for row in rows]
        log = runner.latencies(summary, index)
        assert len(rows) == _number(printed, r"actually processed: (\d+)") == log.counts.sum()
        assert log.mean == pytest.approx(_number(printed, r"latency average = ([\d.]+) ms") / 1000, rel=0.01)
        _check_window(summary.by_client[host], summary.window, ended, [int(row[2]) / 1e6 for row in rows])
    assert "started streaming WAL from primary" in runner.read(placement["nodes"][1], "logs/node-1.log")


def test_h2load_is_measured_as_its_own_summary_says(runner: Runner) -> None:
    summary = runner(
        str(EXAMPLES / "nginx-h2load.yaml"),
        200,
        committee=1,
        duration_s=3.0,
        client_parameters={"connections": 10},
    )
    assert (beside_load(summary.reasons), summary.closed_loop, summary.errors) == ([], True, {})
    assert any("closed-loop load generator" in text for text in summary.warnings)
    assert summary.window is not None
    (host,) = runner.manifest(summary)["placement"]["clients"]
    printed = runner.read(host, "logs/client-0.log")
    rows = [[float(word) for word in line.split()] for line in runner.read(host, "client-0/requests.tsv").splitlines()]
    log = runner.latencies(summary, 0)
    assert len(rows) == _number(printed, r"(\d+) succeeded") == log.counts.sum()
    times = re.search(r"time for request: +[\d.]+(?:us|ms) +([\d.]+)(us|ms) +([\d.]+)(us|ms)", printed)
    assert times, printed
    unit = {"us": 1e-6, "ms": 1e-3}
    assert log.slowest == pytest.approx(float(times[1]) * unit[times[2]], rel=0.01)
    assert log.mean == pytest.approx(float(times[3]) * unit[times[4]], rel=0.01)
    assert summary.completed_tps == pytest.approx(_number(printed, r"([\d.]+) req/s"), rel=0.01)
    ended = [(row[0] + row[2]) / 1e6 for row in rows]
    _check_window(summary.by_client[host], summary.window, ended, [row[2] / 1e6 for row in rows])


def test_remora_gets_its_configuration_and_its_load(runner: Runner, remora_binaries: Path) -> None:
    summary = runner("remora", 200, committee=2, dedicated_clients=2, binaries=remora_binaries)
    assert (summary.nodes, summary.clients) == (2, 2)
    assert_measured(summary, 200)
    placement = runner.manifest(summary)["placement"]
    primary = runner.testbed.inventory.host(placement["nodes"][0])
    for index, host in enumerate(placement["clients"]):
        validator = yaml.safe_load(runner.read(host, f"client-{index}/validator.yaml"))
        assert validator["client_server_address"] == f"{primary.address}:18501"
        assert yaml.safe_load(runner.read(host, f"client-{index}/benchmark.yaml"))["load"] == 100
    assert runner.read(placement["nodes"][1], "logs/node-1.log").startswith("info: 1")


def test_throughput_of_replicas_that_count_everything_is_not_summed(runner: Runner, replica: Path) -> None:
    summary = runner("mysticeti", 205, binaries=replica)
    assert (summary.nodes, summary.clients) == (4, 0)
    assert_measured(summary, 200)
    assert [text for text in summary.warnings if "200 tx/s were scheduled of 205 requested" in text]
    shown = [event.completed_tps for event in runner.events if isinstance(event, Progress)]
    assert shown[-1] == pytest.approx(200, rel=0.5)  # not 800
    manifest = runner.manifest(summary)
    assert manifest["parameters"]["scheduled_tps"] == 200
    assert sorted(manifest["parameters"]["shares_tps"]) == [50, 50, 50, 50]
    to_commit, block, kinds, leaders = summary.breakdown
    committed = to_commit.values[""]
    assert committed.count == pytest.approx(4 * 200 * committed.sampled_seconds, rel=0.1)
    assert block.unknown == "no node exports `block_latency_s` as a histogram"
    assert list(kinds.values) == ["direct-commit"]
    assert list(leaders.values) == sorted(manifest["placement"]["nodes"])
    assert kinds.values["direct-commit"].count == sum(stats.count or 0 for stats in leaders.values.values())


def test_failed_preparation_ends_the_run_with_its_output(runner: Runner, replica: Path) -> None:
    text = (
        (replica / "replica")
        .read_text()
        .replace("    folder.mkdir(parents", '    sys.exit("no entropy")\n    folder.mkdir(parents')
    )
    (replica / "replica").write_text(text)
    with pytest.raises(SystemFailure, match=r"node-\d on .*: replica test-genesis .*exit code 1(.|\n)*no entropy"):
        runner("mysticeti", 200, committee=3, binaries=replica)


def test_node_of_the_current_run_is_profiled(runner: Runner) -> None:
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(runner, str(EXAMPLES / "nginx.yaml"), 1000, committee=1, duration_s=10.0)
        deadline = time.monotonic() + 60
        while not any(isinstance(event, PhaseStarted) and event.name == "measure" for event in runner.events):
            assert time.monotonic() < deadline
            assert not run.done(), run.result()
            time.sleep(0.05)
        stacks = profile(runner.testbed.testbed, "node-0", 6.0, "fp")
        assert run.result().status in ("ok", "invalid")  # sampling takes CPU time, too
    # Which functions are sampled depends on the machine; that there are samples and that symbols are resolved does not.
    assert {stack[0] for stack in stacks} == {"nginx"}
    assert any(not frame.startswith("[") for stack in stacks for frame in stack[1:]), stacks
    with pytest.raises(UsageError, match="no run is in progress"):
        profile(runner.testbed.testbed, "node-0", 1.0, "fp")


def test_last_output_of_a_crashed_system_is_in_the_results(runner: Runner, tmp_path: Path) -> None:
    path = tmp_path / "dies.yaml"
    script = "echo 'ERROR: disk'; echo \"thread 'main' panicked at src/main.rs:1:2:\"; sleep 3; exit 101"
    declared = {
        "name": "dies", "node": {"ports": {"http": 8000}, "command": script}, "load": {"url": "http://127.0.0.1:8000/"}
    }  # fmt: skip
    path.write_text(yaml.safe_dump(declared))
    with pytest.raises(
        SystemFailure, match=r"node-\d on .* ended with exit code 101(.|\n)*panicked at src/main.rs:1:2"
    ):
        runner(str(path), 10, committee=2)
    (folder,) = (runner.results / runner.testbed.inventory.testbed_id).glob("2*")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "failed"
    for node in ("node-0", "node-1"):
        assert summary["log_findings"][node]["panic"]["count"] == 1
        assert summary["log_findings"][node]["error"]["first"] == ["ERROR: disk"]
    assert len([path for path in folder.glob("logs/*/node-*.log.gz") if "panicked" in read_log(path)]) == 2


def _check_window(stats: WindowStats, window: Window, ended: Sequence[float], latencies: Sequence[float]) -> None:
    """Compare the statistics of a client with those of the requests in its own file."""
    inside = np.sort(np.array(latencies)[(np.array(ended) >= window.start) & (np.array(ended) < window.end)])
    assert stats.completed == len(inside) > 50
    assert stats.completed_tps == pytest.approx(len(inside) / window.seconds, rel=1e-6)
    assert stats.latency_s is not None
    assert stats.latency_s.mean == pytest.approx(inside.mean(), rel=0.01)
    for name, share in {"p50": 0.5, "p90": 0.9, "p99": 0.99}.items():
        assert stats.latency_s.quantiles[name].estimate == pytest.approx(
            inside[math.ceil(share * len(inside)) - 1], rel=0.01
        )


def _number(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    assert found, text
    return float(found[1])


def _none(summary: Summary) -> dict[str, int]:
    return dict.fromkeys(summary.errors, 0)

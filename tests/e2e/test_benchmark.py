"""The main job as a user does it: the real pulumi, local hosts, etcd, Prometheus and the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes.runner import Runner, beside_load, phases, running
from waiting import wait_for

from benchmark.results.run_folder import SAMPLES

pytestmark = pytest.mark.e2e

SHORT = ("run", "--loads", "60", "--committee", "3", "--duration", "3s", "--warm-up", "1s")
SETTINGS = """\
regions: [us-east-1, eu-west-1, ap-northeast-1]
instances: 2
scrape_interval: 1s
ssh_retries: 0
ssh_timeout: 5s
"""


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with running(tmp_path_factory.mktemp("stack"), "e2erun", SETTINGS) as made:
        yield made


def on(runner: Runner, host: str, command: str) -> str:
    return runner("ssh", host, "bash", "-c", f"'{command}'")[0]


def wait_for_phase(runner: Runner, phase: str, before: set[str]) -> Path:
    """Wait until a run that was not there `before` has begun `phase`; return its folder."""

    def begun() -> list[Path]:
        fresh = [path for path in runner.results.glob("2*") if path.name not in before]
        return [path for path in fresh if phase in phases(path)]

    wait_for(begun, f"phase {phase}")
    return begun()[0]


def known(runner: Runner) -> set[str]:
    return {path.name for path in runner.results.glob("2*")}


@contextmanager
def long_run(runner: Runner) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run that measures for ten minutes, and its folder; it is killed if it has not ended with the block."""
    before = known(runner)
    process = runner.start("run", "--loads", "60", "--committee", "3", "--duration", "10m", "--warm-up", "0s")
    try:
        yield process, wait_for_phase(runner, "measure", before)
    finally:
        process.kill()
        process.communicate()


def measured(runner: Runner, *arguments: str) -> Any:
    """Run a benchmark and return its JSON; the machine may be loaded."""
    document = json.loads(runner(*arguments, "--json", codes=(0, 1))[0])
    summaries = document if isinstance(document, list) else document["runs"]
    assert {summary["status"] for summary in summaries} <= {"ok", "invalid"}
    assert [reason for summary in summaries for reason in beside_load(summary["reasons"])] == []
    return document


@pytest.mark.quiet
def test_run_ends_with_a_verifiable_result(runner: Runner) -> None:
    out, err = runner("run", "--loads", "100", "--duration", "8s", "--warm-up", "3s", "--json")
    (summary,) = json.loads(out)
    assert (summary["status"], summary["protocol"], summary["requested_tps"]) == ("ok", "etcd", 100), summary["reasons"]
    assert summary["nodes"] == summary["clients"] == 5
    assert summary["completed_tps"] == pytest.approx(100, rel=0.03)
    assert summary["window"]["seconds"] == pytest.approx(8, abs=0.01)
    p50 = summary["latency_s"]["p50"]
    assert p50["lower"] <= p50["estimate"] <= p50["upper"] <= 1.5 * p50["lower"]
    assert summary["leader"] == "us-east-1-1"  # node-0, whichever was elected first
    assert "measuring" in err
    parts = {part["name"]: part for part in summary["breakdown"]}
    assert parts["WAL fsync"]["by_region"].keys() == summary["by_region"].keys()
    assert parts["WAL fsync"]["values"][""]["count"] > 100 * 8  # of each put, on one member at least
    assert parts["backend commit"]["values"][""]["latency_s"]["mean"] > 0
    hosts = {"us-east-1-1", "us-east-1-0", "eu-west-1-0", "eu-west-1-1", "ap-northeast-1-0", "ap-northeast-1-1"}
    assert parts["peer round trip"]["values"].keys() <= hosts, "members are known by their hosts"

    folder = runner.results / "latest"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sum(manifest["parameters"]["shares_tps"]) == 100
    assert manifest["packages"]["etcd-server"]
    assert manifest["start_skew_s"] < 0.5
    assert len(manifest["rtt_ms"]) == 6
    requested, network = manifest["inventory"]["round_trips"], manifest["network"]
    assert {"us-east-1/eu-west-1", "eu-west-1/us-east-1"} <= network.keys() <= requested.keys()
    for pair, trips in network.items():
        for rtt_ms in (trips["before_ms"], trips["after_ms"]):
            assert rtt_ms == pytest.approx(requested[pair]["rtt_ms"], rel=0.02, abs=1)
    assert len(list(folder.glob("logs/*/*.log.gz"))) == 10
    assert (folder / "samples.parquet").stat().st_size > 1000
    text = "".join(path.read_text(errors="replace") for path in folder.rglob("*.json*"))
    assert "PRIVATE KEY" not in text


@pytest.mark.quiet
def test_latency_matches_the_prediction_from_round_trips(runner: Runner) -> None:
    root = Path(__file__).resolve().parents[2]
    printed = ""
    for _ in range(3):  # a busy machine adds to latency
        runner("run", "--loads", "20", "--duration", "8s", "--warm-up", "2s", codes=(0, 1))
        command = [sys.executable, "-m", "tools.accuracy.latency_model", str((runner.results / "latest").resolve())]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        printed = done.stdout + done.stderr
        if done.returncode == 0:
            return
    pytest.fail(printed)


def test_each_load_is_a_separate_run(runner: Runner) -> None:
    before = known(runner)
    document = measured(runner, "run", "--loads", "30", "60", "--committee", "3", "--duration", "4s", "--warm-up", "2s")
    assert [summary["requested_tps"] for summary in document["runs"]] == [30, 60]
    made = {summary["run_id"] for summary in document["runs"]} | {document["sweep"]["sweep_id"]}
    assert known(runner) - before == made


def test_invalid_run_exits_with_1(runner: Runner, tmp_path: Path) -> None:
    deaf = tmp_path / "deaf.yaml"
    deaf.write_text("name: deaf\nnode: {command: exec sleep 600}\nload: {url: 'http://{{ nearest.address }}:9/'}\n")
    short = ("--committee", "1", "--duration", "3s", "--warm-up", "1s")
    out, err = runner("run", "--loads", "60", "--protocol", str(deaf), *short, "--json", codes=(1,))
    (summary,) = json.loads(out)
    assert summary["status"] == "invalid"
    assert "no transaction completed in the window" in summary["reasons"]
    assert summary["errors"]["connection"] == pytest.approx(120, abs=61)
    assert summary["latency_s"]["p50"] == {"estimate": 10.0, "lower": 10.0, "upper": None}
    assert "warning: a duration of 3 s is less than 10 scrape intervals of 1s" in err
    assert "report: " in err


def test_a_duration_without_samples_is_rejected_before_anything_starts(runner: Runner) -> None:
    before = known(runner)
    for duration in ("0s", "2s"):
        _, err = runner("run", "--loads", "60", "--duration", duration, codes=(2,))
        assert f"a duration of {duration} is too short to be measured; use at least 3s, 3 scrape intervals of 1s" in err
    assert known(runner) == before


def test_killed_runner_leaves_nothing_and_the_next_takes_over(runner: Runner) -> None:
    # Each run is killed one phase later than the one before, so it has taken over what that one left.
    for phase in ("configure", "start_nodes", "start_clients", "warm_up", "measure", "stop", "collect"):
        before = known(runner)
        process = runner.start(*SHORT)
        try:
            wait_for_phase(runner, phase, before)
        finally:
            process.kill()
            process.communicate()
    measured(runner, *SHORT)
    assert json.loads(runner("stop", "--json")[0]) == {"ended": {}, "failed": {}}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_is_reported_and_cleaned_up(runner: Runner, number: signal.Signals) -> None:
    with long_run(runner) as (process, folder):
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    assert (folder / SAMPLES).stat().st_size > 1000
    assert len(list(folder.glob("logs/*/*.log.gz"))) == 6
    assert json.loads(runner("stop", "--json")[0]) == {"ended": {}, "failed": {}}


def test_second_run_on_a_testbed_is_rejected(runner: Runner) -> None:
    with long_run(runner) as (process, _):
        _, err = runner(*SHORT, codes=(3,))
        assert f"(process {process.pid}) since 2" in err
        assert "stop --force" in err
        runner("stop", "--force")
        process.communicate(timeout=60)
        assert process.returncode != 0
    measured(runner, *SHORT)


def test_dead_node_ends_the_run_with_its_last_log_lines(runner: Runner) -> None:
    with long_run(runner) as (process, folder):
        host = json.loads((folder / "manifest.json").read_text())["placement"]["nodes"][1]
        on(runner, host, "read -r pid _ <geobench/run/node-1/pid && kill -KILL $pid")
        _, err = process.communicate(timeout=45)
    assert process.returncode == 1, err
    assert f"node-1 on {host} ended by signal 9; its last log lines:" in err
    assert json.loads((folder / "summary.json").read_text())["status"] == "failed"
    assert list(folder.glob("logs/*/node-1.log.gz"))


def test_port_in_use_is_reported_before_anything_starts(runner: Runner) -> None:
    host = next(host.name for host in runner.stack.inventory().instances)
    serve = 'import socket, time; s = socket.create_server((\\"0.0.0.0\\", 2379)); time.sleep(120)'
    holder = runner.start("ssh", host, f'exec timeout 100 python3 -c "{serve}"')
    try:
        wait_for(lambda: ":2379 " in runner("ssh", host, "ss -ltn")[0], "a listener on 2379")
        _, err = runner("run", "--loads", "60", codes=(3,))
        assert f"{host}: port 2379 is in use" in err
    finally:
        runner("ssh", host, "pkill -f [c]reate_server || true")
        holder.communicate(timeout=30)


def test_status_and_check_list_every_host(runner: Runner) -> None:
    states = json.loads(runner("status", "--json")[0])["hosts"]
    assert len(states) == 6
    assert set(states.values()) == {"ready"}
    assert "2 ready" in runner("status")[0]
    found = json.loads(runner("check", "--json")[0])
    assert all(host["problem"] is None and abs(host["clock"]["offset_s"]) < 0.05 for host in found.values())


def test_results_and_logs_commands_find_the_runs(runner: Runner) -> None:
    measured(runner, *SHORT)
    summary = runner.latest()
    listed = json.loads(runner("results", "--json")[0])
    assert summary["run_id"] in [each["run_id"] for each in listed]
    assert "etcd" in runner("logs", summary["run_id"], "node-0")[0]
    _, err = runner("logs", summary["run_id"], "node-9", codes=(2,))
    assert "node-0" in err

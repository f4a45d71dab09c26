"""The probe workload runs against real HTTP servers, and the checker judges its history."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from factories.hosts import inventory
from fakes.key_value_store import Fault, key_value_store
from waiting import wait_for

from benchmark.host_scripts.probe_workload import Client, History
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.probe import HISTORY, probe
from benchmark.protocols.process import Plan
from benchmark.protocols.registry import find_protocol
from benchmark.settings import Settings
from benchmark.verify.linearizability import check_history

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="building the checker needs Go")


def start(folder: Path, endpoints: list[str], **changed: object) -> subprocess.Popen[str]:
    """Start the workload as it runs on hosts, faster."""
    plan = Plan(inventory(a=2).hosts[1:], (), 0, ())
    process = probe(Etcd(EtcdNode(), EtcdClient()).key_value_api(plan), plan)
    for name, content in process.files.items():
        assert isinstance(content, str)
        (folder / name).write_text(content)
    config = json.loads((folder / "config.json").read_text())
    (example,) = config["replicas"]
    own = [json.loads(json.dumps(example).replace("127.0.0.1:2379", endpoint)) for endpoint in endpoints]
    (folder / "config.json").write_text(json.dumps(config | {"replicas": own, "rate": 2000} | changed))
    started = subprocess.Popen(
        [sys.executable, *process.argv[1:]], cwd=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert started.stdin is not None
    started.stdin.write(f"go {time.time():.6f}\n")
    started.stdin.flush()
    return started


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def probed(folder: Path, fault: Fault) -> Path:
    with key_value_store(fault) as (store, replicas):
        process = start(folder, replicas)
        wait_for(lambda: store.requests > 500, "requests", 20)
        stop(process)
    return folder / HISTORY


def lines(history: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in history.read_text().splitlines()]


def test_a_correct_system_passes_and_its_keys_are_read_back(tmp_path: Path) -> None:
    history = probed(tmp_path, "none")
    found, window = check_history(history)
    assert (found.verdict, found.reason, window) == ("ok", "", None)
    _, *operations, end = lines(history)
    assert found.operations == len(operations)
    assert end == {"complete": True, "unread": []}
    assert {each["op"] for each in operations} == {"read", "write", "cas"}
    assert {each.get("swapped") for each in operations if each["op"] == "cas"} == {True, False}
    values = [each["value"] for each in operations if each["op"] != "read"]
    assert len(values) == len(set(values))
    last = [each["op"] for each in operations[-80:]]
    assert last == 8 * 10 * ["read"]


@pytest.mark.parametrize("fault", ["loses writes", "stale reads", "split brain"])
def test_an_incorrect_system_is_caught(fault: Fault, tmp_path: Path) -> None:
    found, window = check_history(probed(tmp_path, fault))
    assert found.verdict == "violation"
    assert window is not None
    assert found.reason.startswith(f"key {window.key}, ")
    assert 1 < len(window.operations) < 60


def test_a_replica_that_is_down_does_not_delay_the_end(tmp_path: Path) -> None:
    with key_value_store("none") as (store, replicas):
        process = start(tmp_path, [*replicas, "127.0.0.1:1"], read_back_s=60)
        wait_for(lambda: store.requests > 100, "requests", 20)
        stop(process)
    assert lines(tmp_path / HISTORY)[-1] == {"complete": True, "unread": []}


def test_operations_without_answer_are_unknown_and_unsent_ones_failed(tmp_path: Path) -> None:
    with key_value_store("no answer") as (store, replicas):
        process = start(tmp_path, [replicas[0], "127.0.0.1:1"], read_back_s=0.1)
        wait_for(lambda: store.requests > 4, "requests", 20)
        stop(process)
    _, *operations, end = lines(tmp_path / HISTORY)
    outcomes = {(each["client"] % 2, each["outcome"]) for each in operations}
    assert outcomes == {(0, "unknown"), (1, "failed")}
    assert end["unread"] == [str(key) for key in range(10)]
    found, _ = check_history(tmp_path / HISTORY)
    assert (found.verdict, found.reason) == ("unknown", "10 keys could not be read back at the end")


FILES = """\
name: files
node: {command: serve}
load: {url: "http://{{ nearest.address }}/"}
verify:
  read:
    command: flock . cat {{ key() }}
    value: ^0 (.*)
    absent: No such file
  write:
    command: flock . bash -c 'echo {{ value() }} >{{ key() }}'
    success: ^0
  cas:
    command: |
      exec 9<.
      flock 9
      [[ $(cat {{ key() }}) == {{ expected() }} ]] || exit 3
      echo {{ value() }} >{{ key() }}
    success: ^0
    mismatch: ^3
"""


def test_commands_read_and_write_a_described_system(tmp_path: Path) -> None:
    (tmp_path / "files.yaml").write_text(FILES)
    kind = find_protocol(str(tmp_path / "files.yaml"))
    plan = Plan(inventory(a=2).hosts[1:], (), 0, ())
    (api,) = make_protocol(kind, Settings(regions=("a",))).key_value_api(plan)
    process = start(tmp_path, [], replicas=[{"node": "node-0", **asdict(api)}], rate=200)
    wait_for(lambda: (tmp_path / HISTORY).exists() and len(lines(tmp_path / HISTORY)) > 100, "operations", 60)
    stop(process)
    _, *operations, end = lines(tmp_path / HISTORY)
    assert end == {"complete": True, "unread": []}
    assert {each["outcome"] for each in operations} == {"ok"}
    assert {each.get("swapped") for each in operations if each["op"] == "cas"} >= {True}
    found, _ = check_history(tmp_path / HISTORY)
    assert (found.verdict, found.reason) == ("ok", "")


@pytest.mark.parametrize(
    ("command", "outcome", "error"),
    [
        ("echo readonly; exit 1", "failed", "1 readonly"),
        ("echo done; exit 1", "unknown", "unexpected response: 1 done"),
        ("echo done readonly", "unknown", "unexpected response: 0 done readonly"),
        ("sleep 60; echo done", "unknown", "no result within 0.2 s"),
        ("kill -9 $$", "unknown", "no result within"),
    ],
)
def test_only_one_clear_response_decides_an_outcome(tmp_path: Path, command: str, outcome: str, error: str) -> None:
    write = {"command": ["bash", "-c", command], "done": "done", "otherwise": "", "failed": "readonly"}
    replica = {"node": "node-0", "write": write, "read": {**write, "done": "(done)"}}
    config = {"replicas": [replica], "timeout_s": 0.2, "seed": 1, "prefix": ""}
    history = History(tmp_path / "history", {})
    assert not Client(0, config, history, {}).operate("write", "0")
    history.end([])
    _, found, _ = lines(tmp_path / "history")
    assert found["outcome"] == outcome
    assert found["error"].strip().startswith(error)


def test_values_of_others_are_not_used_in_operations(tmp_path: Path) -> None:
    read = {"command": ["echo", "$(reboot)"], "done": "^0 (.*)", "otherwise": "", "failed": "", "base64": False}
    seen: dict[str, str] = {}
    config = {"replicas": [{"node": "node-0", "read": read}], "timeout_s": 5, "seed": 1, "prefix": ""}
    assert Client(0, config, History(tmp_path / "history", {}), seen).operate("read", "0")
    assert seen == {}
    assert lines(tmp_path / "history")[1]["found"] == "$(reboot)"

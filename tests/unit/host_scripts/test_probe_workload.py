"""The probe workload runs against real HTTP servers, and the checker judges its history."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from factories.hosts import inventory
from fakes.key_value_store import Fault, key_value_store
from waiting import wait_for

from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.protocols.probe import HISTORY, probe
from benchmark.protocols.process import Plan
from benchmark.verify.linearizability import check_history

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="building the checker needs Go")


def start(folder: Path, replicas: list[str], **changed: object) -> subprocess.Popen[str]:
    """Start the workload as it runs on hosts, faster."""
    api = Etcd(EtcdNode(), EtcdClient()).key_value_api()
    process = probe(api, Plan(inventory(a=3).hosts[1:], (), 0, ()))
    for name, content in process.files.items():
        assert isinstance(content, str)
        (folder / name).write_text(content)
    config = json.loads((folder / "config.json").read_text()) | {"replicas": replicas, "rate": 2000} | changed
    (folder / "config.json").write_text(json.dumps(config))
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

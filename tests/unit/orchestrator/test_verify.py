"""The history of the probe workload is downloaded, checked and kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.fleet import FakeFleet
from fakes.recorder import Recorder

from benchmark.errors import Interrupted, UsageError
from benchmark.orchestrator import prepare, verify
from benchmark.protocols.etcd import Etcd
from benchmark.results.run_folder import HISTORY, VIOLATION, read_summary
from benchmark.results.summary import Summary
from benchmark.settings import parse_fault

pytestmark = pytest.mark.usefixtures("fast")
STALE = [
    {"format": 1, "started": 0},
    {"client": 0, "op": "write", "key": "4", "value": "a", "outcome": "ok", "start": 0, "end": 1},
    {"client": 0, "op": "read", "key": "4", "found": None, "outcome": "ok", "start": 2, "end": 3},
    {"complete": True, "unread": []},
]


def history(*lines: dict[str, object]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.mark.skipif(shutil.which("go") is None, reason="building the checker needs Go")
def test_a_violation_is_kept_with_its_operations(
    execute: Callable[..., Summary], fleet: FakeFleet, folder: Callable[[], Path]
) -> None:
    fleet.stored[HISTORY] = lambda: history(*STALE)
    found = execute(verify=True)
    assert found.status == "invalid"
    assert found.reasons[0].startswith("linearizability violated: key 4, ")
    assert found.verification is not None
    assert (found.verification.verdict, found.verification.operations) == ("violation", 2)
    assert (folder() / HISTORY).read_bytes() == history(*STALE)
    assert [each["op"] for each in json.loads((folder() / VIOLATION).read_text())["operations"]] == ["write", "read"]
    (probe,) = [session for session in fleet.supervisors() if any("start probe" in line for line in session.sent)]
    assert [line.split()[:2] for line in probe.sent if "probe" in line.split()[:2]][-1] == ["stop", "probe"]
    assert sum("send probe go " in line for line in probe.sent) == 1


def test_a_history_that_cannot_be_copied_is_unknown(
    execute: Callable[..., Summary], fleet: FakeFleet, folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("there is nothing to check")

    def lose(operation: str) -> None:
        if operation == "get" and fleet.operations.count("get") > 1:
            fleet.failed = dict.fromkeys(fleet.hosts, "no such file")

    monkeypatch.setattr(verify, "check_history", fail)
    fleet.hook = lose
    found = execute(verify=True).verification
    assert found is not None
    assert (found.verdict, found.operations) == ("unknown", None)
    assert found.reason.endswith("no such file")
    assert not (folder() / HISTORY).exists()


def test_a_missing_checker_is_reported_before_the_run(
    execute: Callable[..., Summary], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Path:
        raise UsageError("go is not on PATH")

    begin = recorder.begin
    texts: list[str] = []
    monkeypatch.setattr(prepare, "build_checker", fail)
    monkeypatch.setattr(recorder, "begin", lambda: (texts.append(recorder.texts()), begin()))
    execute(verify=True)
    assert "the verdict of --verify will be unknown: go is not on PATH" in texts[0]


def test_a_run_without_probe_has_no_verdict(execute: Callable[..., Summary], folder: Callable[[], Path]) -> None:
    assert execute().verification is None
    assert not (folder() / HISTORY).exists()


@pytest.mark.skipif(shutil.which("go") is None, reason="building the checker needs Go")
def test_the_history_of_an_interrupted_run_is_kept_and_checked(
    execute: Callable[..., Summary], recorder: Recorder, fleet: FakeFleet, folder: Callable[[], Path]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    fleet.stored[HISTORY] = lambda: history(*STALE[:-1])
    recorder.act_in("measure", interrupt)
    with pytest.raises(Interrupted):
        execute(verify=True, duration_s=600.0)
    found = read_summary(folder())
    assert found is not None
    assert (found.status, found.verification and found.verification.verdict) == ("interrupted", "violation")
    assert found.reasons[-1].startswith("linearizability violated: key 4, ")
    assert (folder() / HISTORY).read_bytes() == history(*STALE[:-1])
    assert any(text.startswith("linearizability violated: key 4") for text in recorder.texts())


def test_a_run_that_ends_before_the_load_has_no_history(
    execute: Callable[..., Summary], recorder: Recorder, folder: Callable[[], Path]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    recorder.act_in("start_nodes", interrupt)
    with pytest.raises(Interrupted):
        execute(verify=True)
    found = read_summary(folder())
    assert found is not None
    assert found.verification is None


def test_progress_is_that_of_the_probe_workload(
    execute: Callable[..., Summary], fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = {"format": 1, "started": 0, "started_unix": 1000.0, "replicas": ["node-0"]}
    fleet.stored[HISTORY] = lambda: history(header, *STALE[1:])
    monkeypatch.setattr(Etcd, "progress_within_s", lambda *_: 0.01)
    found = execute(verify=True)
    assert found.progress is not None
    assert found.progress.verdict == "no progress"
    assert found.status == "invalid"
    assert any(text.startswith("no progress: nothing succeeded for ") for text in found.reasons)
    fleet.stored[HISTORY] = lambda: b"{"
    unknown = execute(verify=True).progress
    assert unknown is not None
    assert unknown.reason.startswith("the history could not be read: ")
    assert execute().progress is None


def test_progress_in_runs_with_faults_needs_something_that_shows_it(execute: Callable[..., Summary]) -> None:
    found = execute(faults=(parse_fault("crash:one@5ms-15ms"),), duration_s=1.0).progress
    assert found is not None
    assert (found.verdict, found.longest_s) == ("unknown", None)
    assert found.reason == "only a probe workload, latency logs, or nodes that count transactions show it"

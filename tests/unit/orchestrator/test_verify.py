"""The history of the probe workload is downloaded, checked and kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.fleet import FakeFleet
from fakes.recorder import Recorder

from benchmark.errors import UsageError
from benchmark.orchestrator import prepare, verify
from benchmark.results.run_folder import HISTORY, VIOLATION
from benchmark.results.summary import Summary

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

"""Results are never overwritten, never half written, and found again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.errors import UsageError
from benchmark.results.events import PhaseStarted, WarningIssued, read_events
from benchmark.results.find import find_run
from benchmark.results.run_folder import LATEST, RunFolder, find_runs, new_run_id
from benchmark.results.summary import Identity, not_measured

IDENTITY = Identity(run_id="r", protocol="etcd", commit="3.4", nodes=3, clients=3, requested_tps=200.0)


def test_a_run_is_named_by_what_it_was() -> None:
    name = new_run_id("etcd", "3.4.23-4+b4", 7, 200)
    assert re.fullmatch(r"\d{8}T\d{6}Z-etcd-3\.4\.234b-7n-200tps-[0-9a-f]{4}", name)
    assert re.search(r"-0123abcd-", new_run_id("remora", "0123abcdef" * 4, 2, 200))


def test_latest_leads_to_the_newest(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "t", "20260101T000000Z-a")
    second = RunFolder.create(tmp_path, "t", "20260102T000000Z-b")
    assert (tmp_path / "t" / LATEST).resolve() == second.path
    second.write("manifest.json", "{}")
    assert find_run(tmp_path, LATEST) == second.path


def test_a_folder_is_never_taken_twice(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "t", "a")
    with pytest.raises(UsageError, match="cannot write results"):
        RunFolder.create(tmp_path, "t", "a")


def test_runs_are_listed_with_and_without_a_summary(tmp_path: Path) -> None:
    done = RunFolder.create(tmp_path, "t", "20260101T000000Z-a")
    done.write("summary.json", not_measured(IDENTITY, "failed", "node-0 ended").to_json())
    RunFolder.create(tmp_path, "u", "20260102T000000Z-b")
    (path, summary, _), (_, killed, _) = find_runs(tmp_path)
    assert path == done.path
    assert summary is not None
    assert (summary.status, summary.reasons) == ("failed", ["node-0 ended"])
    assert killed is None


def test_a_run_is_found_by_its_beginning_if_that_is_unique(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, "t", "20260101T000000Z-a")
    RunFolder.create(tmp_path, "t", "20260101T000000Z-b")
    assert find_run(tmp_path, "20260101T000000Z-a") == first.path
    with pytest.raises(UsageError, match="2 results match"):
        find_run(tmp_path, "2026")
    with pytest.raises(UsageError, match="no run matches"):
        find_run(tmp_path, "2025")


def test_events_are_lines(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "t", "a")
    events = [PhaseStarted("stop"), WarningIssued("a\nb ∞")]
    for event in events:
        folder.append_event(event)
    assert len((folder.path / "events.jsonl").read_text().splitlines()) == 2
    assert read_events(folder.path / "events.jsonl") == events

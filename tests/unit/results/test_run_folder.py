"""Run folders are never overwritten, and their files are written atomically."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from benchmark.errors import StorageError, UsageError
from benchmark.results.events import PhaseStarted, WarningIssued, read_events
from benchmark.results.find import find_run
from benchmark.results.layout import LATEST
from benchmark.results.run_folder import RunFolder, find_runs, is_running, new_run_id, without_result
from benchmark.results.summary import Identity, not_measured

IDENTITY = Identity(run_id="r", protocol="etcd", commit="3.4", nodes=3, clients=3, requested_tps=200.0)


def test_run_id_contains_protocol_commit_nodes_and_load() -> None:
    name = new_run_id("etcd", "3.4.23-4+b4", 7, 200)
    assert re.fullmatch(r"\d{8}T\d{6}Z-etcd-3\.4\.234b-7n-200tps-[0-9a-f]{4}", name)
    assert re.search(r"-0123abcd-", new_run_id("remora", "0123abcdef" * 4, 2, 200))


def test_latest_links_to_the_newest_run(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "t", "20260101T000000Z-a")
    second = RunFolder.create(tmp_path, "t", "20260102T000000Z-b")
    assert (tmp_path / "t" / LATEST).resolve() == second.path
    second.write("manifest.json", "{}")
    assert find_run(tmp_path, LATEST) == second.path


def test_existing_run_folder_is_never_reused(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "t", "a")
    with pytest.raises(UsageError, match="cannot write results"):
        RunFolder.create(tmp_path, "t", "a")


def test_find_runs_includes_runs_without_a_summary(tmp_path: Path) -> None:
    done = RunFolder.create(tmp_path, "t", "20260101T000000Z-a")
    done.write("summary.json", not_measured(IDENTITY, "failed", "node-0 ended").to_json())
    RunFolder.create(tmp_path, "u", "20260102T000000Z-b")
    (path, summary, _), (_, killed, _) = find_runs(tmp_path)
    assert path == done.path
    assert summary is not None
    assert (summary.status, summary.reasons) == ("failed", ["node-0 ended"])
    assert killed is None


def test_run_is_found_by_a_unique_prefix(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, "t", "20260101T000000Z-a")
    RunFolder.create(tmp_path, "t", "20260101T000000Z-b")
    assert find_run(tmp_path, "20260101T000000Z-a") == first.path
    with pytest.raises(UsageError, match="2 results match"):
        find_run(tmp_path, "2026")
    with pytest.raises(UsageError, match="no run matches"):
        find_run(tmp_path, "2025")


def test_each_event_is_one_line(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "t", "a")
    events = [PhaseStarted("stop"), WarningIssued("a\nb ∞")]
    for event in events:
        folder.append_event(event)
    assert len((folder.path / "events.jsonl").read_text().splitlines()) == 2
    assert read_events(folder.path / "events.jsonl") == events


def test_state_of_a_run_without_a_summary_depends_on_its_process(tmp_path: Path) -> None:
    running = RunFolder.create(tmp_path, "t", "20260101T000000Z-a")
    ended = RunFolder.create(tmp_path, "t", "20260102T000000Z-b")
    ended.close()
    damaged = RunFolder.create(tmp_path, "t", "20260103T000000Z-c")
    damaged.write("summary.json", "{")
    (tmp_path / "t" / "20260104T000000Z-d").mkdir()
    assert [run.state for run in find_runs(tmp_path)] == ["running", "killed", "damaged", "killed"]
    assert without_result(running.path) == "it is still running"
    assert without_result(ended.path) == "it was killed before it had one"


def test_lock_of_a_run_ends_with_its_process(tmp_path: Path) -> None:
    script = "import sys, signal, pathlib; from benchmark.results.run_folder import RunFolder;"
    script += "kept = RunFolder.create(pathlib.Path(sys.argv[1]), 't', 'a'); print(flush=True); signal.pause()"
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    try:
        process.stdout.readline()
        assert is_running(tmp_path / "t/a")
    finally:
        process.kill()
        process.communicate()
    assert not is_running(tmp_path / "t/a")


def test_events_that_cannot_be_written_end_no_run(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "t", "a")
    (folder.path / "events.jsonl").unlink()
    (folder.path / "events.jsonl").symlink_to("/dev/full")
    full = RunFolder(folder.path)
    full.append_event(PhaseStarted("stop"))
    full.append_event(PhaseStarted("collect"))


@pytest.mark.parametrize("name", ["summary.json", "manifest.json"])
def test_file_that_cannot_be_written_is_named_with_its_reason(tmp_path: Path, name: str) -> None:
    folder = RunFolder.create(tmp_path, "t", "a")
    (folder.path / name).mkdir()
    with pytest.raises(StorageError, match=f"cannot write .*{name}: Is a directory"):
        folder.write(name, "{}")

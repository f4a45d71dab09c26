"""Snapshots: requests to Prometheus and its host, and what is missing to open one."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories.hosts import inventory
from fakes.fleet import FakeFleet

from benchmark.errors import HostError, InfrastructureError, UsageError
from benchmark.orchestrator.snapshot import SNAPSHOT, opened_snapshot, save_snapshot
from benchmark.remote.fleet import Results

API = {
    "/api/v1/admin/tsdb/snapshot": {"status": "success", "data": {"name": "20260101T000000Z-1"}},
    "/api/v1/status/flags": {"status": "success", "data": {"storage.tsdb.path": "/var/lib/prometheus/metrics2/"}},
}


class SnapshotFleet(FakeFleet):
    """A monitoring host whose snapshot is a folder with one block."""

    problem = ""
    """Why it cannot be downloaded."""

    def get(self, paths: object, into: Path, *, deadline: float, limit: int = 1 << 30) -> Results[Path]:
        self.touch("get")
        self.wanted = paths
        if self.problem:
            return Results({}, {"a-0": self.problem})
        (into / "a-0" / "20260101T000000Z-1" / "block").mkdir(parents=True)
        return Results({"a-0": into / "a-0"})


@pytest.fixture
def fleet() -> SnapshotFleet:
    return SnapshotFleet(inventory(a=1).hosts)


@pytest.fixture
def prometheus() -> Iterator[tuple[str, list[tuple[str, str]], dict[str, object]]]:
    """The URL of an HTTP server that answers like Prometheus, the requests to it, and its answers."""
    requests: list[tuple[str, str]] = []
    answers: dict[str, object] = dict(API)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            requests.append((self.command, self.path))
            body = json.dumps(answers[self.path]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.005,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requests, answers
        server.shutdown()
        thread.join()


Server = tuple[str, list[tuple[str, str]], dict[str, object]]


def test_a_snapshot_is_taken_downloaded_and_removed_from_the_host(
    fleet: SnapshotFleet, prometheus: Server, tmp_path: Path
) -> None:
    url, requests, _ = prometheus
    saved = save_snapshot(fleet, "a-0", url, tmp_path)
    assert requests == [("POST", "/api/v1/admin/tsdb/snapshot"), ("GET", "/api/v1/status/flags")]
    remote = "/var/lib/prometheus/metrics2/snapshots/20260101T000000Z-1"
    assert fleet.wanted == {"a-0": [remote]}
    assert saved == tmp_path / SNAPSHOT
    assert [path.name for path in saved.iterdir()] == ["block"]
    assert [path.name for path in tmp_path.iterdir()] == [SNAPSHOT]
    assert f"rm -rf {remote}" in fleet.commands[0]


def test_a_prometheus_without_its_admin_api_is_an_error(
    fleet: SnapshotFleet, prometheus: Server, tmp_path: Path
) -> None:
    url, _, answers = prometheus
    answers["/api/v1/admin/tsdb/snapshot"] = {"status": "error", "error": "admin APIs disabled"}
    with pytest.raises(InfrastructureError, match=r"admin APIs disabled; it must run with --web\.enable-admin-api"):
        save_snapshot(fleet, "a-0", url, tmp_path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"status": "success", "data": {"name": "../../../../home"}}, "the name '../../../../home', which is not one"),
        ({"status": "success", "data": {"name": ".."}}, "the name '..', which is not one"),
        ({"status": "success", "data": {"name": 1}}, "malformed answer to .*: name is missing"),
        ({"status": "success", "data": {}}, "malformed answer to .*: name is missing"),
        ({"status": "success"}, "malformed answer"),
        ([], "Prometheus rejected"),
        (None, "Prometheus rejected"),
    ],
)
def test_a_hostile_answer_touches_no_files(
    fleet: SnapshotFleet, prometheus: Server, tmp_path: Path, answer: object, message: str
) -> None:
    url, _, answers = prometheus
    answers["/api/v1/admin/tsdb/snapshot"] = answer
    with pytest.raises(InfrastructureError, match=message):
        save_snapshot(fleet, "a-0", url, tmp_path)
    assert fleet.commands == []
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_is_an_error_after_the_copy_on_the_host_was_removed(
    fleet: SnapshotFleet, prometheus: Server, tmp_path: Path
) -> None:
    fleet.problem = "disk full"
    with pytest.raises(HostError, match="could not save the snapshot of Prometheus from:\n  a-0: disk full"):
        save_snapshot(fleet, "a-0", prometheus[0], tmp_path)
    assert len(fleet.commands) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_prometheus_that_does_not_answer_is_an_error(fleet: SnapshotFleet, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"Prometheus did not answer http://127\.0\.0\.1:1/"):
        save_snapshot(fleet, "a-0", "http://127.0.0.1:1", tmp_path)


def test_a_run_without_a_snapshot_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no snapshot; save one with `.*--snapshot`"), opened_snapshot(tmp_path):
        pass


def test_opening_needs_prometheus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / SNAPSHOT).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no `prometheus` on PATH"), opened_snapshot(tmp_path):
        pass

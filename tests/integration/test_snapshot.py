"""A snapshot of a real Prometheus: saved over SSH, removed there, opened here with the same samples."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from fakes.sshd import USER, Sshd

from benchmark.errors import InfrastructureError, UsageError
from benchmark.metrics.prometheus import Prometheus
from benchmark.orchestrator.snapshot import SNAPSHOT, opened_snapshot, save_snapshot
from benchmark.remote.fleet import Fleet

pytestmark = pytest.mark.integration

DEADLINE_S = 30.0


@pytest.fixture(params=[True])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes itself five times a second; with its admin API or without."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = tmp_path / "prometheus.yml"
    target = f"{{job_name: self, scrape_interval: 200ms, static_configs: [{{targets: ['{address}']}}]}}"
    config.write_text(f"scrape_configs: [{target}]\n")
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    command += [f"--web.listen-address={address}", *(["--web.enable-admin-api"] if request.param else [])]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            wait_for_samples(f"http://{address}")
            yield f"http://{address}"
        finally:
            process.kill()


def wait_for_samples(url: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        try:
            with Prometheus(url, timeout=timedelta(seconds=2)) as prometheus:
                found = prometheus.samples('up{job="self"}', time.time() - 60, time.time())
            if found and len(found[0].times) >= 3:
                return
        except InfrastructureError:
            pass
        time.sleep(0.05)
    pytest.fail("Prometheus has scraped nothing")


def remote(server: Sshd) -> Fleet:
    return Fleet([server.host("m-0")], USER, server.user_key, timeout=timedelta(seconds=10), retries=1)


def test_saved_snapshot_serves_the_same_samples(source: str, server: Sshd, tmp_path: Path) -> None:
    now = time.time()
    with Prometheus(source) as prometheus:
        (before,) = prometheus.samples('up{job="self"}', now - 60, now)
    last = before.times[-1]  # a scrape that began before `now` may still be stored
    folder = tmp_path / "run"
    folder.mkdir()
    with remote(server) as fleet:
        saved = save_snapshot(fleet, "m-0", source, folder)
    assert saved == folder / SNAPSHOT
    assert list(folder.iterdir()) == [saved]
    assert list((tmp_path / "tsdb" / "snapshots").iterdir()) == []
    files = {path: path.stat().st_mtime_ns for path in saved.rglob("*")}
    with opened_snapshot(folder) as address, Prometheus(address) as again:
        (after,) = again.samples('up{job="self"}', now - 60, last)
    assert list(after.times) == list(before.times)
    assert list(after.values) == list(before.values)
    assert {path: path.stat().st_mtime_ns for path in saved.rglob("*")} == files
    with pytest.raises(requests.ConnectionError):
        requests.get(address, timeout=2, proxies={"http": ""})


@pytest.mark.parametrize("source", [False], indirect=True)
def test_prometheus_without_admin_api_is_reported(source: str, server: Sshd, tmp_path: Path) -> None:
    with remote(server) as fleet, pytest.raises(InfrastructureError, match="enable-admin-api"):
        save_snapshot(fleet, "m-0", source, tmp_path)


def test_run_without_snapshot_says_how_to_take_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run --snapshot"), opened_snapshot(tmp_path):
        pass


def test_broken_snapshot_is_an_error_with_the_last_log_lines(tmp_path: Path) -> None:
    (tmp_path / SNAPSHOT / "01BROKEN").mkdir(parents=True)
    (tmp_path / SNAPSHOT / "wal").write_text("not a folder")
    with pytest.raises(InfrastructureError, match="did not become ready"), opened_snapshot(tmp_path):
        pass

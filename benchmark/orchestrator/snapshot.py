"""The Prometheus data of a testbed, saved with a run and opened again on any machine that has Prometheus."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

from benchmark.errors import InfrastructureError, UsageError
from benchmark.remote.fleet import Fleet

SNAPSHOT = "prometheus"
"""Folder of a run that holds the snapshot's blocks."""
_DEADLINE_S = 60.0
_FETCH_DEADLINE_S = 600.0
_LIMIT = 8 << 30


def save_snapshot(fleet: Fleet, host: str, url: str, folder: Path) -> Path:
    """Save all that the Prometheus at `url`, which runs on `host`, holds now into `folder`; return where it lies.

    The copy on the host is removed. Raises InfrastructureError. API:
    https://prometheus.io/docs/prometheus/latest/querying/api/#snapshot
    """
    name = _ask(f"{url}/api/v1/admin/tsdb/snapshot", "POST")["name"]
    storage = _ask(f"{url}/api/v1/status/flags", "GET")["storage.tsdb.path"]
    remote = f"{storage.rstrip('/')}/snapshots/{name}"
    target = folder / SNAPSHOT
    with tempfile.TemporaryDirectory(dir=folder, prefix=".snapshot-") as scratch:
        got = fleet.get({host: [remote]}, Path(scratch), deadline=_FETCH_DEADLINE_S, limit=_LIMIT)
        removal = f'if [ "$(id -u)" = 0 ]; then rm -rf {quote(remote)}; else sudo -n rm -rf {quote(remote)}; fi'
        fleet.run(removal, hosts=[host], deadline=_DEADLINE_S).raise_for_failures("a snapshot was left behind:")
        got.raise_for_failures("the snapshot of Prometheus was not saved:")
        (Path(scratch) / host / name).replace(target)
    return target


@contextmanager
def opened_snapshot(folder: Path, port: int = 0) -> Iterator[str]:
    """Run a Prometheus on a copy of the snapshot in the run's `folder` and yield its address until the block is left.

    Port 0 is any that is free. Raises UsageError where there is no snapshot or no Prometheus, InfrastructureError if
    it does not start.
    """
    snapshot = folder / SNAPSHOT
    if not snapshot.is_dir():
        raise UsageError(f"{folder.name} has no snapshot; `python -m benchmark run --snapshot` saves one with a run")
    program = shutil.which("prometheus")
    if program is None:
        raise UsageError("no `prometheus` on PATH; install it, on Debian with `apt-get install prometheus`")
    with tempfile.TemporaryDirectory(prefix="prometheus-") as scratch:
        data, config, log = Path(scratch, "data"), Path(scratch, "prometheus.yml"), Path(scratch, "log")
        shutil.copytree(snapshot, data)  # it would write into, compact and one day expire what it serves
        config.write_text("global: {}\n", encoding="utf-8")
        address = f"127.0.0.1:{port or _free_port()}"
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
        command += ["--storage.tsdb.retention.time=100y", "--log.level=warn"]
        with log.open("wb") as sink, _running(command, sink) as process:
            _wait_ready(f"http://{address}", process, log)
            yield f"http://{address}"


@contextmanager
def _running(command: list[str], sink: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _DEADLINE_S
    while not _is_ready(url):
        if process.poll() is not None or time.monotonic() > end:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise InfrastructureError(f"Prometheus did not become ready at {url}; its last lines:\n{tail}")
        time.sleep(0.05)


def _is_ready(url: str) -> bool:
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy cannot reach this machine's own ports
            return session.get(f"{url}/-/ready", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def _ask(url: str, method: str) -> Any:
    """Call Prometheus' HTTP API; InfrastructureError with what it said where it refuses."""
    import requests

    with requests.Session() as session:
        session.trust_env = False  # the tunnel must not go through a proxy
        try:
            answer = session.request(method, url, timeout=_DEADLINE_S)
            document = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise InfrastructureError(f"Prometheus gave no answer to {url}: {error}") from None
    if document.get("status") != "success":
        why = document.get("error", answer.status_code)
        raise InfrastructureError(f"Prometheus refused {url}: {why}; it must run with --web.enable-admin-api")
    return document["data"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port

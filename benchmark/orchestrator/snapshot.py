"""Save the Prometheus data of a testbed with a run, and open it again on any machine that has Prometheus."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote

import requests

from benchmark.errors import InfrastructureError, UsageError
from benchmark.remote.deadlines import INSPECT_S
from benchmark.remote.fleet import Fleet

SNAPSHOT = "prometheus"
"""Folder of a run that holds the snapshot's blocks."""
_FETCH_DEADLINE_S = 600.0
_LIMIT = 8 << 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def save_snapshot(fleet: Fleet, host: str, url: str, folder: Path) -> Path:
    """Save all data of the Prometheus at `url`, which runs on `host`, into `folder`; return the path of the snapshot.

    The copy on the host is removed. Raises InfrastructureError. API:
    https://prometheus.io/docs/prometheus/latest/querying/api/#snapshot
    """
    name = _ask(f"{url}/api/v1/admin/tsdb/snapshot", "POST", "name")
    if not _NAME.fullmatch(name):  # it becomes a part of paths here and on the host
        raise InfrastructureError(f"Prometheus at {url} gave its snapshot the name {name[:80]!r}, which is not one")
    storage = _ask(f"{url}/api/v1/status/flags", "GET", "storage.tsdb.path")
    remote = f"{storage.rstrip('/')}/snapshots/{name}"
    target = folder / SNAPSHOT
    with tempfile.TemporaryDirectory(dir=folder, prefix=".snapshot-") as scratch:
        got = fleet.get({host: [remote]}, Path(scratch), deadline=_FETCH_DEADLINE_S, limit=_LIMIT)
        removal = f'if [ "$(id -u)" = 0 ]; then rm -rf {quote(remote)}; else sudo -n rm -rf {quote(remote)}; fi'
        fleet.run(removal, hosts=[host], deadline=INSPECT_S).raise_for_failures("could not remove the snapshot from:")
        got.raise_for_failures("could not save the snapshot of Prometheus from:")
        (Path(scratch) / host / name).replace(target)
    return target


@contextmanager
def opened_snapshot(folder: Path, port: int = 0) -> Iterator[str]:
    """Run a Prometheus on a copy of the snapshot in the run's `folder`, and yield its URL until the block is left.

    Port 0 means any free one. Raises UsageError if there is no snapshot or no Prometheus, InfrastructureError if it
    does not start.
    """
    snapshot = folder / SNAPSHOT
    if not snapshot.is_dir():
        raise UsageError(f"{folder.name} has no snapshot; save one with `geobench run --snapshot`")
    program = shutil.which("prometheus")
    if program is None:
        raise UsageError("no `prometheus` on PATH; install it, on Debian with `apt-get install prometheus`")
    with tempfile.TemporaryDirectory(prefix="prometheus-") as scratch:
        data, config, log = Path(scratch, "data"), Path(scratch, "prometheus.yml"), Path(scratch, "log")
        shutil.copytree(snapshot, data)  # Prometheus writes to its data, compacts it and deletes old blocks
        config.write_text("global: {}\n", encoding="utf-8")
        if not port:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
        address = f"127.0.0.1:{port}"
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
        command += ["--storage.tsdb.retention.time=100y", "--log.level=warn"]
        with log.open("wb") as sink:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT)
            try:
                _wait_ready(f"http://{address}", process, log)
                yield f"http://{address}"
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the Prometheus at `url` answers."""
    end = time.monotonic() + INSPECT_S
    with requests.Session() as session:
        session.trust_env = False  # a proxy cannot reach this machine's own ports
        while True:
            with suppress(requests.RequestException):
                if session.get(f"{url}/-/ready", timeout=2).status_code == 200:
                    return
            if process.poll() is not None or time.monotonic() > end:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise InfrastructureError(f"Prometheus did not become ready at {url}; its last lines:\n{tail}")
            time.sleep(0.05)


def _ask(url: str, method: str, field: str) -> str:
    """Call Prometheus' HTTP API and return a field of the data in its answer. Raises InfrastructureError."""
    with requests.Session() as session:
        session.trust_env = False  # the tunnel must not go through a proxy
        try:
            answer = session.request(method, url, timeout=INSPECT_S)
            document = answer.json()
        except (requests.RequestException, ValueError, RecursionError) as error:
            raise InfrastructureError(f"Prometheus did not answer {url}: {error}") from None
    known = document if isinstance(document, dict) else {}
    if known.get("status") != "success":
        why = known.get("error", answer.status_code)
        raise InfrastructureError(f"Prometheus rejected {url}: {why}; it must run with --web.enable-admin-api")
    data = known.get("data")
    found = data.get(field) if isinstance(data, dict) else None
    if not isinstance(found, str):
        raise InfrastructureError(f"Prometheus gave a malformed answer to {url}: {field} is missing")
    return found

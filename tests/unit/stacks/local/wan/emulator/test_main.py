"""The emulator as a process: how it starts, answers requests and publishes its metrics."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.local.wan.emulator.links import FORMAT, Links
from stacks.local.wan.network import EMULATOR

LINKS = Links(directions={"east->east": {"delay_ms": 0.3}}, bandwidth_mbps=None, internet=True, trace=None)


@pytest.fixture(params=[EMULATOR, EMULATOR.parent], ids=["file", "folder"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Start an emulator by its path, without any installed package; return the folder that it serves."""
    command = [sys.executable, "-I", "-S", "-W", "error", str(request.param), "--directory", str(tmp_path)]
    done = subprocess.run(command, check=False, timeout=20, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ask(tmp_path, {"command": "status"})
    yield tmp_path
    os.kill(int((tmp_path / "emulator.pid").read_text().split()[0]), signal.SIGKILL)


def ask(directory: Path, request: object) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(20)
        connection.connect(str(directory / "control"))
        connection.send(json.dumps(request).encode())
        answer: dict[str, Any] = json.loads(connection.recv(65536))
        return answer


def test_the_process_becomes_a_daemon_and_writes_its_identity(served: Path) -> None:
    pid, started = (served / "emulator.pid").read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert fields[19] == started
    assert os.getsid(int(pid)) == int(pid) != os.getsid(0)
    assert "serving" in (served / "emulator.log").read_text()
    assert ask(served, {"command": "status"}) == {
        "hosts": {},
        "operator": False,
        "format": FORMAT,
    }


def test_invalid_request_gets_an_error_and_changes_nothing(served: Path) -> None:
    assert "unknown request 'dance'" in ask(served, {"command": "dance"})["error"]
    assert "links.json" in ask(served, {"command": "configure"})["error"]
    assert "AttributeError" in ask(served, [])["error"]
    (served / "links.json").write_text(json.dumps(LINKS))
    assert "error" not in ask(served, {"command": "configure"})


def test_metrics_are_written_every_second(served: Path) -> None:
    file = served / "metrics" / "wan.prom"
    wait_until(file.exists)
    first = file.stat().st_ino
    wait_until(lambda: file.stat().st_ino != first)
    assert "wan_packets_total 0" in file.read_text()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, at most 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)

"""Finding a host by its record of process 1, and handling a stale record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError
from stacks.local.host.host import SCRIPT, Host
from stacks.local.host.resource import LocalHostProvider
from stacks.local.wan.network import WideAreaNetwork


def started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("GEOBENCH_STATE_DIR", str(tmp_path))
    made = Host(WideAreaNetwork("t"), "a-0")
    made.directory.mkdir(parents=True)
    return made


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def record(host: Host, text: str) -> None:
    (host.directory / "process").write_text(text, encoding="utf-8")


def test_a_hosts_folder_is_beside_its_networks(host: Host, tmp_path: Path) -> None:
    assert host.directory == tmp_path / "t/hosts/a-0"


def test_a_relative_state_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOBENCH_STATE_DIR", "state")
    assert Host(WideAreaNetwork("t"), "a-0").directory == tmp_path / "state/t/hosts/a-0"


@pytest.mark.parametrize("name", ["../../victim-0", "a/b-0", "..", "", ".hidden-0", "a\n-0", "-0", "x" * 64])
def test_name_with_a_path_is_rejected_also_when_it_is_in_the_state(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim-0"
    victim.mkdir()
    with pytest.raises(InfrastructureError, match="invalid name; use letters, digits"):
        Host(WideAreaNetwork("t"), name)
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)  # restored after the provider has set it
    with pytest.raises(InfrastructureError, match="invalid name; use letters, digits"):
        LocalHostProvider().delete(f"t/{name}", {"testbed_id": "t", "name": name})  # type: ignore[typeddict-item]
    assert victim.exists()


def test_the_recorded_process_is_found(host: Host, bystander: subprocess.Popen[bytes]) -> None:
    record(host, f"{bystander.pid} {started(bystander.pid)}\n")
    assert host.process_id() == bystander.pid


@pytest.mark.parametrize("text", ["", "12", "many words in it", "x y"])
def test_an_incomplete_record_means_no_process(host: Host, text: str) -> None:
    record(host, text)
    assert host.process_id() is None


def test_a_reused_pid_is_not_mistaken_for_the_host(host: Host, bystander: subprocess.Popen[bytes]) -> None:
    record(host, f"{bystander.pid} {int(started(bystander.pid)) - 1}\n")
    assert host.process_id() is None
    host.stop()
    assert bystander.poll() is None


def test_a_zombie_does_not_count_as_running(host: Host) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        record(host, f"{process.pid} {started(process.pid)}\n")
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        assert host.process_id() is None


def test_stopping_kills_the_recorded_process_and_deletes_the_record(host: Host) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        record(host, f"{process.pid} {started(process.pid)}\n")
        host.stop()
        assert process.wait(timeout=10) == -signal.SIGKILL
    assert not (host.directory / "process").exists()


def test_a_process_without_the_networks_device_is_not_running(host: Host, bystander: subprocess.Popen[bytes]) -> None:
    record(host, f"{bystander.pid} {started(bystander.pid)}\n")
    assert not host.is_running()


def test_removing_deletes_the_folder_but_not_other_hosts(host: Host) -> None:
    other = host.directory.with_name("a-1")
    other.mkdir()
    (host.directory / "upper").mkdir()
    host.remove()
    assert not host.directory.exists()
    assert other.exists()
    other.rmdir()
    host.remove()
    assert not other.parent.exists()


def test_a_host_without_a_network_is_an_error_before_anything_starts(host: Host) -> None:
    with pytest.raises(InfrastructureError, match="no network"):
        host.create(None, running=True)  # type: ignore[arg-type]


def test_the_script_records_its_pid_as_the_machine_sees_it(tmp_path: Path) -> None:
    lines = SCRIPT.read_text(encoding="utf-8").split('echo "$name"')[0]
    shown = subprocess.Popen(
        ["sh", "-c", f"{lines}\nread -r _", "host.sh", str(tmp_path), "a-0", "python3", ""], stdin=subprocess.PIPE
    )
    with shown:
        while not (found := (tmp_path / "process").read_text().split() if (tmp_path / "process").exists() else []):
            assert shown.poll() is None
        assert found == [str(shown.pid), started(shown.pid)]
        shown.communicate(b"\n")


def test_the_script_is_valid_and_executable() -> None:
    subprocess.run(["sh", "-n", SCRIPT], check=True)
    assert os.access(SCRIPT, os.X_OK)

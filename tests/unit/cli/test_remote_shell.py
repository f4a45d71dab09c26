"""Commands on one or all hosts with the real ssh, and logs of a run while it is in progress."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from factories.command_line import call, write
from factories.result_factory import TESTBED, manifest
from fakes.sshd import Sshd
from paths import ROOT

from benchmark.cli import remote_shell
from benchmark.results.manifest import ProcessRecord
from benchmark.results.run_folder import MANIFEST, RunFolder


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Sshd) -> tuple[str, ...]:
    """Options for a testbed of three hosts that are one server."""
    monkeypatch.chdir(tmp_path)
    hosts = [server.host(name).model_copy(update={"region": name[0]}) for name in ("a-0", "a-1", "b-0")]
    settings = f"testbed_id: {TESTBED}\nregions: [a, b]\nworking_dir: {tmp_path}/host\n"
    return write(tmp_path, hosts, settings, key=str(server.user_key))


@pytest.fixture
def running(tmp_path: Path, options: tuple[str, ...]) -> Iterator[RunFolder]:
    """A run in progress, with node-0 on a-1 and client-0 on b-0."""
    processes = {
        name: ProcessRecord(host=host, argv=("x",), environment={}).model_dump(mode="json")
        for name, host in (("node-0", "a-1"), ("client-0", "b-0"))
    }
    placed = manifest().model_dump(mode="json", by_alias=True)
    placed["placement"] |= {"processes": processes}
    folder = RunFolder.create(tmp_path / "results", TESTBED, "20270101T000000Z-etcd")
    folder.write(MANIFEST, type(manifest()).model_validate_json(json.dumps(placed)).to_json())
    logs = tmp_path / "host" / "run" / "logs"
    logs.mkdir(parents=True)
    (logs / "node-0.log").write_text("first line\n")
    (logs / "client-0.log").write_text("a client\n")
    yield folder
    folder.close()


def test_a_command_runs_on_all_hosts_and_each_line_names_its_host(
    options: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert call("ssh", *options, "all", "printf", "'one\\ntwo\\n'") == 0
    lines = sorted(capfd.readouterr().out.splitlines())
    assert lines == [f"{name}: {word}" for name in ("a-0", "a-1", "b-0") for word in ("one", "two")]


def test_a_command_that_fails_on_all_hosts_is_an_error(
    options: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert call("ssh", *options, "all", "exit 7") == 1
    assert "the command failed on 3 of 3 hosts: a-0 (7), a-1 (7), b-0 (7)" in capfd.readouterr().err


def test_all_hosts_need_a_command(options: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert call("ssh", *options, "all") == 2
    assert "`ssh all` needs a command" in capfd.readouterr().err


def test_a_process_of_the_latest_run_stands_for_its_host(
    options: tuple[str, ...], running: RunFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call("ssh", *options, "node-0", "echo", "here") == 0
    assert capfd.readouterr().out == "here\n"
    assert call("ssh", *options, "node-7", "true") == 2
    err = capfd.readouterr().err
    assert (
        "no host 'node-7' in testbed t, which has a-0, a-1, b-0; processes of the latest run: node-0, client-0" in err
    )


def test_logs_of_a_run_in_progress_come_from_its_hosts(
    options: tuple[str, ...], running: RunFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call("logs", *options, "latest") == 0
    assert sorted(capfd.readouterr().out.splitlines()) == ["client-0: a client", "node-0: first line"]
    assert call("logs", *options, "latest", "node-0") == 0
    assert capfd.readouterr().out == "first line\n"
    assert call("logs", *options, "latest", "node-9") == 2
    assert "no process 'node-9' in 20270101T000000Z-etcd; it has node-0, client-0" in capfd.readouterr().err
    assert call("logs", *options, "latest", "--json") == 2


def test_a_followed_log_ends_with_the_run(options: tuple[str, ...], running: RunFolder, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmark", "logs", *options, "latest", "node-0", "--follow"]
    process = subprocess.Popen(
        command, env={"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        assert process.stdout.readline() == "first line\n"
        with (tmp_path / "host" / "run" / "logs" / "node-0.log").open("a") as log:
            log.write("second line\n")
        assert process.stdout.readline() == "second line\n"
        running.close()
        assert process.communicate(timeout=60)[0] == ""
        assert process.returncode == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def test_output_that_nobody_reads_ends_the_commands(options: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "benchmark", "ssh", *options, "all", "yes"]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip
    try:
        assert process.stdout
        assert process.stdout.readline().endswith(": y\n")
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1
    finally:
        process.kill()
        process.wait()


def test_a_process_is_unknown_before_the_first_run(options: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert call("ssh", *options, "node-0", "true") == 2
    assert "no host 'node-0' in testbed t, which has a-0, a-1, b-0; it has had no run yet" in capfd.readouterr().err


def test_commands_are_terminated_once_the_end_is_reached() -> None:
    assert remote_shell.stream({"a": ["sh", "-c", "exec sleep 300"]}, ended=lambda: True) == {"a": -15}

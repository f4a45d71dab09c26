"""Facts of this machine, gathered by the real script."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import subprocess
import time
from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError
from benchmark.testbed import facts as host_facts
from benchmark.testbed.facts import Facts, Leftovers, problems


def ask(
    folder: Path,
    leftovers: Leftovers = "count",
    *,
    packages: tuple[str, ...] = (),
) -> Facts:
    command = host_facts.command(str(folder), leftovers, packages=packages)
    done = subprocess.run(
        ["bash", "-c", command], input=host_facts.script(), capture_output=True, text=True, timeout=30, check=True
    )
    return host_facts.parse(done.stdout)


def test_facts_of_this_machine_are_gathered(tmp_path: Path) -> None:
    facts = ask(tmp_path)
    assert facts.cpus == os.cpu_count()
    assert 0 < facts.memory_free_mb <= facts.memory_mb
    assert 0 < facts.disk_free_mb <= facts.disk_mb
    assert facts.root_free_mb > 0
    assert facts.disk == "durable: false"  # this machine is no local host
    assert facts.kernel == os.uname().release
    assert facts.os == platform.freedesktop_os_release()["PRETTY_NAME"]
    assert facts.cpu_model
    assert facts.platform == f"{facts.cpus} x {facts.cpu_model}, {facts.os}, {facts.kernel}"
    assert facts.stale_processes == 0


def test_listening_ports_are_seen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert problems(ask(tmp_path), [port])[0].startswith(f"port {port} is in use")
    assert not problems(ask(tmp_path), [port])


def test_packages_have_their_version_or_none(tmp_path: Path) -> None:
    facts = ask(tmp_path, packages=("bash", "no-such-package"))
    assert facts.packages["bash"].startswith("5")
    assert facts.packages["no-such-package"] == ""


def stale_process(folder: Path, script: str) -> subprocess.Popen[bytes]:
    """Start a process group as a supervisor would, with its pid file."""
    (folder / "run" / "node-0").mkdir(parents=True)
    (folder / "run" / "supervise.sh").touch()  # the mark of a run's folder
    process = subprocess.Popen(["bash", "-c", script], start_new_session=True)
    start = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    (folder / "run" / "node-0" / "pid").write_text(f"{process.pid} {start}\n")
    return process


def test_stale_processes_are_counted_then_killed(tmp_path: Path) -> None:
    process = stale_process(tmp_path, "exec sleep 60")
    try:
        assert ask(tmp_path).stale_processes == 1
        assert process.poll() is None
        # A zombie keeps its group until it is reaped, which is the host's first process's work, here ours.
        reaper = subprocess.Popen(["true"])
        reaper.wait()
        command = host_facts.command(str(tmp_path), "remove")
        cleaning = subprocess.Popen(["bash", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert cleaning.stdin is not None
        cleaning.stdin.write(host_facts.script())
        cleaning.stdin.close()
        assert process.wait(10) == -9
        assert cleaning.wait(10) == 0
        assert not (tmp_path / "run").exists()
    finally:
        process.kill()
        process.wait()


def test_process_with_a_reused_pid_is_not_killed(tmp_path: Path) -> None:
    process = stale_process(tmp_path, "exec sleep 60")
    try:
        (tmp_path / "run" / "node-0" / "pid").write_text(f"{process.pid} 1\n")
        assert ask(tmp_path, "remove").stale_processes == 0
        time.sleep(0)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_unexpected_output_is_quoted_in_the_error() -> None:
    with pytest.raises(InfrastructureError, match="the host printed:\nbash: not found"):
        host_facts.parse("bash: not found")


def test_a_full_disk_is_a_problem() -> None:
    assert problems(Facts(disk_free_mb=10, disk_mb=9000), []) == [
        "10 MiB of disk space are free, at least 1024 are needed"
    ]
    assert problems(Facts(disk_free_mb=9000, root_free_mb=10), []) == [
        "10 MiB are free on its root disk, at least 128 are needed"
    ]


def test_a_disk_that_is_small_on_purpose_must_be_half_empty() -> None:
    assert problems(Facts(disk_free_mb=33, disk_mb=64), []) == []
    assert problems(Facts(disk_free_mb=30, disk_mb=64), []) == ["30 MiB of disk space are free, at least 32 are needed"]


def test_host_names_are_quoted_for_the_shell() -> None:
    assert shlex.split(host_facts.command("a b", "kill"))[4:6] == ["a b", "kill"]


def test_only_a_folder_that_a_run_made_is_removed(tmp_path: Path) -> None:
    mine = tmp_path / "run" / "thesis.tex"
    mine.parent.mkdir()
    assert ask(tmp_path, "remove").foreign_folder == ""  # it is empty: nothing can be lost
    mine.touch()
    found = ask(tmp_path, "remove")
    assert mine.exists()
    assert problems(found, [])[0].startswith(f"{tmp_path}/run exists and was not made by a run")
    (tmp_path / "run" / "supervise.sh").touch()
    assert ask(tmp_path, "kill").foreign_folder == ""
    assert mine.exists()
    assert not problems(ask(tmp_path, "remove"), [])
    assert not mine.parent.exists()


def test_a_link_is_not_followed_where_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "supervise.sh").touch()
    (tmp_path / "run").symlink_to("elsewhere")
    ask(tmp_path, "remove")
    assert (tmp_path / "elsewhere" / "supervise.sh").exists()

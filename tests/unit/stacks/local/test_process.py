"""Finding and killing processes named by pid and start time."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.local.process import find_process, kill_process


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def start_time(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])


def test_a_running_process_is_found(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    file = tmp_path / "process"
    file.write_text(f"{child.pid} {start_time(child.pid)}\n")
    assert find_process(file) == (child.pid, start_time(child.pid))


@pytest.mark.parametrize("text", [None, "", "12", "x y", "1 2 3"])
def test_a_missing_or_invalid_file_names_no_process(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "process"
    if text is not None:
        file.write_text(text)
    assert find_process(file) is None
    assert kill_process(file, timeout_s=1.0)


def test_a_process_with_a_reused_pid_is_neither_found_nor_killed(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    file = tmp_path / "process"
    file.write_text(f"{child.pid} {start_time(child.pid) - 1}\n")
    assert find_process(file) is None
    assert kill_process(file, timeout_s=1.0)
    assert child.poll() is None


def test_killing_waits_until_the_process_has_ended(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    file = tmp_path / "process"
    file.write_text(f"{child.pid} {start_time(child.pid)}\n")
    assert kill_process(file, timeout_s=10.0)
    assert child.wait(timeout=0) == -signal.SIGKILL

"""Processes of a run are found, and sampled by the real script with perf."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.fleet import FakeFleet
from paths import ROOT
from waiting import wait_for

from benchmark.errors import HostError, InfrastructureError, UsageError
from benchmark.orchestrator.profiler import (
    Running,
    find_process,
    find_running,
    parse_running,
    parse_stacks,
    profile,
    running_command,
)
from benchmark.testbed.testbed import Testbed

SCRIPT = ROOT / "benchmark" / "host_scripts" / "profile.sh"
SPIN = """
#include <time.h>
volatile long sum;
__attribute__((noinline)) void inner(void) { for (long i = 0; i < 100000; i++) sum += i; }
__attribute__((noinline)) void outer(void) { inner(); sum++; }
int main(void) { time_t end = time(0) + 30; while (time(0) < end) outer(); }
"""
RUNNING = [Running("node-0", "a-1", 10), Running("node-1", "b-0", 11), Running("client-0", "a-1", 12)]


@pytest.fixture
def spinning(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process group whose leader waits for a child that spends its time in `inner`."""
    (tmp_path / "spin.c").write_text(SPIN)
    command = ["gcc", "-O1", "-fno-omit-frame-pointer", "-o", "spin", "spin.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    process = subprocess.Popen(["bash", "-c", "./spin & wait"], cwd=tmp_path, start_new_session=True)
    try:
        # perf samples the members that the group has when it starts.
        wait_for(lambda: subprocess.call(["pgrep", "-g", str(process.pid), "-x", "spin"]) == 0, "spin runs", 10)
        yield process
    finally:
        subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], check=True)
        process.wait()


@pytest.mark.skipif(not shutil.which("perf"), reason="perf is not installed: linux-perf")
def test_stacks_of_the_whole_process_group_are_sampled(spinning: subprocess.Popen[bytes]) -> None:
    done = subprocess.run(
        ["bash", SCRIPT, str(spinning.pid), "1", "fp"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    stacks = parse_stacks(done.stdout, "node-0")
    assert {stack[0] for stack in stacks} == {"spin"}
    busy = sum(count for stack, count in stacks.items() if stack[-1] == "inner")
    assert busy > 0.8 * sum(stacks.values())
    # Compilers leave out frames of leaf functions, and perf their callers with them.
    assert sum(count for stack, count in stacks.items() if stack[-1] == "inner" and "main" in stack) > 0.8 * busy


def test_process_that_has_ended_is_an_error() -> None:
    done = subprocess.run(["bash", SCRIPT, "4194303", "1", "fp"], capture_output=True, text=True, check=False)
    expected = (1, "process group 4194303 has no process left\n") if shutil.which("perf") else (3, "")
    assert (done.returncode, done.stderr) == expected


def test_only_running_processes_are_listed(tmp_path: Path, spinning: subprocess.Popen[bytes]) -> None:
    for name, pid in (("node-0", spinning.pid), ("node-1", 4194303)):
        (tmp_path / "w/run" / name).mkdir(parents=True)
        (tmp_path / "w/run" / name / "pid").write_text(f"{pid} 123\n")
    command = ["bash", "-c", running_command("w")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"node-0 {spinning.pid}\n"
    assert subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout == ""


def test_processes_are_listed_in_numerical_order() -> None:
    found = parse_running({"a-1": "node-10 5\nclient-0 7\n", "b-0": "node-2 6\n", "c-0": ""})
    assert [(each.name, each.host, each.pid) for each in found] == [
        ("client-0", "a-1", 7), ("node-2", "b-0", 6), ("node-10", "a-1", 5)
    ]  # fmt: skip


def test_process_is_found_by_its_name_or_that_of_its_host() -> None:
    assert find_process(RUNNING, "client-0").pid == 12
    assert find_process(RUNNING, "b-0").name == "node-1"
    with pytest.raises(UsageError, match=r"2 processes match 'a-1'.*choose one of: node-0 on a-1, client-0 on a-1"):
        find_process(RUNNING, "a-1")
    with pytest.raises(UsageError, match=r"0 processes match 'node-7'.*node-0 on a-1, node-1 on b-0"):
        find_process(RUNNING, "node-7")
    with pytest.raises(UsageError, match="no run is in progress"):
        find_process([], "node-0")


def test_equal_stacks_are_added_up_and_no_stack_is_an_error() -> None:
    assert parse_stacks("etcd;main;run 3\netcd;main 1\netcd;main;run 2\n", "node-0") == {
        ("etcd", "main", "run"): 5, ("etcd", "main"): 1
    }  # fmt: skip
    with pytest.raises(InfrastructureError, match="node-0 was idle"):
        parse_stacks("", "node-0")


def test_a_process_is_sampled_on_its_host(testbed: Testbed, fleet: FakeFleet) -> None:
    fleet.replies = {"a-1": {"cd geobench/run": "node-0 10\nclient-0 12\n"}, "b-0": {"cd geobench/run": "node-1 11\n"}}
    fleet.answers = {"bash -s -- 11 2.5 fp": "etcd;main 4\n"}
    assert profile(testbed, "node-1", 2.5, "fp") == {("etcd", "main"): 4}
    assert [process.name for process in find_running(testbed)] == ["client-0", "node-0", "node-1"]


@pytest.mark.parametrize(("code", "words"), [(3, "perf is not installed"), (1, "perf could not sample node-1")])
def test_a_host_that_cannot_sample_is_an_error(testbed: Testbed, fleet: FakeFleet, code: int, words: str) -> None:
    fleet.replies = {"b-0": {"cd geobench/run": "node-1 11\n"}}
    fleet.exit_codes = {"bash -s -- 11 1 dwarf": code}
    with pytest.raises(HostError, match=words):
        profile(testbed, "node-1", 1.0, "dwarf")

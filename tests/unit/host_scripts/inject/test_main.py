"""The script that injects faults: on processes of this machine, without root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.host_scripts import build_archive
from benchmark.host_scripts.inject.leftovers import STATE
from benchmark.host_scripts.inject.processes import members, read_stat

DEADLINE_S = 60


class Agent:
    """The script on a run folder with a process group called node-0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.group = self.start("node-0")
        self.script = folder / "inject.pyz"
        self.script.write_bytes(build_archive("inject"))
        words = [sys.executable, "-I", "-S", str(self.script), "serve", str(folder), "mark"]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a process group of two processes under a name, as supervise.sh does."""
        found = subprocess.Popen(["sh", "-c", "sleep 300 & exec sleep 300"], start_new_session=True)
        stat = read_stat(found.pid)
        assert stat
        (self.folder / name).mkdir(exist_ok=True)
        (self.folder / name / "pid").write_text(f"{found.pid} {stat[2]}\n")
        wait_for(lambda: len(members(found.pid)) == 2)
        return found

    def __call__(self, do: str, **details: Any) -> dict[str, Any]:
        """Give an order and return the answer."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps({"do": do, "id": "f1", **details}), file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert (answer["do"], answer["id"]) == (do, "f1")
        assert answer["began"] <= answer["at"] <= time.time()
        return answer

    def inject(self, kind: str, deadline_s: float = 60.0, *, again: bool = True) -> None:
        """Inject a fault of node-0."""
        assert self("prepare", mechanisms=[{"kind": kind, "processes": ["node-0"], "again": again}])["ok"]
        assert self("inject", deadline_s=deadline_s)["ok"]

    def states(self) -> set[str]:
        """The states of the processes of the group."""
        return set(members(self.group.pid).values())

    def watchdog(self) -> int:
        """The pid of the process that heals if the script cannot; 0 if there is none."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return next((int(each) for each in children if (stat := read_stat(each)) and stat[0] != "Z"), 0)

    def heal_as_stop_does(self) -> str:
        """Heal what is left, as `geobench stop` and the next run do; return what is printed."""
        words = [sys.executable, "-I", "-S", str(self.script), "heal", str(self.folder)]
        return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, check=True).stdout


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    with made.process:
        yield made
        made.process.kill()
    for file in tmp_path.glob("*/pid"):
        os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)
    made.group.wait()


def test_crash_kills_the_group_and_is_healed_by_another_process(agent: Agent) -> None:
    agent.inject("crash")
    agent.group.wait()
    proof = agent("prove")
    assert (proof["ok"], proof["text"]) == (True, f"node-0: pid {agent.group.pid} gone")
    assert not agent("prove_healed", cut=[])["ok"]
    time.sleep(2 / os.sysconf("SC_CLK_TCK"))  # start times are in ticks
    again = agent.start("node-0")
    assert agent("heal")["ok"]
    healed = agent("prove_healed", cut=[])
    assert healed["ok"]
    assert healed["text"].startswith(f"node-0: pid {again.pid} started ")
    again.kill()
    again.wait()


def test_crash_of_another_process_than_that_of_the_run_is_not_proved(agent: Agent) -> None:
    agent.inject("end")  # nobody ends it
    proof = agent("prove")
    assert (proof["ok"], proof["text"]) == (False, f"node-0: pid {min(members(agent.group.pid))} still runs")


def test_pause_stops_all_processes_of_the_group_until_it_is_healed(agent: Agent) -> None:
    agent.inject("pause")
    wait_for(lambda: agent("prove")["ok"])
    assert agent.states() == {"T"}
    assert agent("prove")["text"] == "node-0: 2 processes in state T"
    assert agent("heal")["ok"]
    wait_for(lambda: agent("prove_healed", cut=[])["ok"])
    assert "T" not in agent.states()


def test_pause_that_somebody_undoes_is_not_proved(agent: Agent) -> None:
    agent.inject("pause")
    wait_for(lambda: agent("prove_held")["ok"])
    os.kill(agent.group.pid, signal.SIGCONT)
    wait_for(lambda: not agent("prove_held")["ok"])
    assert agent("prove_held")["text"].endswith("not all stopped")


def test_a_process_that_does_not_run_is_no_target(agent: Agent) -> None:
    agent.group.kill()
    agent.group.wait()
    answer = agent("prepare", mechanisms=[{"kind": "pause", "processes": ["node-0"], "again": True}])
    assert (answer["ok"], answer["text"]) == (False, "node-0 does not run")


def test_a_fault_is_healed_when_its_deadline_has_passed(agent: Agent) -> None:
    agent.inject("pause", deadline_s=0.05)
    wait_for(lambda: agent.states() == {"S"})
    healed = agent("heal")
    assert (healed["ok"], healed["text"]) == (False, "its deadline had healed it")


@pytest.mark.parametrize("end", ["runner", "SIGTERM", "SIGHUP"])
def test_all_is_healed_when_the_script_ends(agent: Agent, end: str) -> None:
    agent.inject("pause")
    wait_for(lambda: agent.states() == {"T"})
    if end == "runner":
        assert agent.process.stdin
        agent.process.stdin.close()
    else:
        agent.process.send_signal(signal.Signals[end])
    agent.process.wait(DEADLINE_S)
    assert agent.states() == {"S"}
    assert not (agent.folder / STATE).exists()


def test_all_is_healed_when_the_script_is_killed(agent: Agent) -> None:
    agent.inject("pause")
    wait_for(lambda: agent.states() == {"T"})
    agent.process.kill()
    wait_for(lambda: agent.states() == {"S"})
    wait_for(lambda: not (agent.folder / STATE).is_symlink() and not (agent.folder / "injector.pid").exists())


def test_a_fault_is_healed_after_its_deadline_although_the_script_stands_still(agent: Agent) -> None:
    agent.inject("pause", deadline_s=0.3)
    wait_for(lambda: agent.states() == {"T"})
    agent.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: agent.states() == {"S"})
    agent.process.send_signal(signal.SIGCONT)
    assert not agent("heal")["ok"]


def test_a_watchdog_that_was_killed_is_replaced(agent: Agent) -> None:
    agent.inject("pause")
    former = agent.watchdog()
    os.kill(former, signal.SIGKILL)
    wait_for(lambda: agent.watchdog() not in (0, former))
    agent.process.kill()
    wait_for(lambda: agent.states() == {"S"})


def test_what_a_killed_script_and_its_watchdog_left_is_healed_by_the_next_connection(agent: Agent) -> None:
    agent.inject("pause")
    wait_for(lambda: agent.states() == {"T"})
    agent.process.send_signal(signal.SIGSTOP)  # else it would start another watchdog
    os.kill(agent.watchdog(), signal.SIGKILL)
    agent.process.kill()
    agent.process.wait(DEADLINE_S)
    assert agent.states() == {"T"}
    assert agent.heal_as_stop_does() == ""
    assert agent.states() == {"S"}
    assert sorted(path.name for path in agent.folder.iterdir()) == ["inject.pyz", "node-0"]


def test_a_script_that_serves_is_ended_before_its_faults_are_healed(agent: Agent) -> None:
    agent.inject("pause")
    wait_for(lambda: agent.states() == {"T"})
    assert agent.heal_as_stop_does() == ""
    assert agent.process.wait(DEADLINE_S) != -signal.SIGKILL
    assert agent.states() == {"S"}

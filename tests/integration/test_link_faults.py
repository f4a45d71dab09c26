"""Faults of links on two real network stacks that a cable joins, with and without sabotage."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_for

from benchmark.host_scripts import build_archive

pytestmark = pytest.mark.integration

OTHER = "10.255.77.2"
DELAY, RATE = {"delay_s": 0.05}, {"rate_bps": 10e6}
FLAP, JITTER = {"period_s": 0.4, "down": 0.5}, {"jitter_s": 0.02}


class Stack:
    """A network namespace, which ends with a process."""

    other: Stack

    def __init__(self) -> None:
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        here = Path("/proc/self/ns/net").readlink()
        wait_for(lambda: Path(f"/proc/{self.process.pid}/ns/net").readlink() != here, "a network namespace")
        self.enter = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"]

    def run(self, *command: str) -> str:
        """Run a command in it and return the output."""
        return subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True, timeout=60).stdout


class Agent:
    """The script that injects faults, in a network namespace."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder, self.faults = stack, folder, 0
        folder.mkdir()
        self.script = folder / "inject.pyz"
        self.script.write_bytes(build_archive("inject"))
        words = [
            sys.executable,
            "-I",
            "-S",
            str(self.script),
            "serve",
            str(folder),
            "mark",
            "192.0.2.1",
            "1",
            "x",
            "22",
        ]
        self.process = subprocess.Popen(
            [*stack.enter, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, do: str, number: int | str, **details: Any) -> tuple[bool, str]:
        """Give an order and return the answer."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps({"do": do, "id": str(number), **details}), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return answer["ok"], answer["text"]

    def inject(self, kind: str, parameters: dict[str, float], **changes: object) -> int:
        """Inject a fault of the link to the other stack, of packets from there if it delays; return its number."""
        self.faults += 1
        both = kind not in ("delay", "jitter")
        peer = {"address": OTHER, "port": 9100, "in": True, "out": both, "ways": 1, **changes}
        order: dict[str, object] = {"kind": "impair", "peers": [peer], "impairment": kind, "parameters": parameters}
        if kind == "drop":
            order = {"kind": "drop", "peers": [peer], "share": 0.3}
        assert self("prepare", self.faults, mechanisms=[order]) == (True, "")
        assert self("inject", self.faults, deadline_s=300) == (True, "")
        return self.faults

    def proof(self, do: str, number: int, **details: Any) -> str:
        """Repeat an order to prove something until it succeeds, as the runner does."""
        return wait_for(lambda: found[1] if (found := self(do, number, **details))[0] else "", do)

    def heal(self, number: int) -> str:
        """Heal a fault, and return the proof."""
        assert self("heal", number) == (True, "")
        return self.proof("prove_healed", number, cut=[])

    def shaper(self) -> int:
        """Return the pid of the process that holds packets."""
        own = self.process.pid
        children = map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split())
        (pid,) = [pid for pid in children if os.getsid(pid) == os.getsid(own)]  # the watchdog has one of its own
        return pid


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    here, there = Stack(), Stack()
    try:
        pids = here.process.pid, there.process.pid
        command = f"ip link add eth0 netns {pids[0]} type veth peer name eth0 netns {pids[1]}"
        subprocess.run(command.split(), check=True, timeout=60)
        for number, each in enumerate((here, there), 1):
            each.run("ip", "address", "add", f"10.255.77.{number}/24", "dev", "eth0")
            each.run("ip", "link", "set", "eth0", "up")
        here.other = there
        yield here
    finally:
        for each in (here, there):
            each.process.kill()
            each.process.wait()


@pytest.fixture
def agent(stack: Stack, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(stack, tmp_path / "run")
    with made.process:
        yield made
        with contextlib.suppress(BrokenPipeError):
            made.process.stdin and made.process.stdin.close()
        made.process.wait(60)
    assert "geobench" not in stack.run("nft", "list", "tables")


def round_trip(stack: Stack) -> float:
    """Measure the round trip to the other stack, which rejects the connection, in s; the shortest of three."""
    script = """
import socket, time
for _ in range(3):
    probe, began = socket.socket(), time.monotonic()
    assert probe.connect_ex(("10.255.77.2", 9)) == 111
    print(time.monotonic() - began)
"""
    return min(map(float, stack.run(sys.executable, "-I", "-S", "-c", script).split()))


def test_delay_is_added_until_it_is_healed(agent: Agent) -> None:
    assert agent("check", "", kinds=["drop", "impair"]) == (True, "")
    fault = agent.inject("delay", DELAY)
    assert round_trip(agent.stack) > 0.05
    proof = agent.proof("prove", fault)
    found = re.fullmatch(r"round trips to 1 host longer by ([\d.]+) ms, \d+ packets on 1 link", proof)
    assert found
    assert float(found[1]) > 49
    agent.proof("prove_held", fault)
    assert re.fullmatch(r"packets pass, round trips to 1 host [\d.]+ ms", agent.heal(fault))
    assert "geobench" not in agent.stack.run("nft", "list", "tables")


def test_a_delay_of_one_direction_is_no_proof_of_two(agent: Agent) -> None:
    fault = agent.inject("delay", DELAY, ways=2)  # the other host holds nothing
    ok, text = agent("prove", fault)
    assert not ok
    assert text.startswith(f"the round trip to {OTHER} takes only ")
    assert agent("heal", fault) == (True, "")


@pytest.mark.parametrize(
    ("kind", "parameters", "proof"),
    [
        ("jitter", JITTER, r"\d+ round trips to 1 host differ by [\d.]+ ms, \d+ packets on 1 link"),
        ("rate", RATE, r"[\d.]+ Mbit/s in [\d.]+ s of full links, \d+ packets dropped, \d+ packets on 2 links"),
        ("flap", FLAP, r"went down \d+ times? and up \d+ times?, \d+ packets dropped, \d+ packets on 2 links"),
    ],
)
def test_impairments_are_proved_in_force_and_healed(
    agent: Agent, kind: str, parameters: dict[str, float], proof: str
) -> None:
    fault = agent.inject(kind, parameters)
    assert re.fullmatch(proof, agent.proof("prove", fault))
    assert agent.heal(fault).startswith("packets pass, round trips to 1 host ")


def test_faults_of_one_link_compose(agent: Agent) -> None:
    faults = [agent.inject(kind, parameters) for kind, parameters in (("delay", DELAY), ("rate", RATE), ("drop", {}))]
    proofs = [agent.proof("prove", fault) for fault in faults]
    assert proofs[0].startswith("round trips to 1 host longer by 5")
    assert re.match(r"\d+ of \d+ packets dropped", proofs[2])
    # Packets are held all the time: the kernel drops them with the chains of a fault that is healed.
    script = "import socket, time\nprobe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nwhile True:\n"
    script += " probe.sendto(bytes(9), ('10.255.77.1', 9))\n time.sleep(0.001)"
    with subprocess.Popen([*agent.stack.other.enter, sys.executable, "-I", "-S", "-c", script]) as traffic:
        try:
            agent.heal(faults.pop())
            agent.heal(faults.pop())
            assert round_trip(agent.stack) > 0.05
            agent.proof("prove_held", faults[0])
        finally:
            traffic.kill()
    agent.heal(faults.pop())


def test_rules_that_somebody_deletes_are_noticed(agent: Agent) -> None:
    fault = agent.inject("delay", DELAY)
    agent.proof("prove", fault)
    agent.stack.run("nft", "flush", "ruleset")
    assert agent("prove_held", fault) == (False, f"packets from {OTHER} pass unimpaired")
    agent.heal(fault)


def test_a_fault_of_the_wrong_link_is_no_proof(agent: Agent) -> None:
    fault = agent.inject("delay", DELAY, **{"in": False, "out": False})
    assert agent("prove", fault) == (False, "no packet was impaired")
    agent.heal(fault)
    agent.stack.run("ip", "address", "add", "10.255.77.9/24", "dev", "eth0")
    peer = {"address": "10.255.77.8", "port": 9100, "in": True, "out": True, "ways": 2}
    order = {"kind": "impair", "peers": [peer], "impairment": "delay", "parameters": DELAY}
    text = "no other host answers, so a change of its link cannot be proved"
    assert agent("prepare", 9, mechanisms=[order]) == (False, text)


def test_packets_pass_when_the_process_that_holds_them_dies(agent: Agent) -> None:
    fault = agent.inject("delay", DELAY)
    agent.proof("prove", fault)
    os.kill(agent.shaper(), signal.SIGKILL)
    wait_for(lambda: round_trip(agent.stack) < 0.05, "packets that pass")
    assert agent("prove_held", fault) == (False, "the process that holds packets has ended")
    agent.heal(fault)


def test_links_are_healed_when_the_script_is_killed(agent: Agent) -> None:
    fault = agent.inject("delay", {"delay_s": 0.5})
    agent.proof("prove", fault)
    shaper = agent.shaper()
    agent.process.kill()
    wait_for(lambda: not Path(f"/proc/{shaper}").exists(), "the end of the process that holds packets")
    assert round_trip(agent.stack) < 0.5
    wait_for(lambda: "geobench" not in agent.stack.run("nft", "list", "tables"), "removed rules")


def test_a_deadline_heals(agent: Agent) -> None:
    fault = agent.inject("delay", DELAY)
    assert agent("inject", fault, deadline_s=0.2) == (True, "")
    wait_for(lambda: "geobench" not in agent.stack.run("nft", "list", "tables"), "removed rules")
    assert agent("prove_held", fault) == (False, "packets are no longer held")
    assert agent("heal", fault) == (False, "its deadline had healed it")


def test_many_packets_are_held_without_loss(agent: Agent) -> None:
    fault = agent.inject("delay", {"delay_s": 0.2})
    script = """
import socket, time
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(20000):
    probe.sendto(bytes(100), ("10.255.77.1", 9))
    if number % 50 == 0:
        time.sleep(0.002)
"""
    agent.stack.other.run(sys.executable, "-I", "-S", "-c", script)
    count = re.search(r"(\d+) packets on", agent.proof("prove", fault))
    assert count
    assert int(count[1]) >= 20000
    agent.heal(fault)

"""Accidents during a run: the user is told soon and exactly, nothing keeps running, and the next run works.

docs/reliability.md shows what was measured here; `ACCIDENTS=tests/data/accidents.json pytest THIS_FILE` records it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.accidents import Lab
from fakes.local_testbed import local_testbed
from fakes.runner import phases
from paths import DATA, ROOT
from waiting import wait_for

pytestmark = pytest.mark.integration

HUNG_S = 3.0
"""How long what comes back is away."""
TEAR_DOWN_S = 15.0
LOADED = 4.0
"""Factor by which the time until the user is told may be longer here: other tests use the machine."""


Happening = Callable[[Lab, str, subprocess.Popen[bytes]], object]


@dataclass(frozen=True)
class Accident:
    """Something that happens once a run has begun `phase`, and what its user must see."""

    name: str
    phase: str
    happen: Happening
    """Gets the testbed, a host with a node and a client, and the runner's process."""
    told: str
    """A pattern in the output."""
    codes: tuple[int, ...]
    within_s: float
    """From the accident until the command has ended; of a run that survives, without the rest of the run."""
    survives: bool = False


def away(seconds: float, leave: Callable[[], object], back: Callable[[], object]) -> None:
    leave()
    time.sleep(seconds)  # the accident itself lasts that long
    back()


def hang_prometheus(lab: Lab, host: str, runner: subprocess.Popen[bytes]) -> None:
    pids = lab.named(lab.monitoring, "prometheus")
    away(HUNG_S, lambda: lab.signal(pids, signal.SIGSTOP), lambda: lab.signal(pids, signal.SIGCONT))


def cut_network(lab: Lab, host: str, runner: subprocess.Popen[bytes]) -> None:
    ends: list[Callable[[], object]] = []
    away(HUNG_S, lambda: ends.append(lab.cut(host)), lambda: ends[0]())


def each(
    name: str,
    phases: Sequence[str],
    happen: Happening,
    told: str,
    codes: tuple[int, ...],
    within_s: float,
    *,
    survives: bool = False,
) -> list[Accident]:
    return [Accident(name, phase, happen, told, codes, within_s + TEAR_DOWN_S, survives) for phase in phases]


HOST, MEASURE = "us-east-1-1", ("measure",)
ACCIDENTS = [
    *each("a host's SSH server stops answering", ("start_nodes", "measure"),
          lambda lab, host, _: lab.freeze(lab.named(host, "sshd")), HOST, (3,), 15),
    *each("a host loses power", ("configure", "start_nodes", "start_clients", "measure"),
          lambda lab, host, _: lab.lose(host), HOST, (3,), 10),
    *each("the monitoring host loses power", ("start_clients", "measure"),
          lambda lab, *_: lab.lose(lab.monitoring), "lost the monitoring host us-east-1-0", (0,), 15, survives=True),
    *each("Prometheus is killed", MEASURE,
          lambda lab, *_: lab.signal(lab.named(lab.monitoring, "prometheus"), signal.SIGKILL),
          "no sample for|Prometheus does not answer", (0,), 10, survives=True),
    *each("Prometheus hangs for 3 s", MEASURE, hang_prometheus, "completed", (0,), 10, survives=True),
    *each("the emulated network is killed", MEASURE, lambda lab, *_: lab.kill_emulator(), "network", (1,), 10,
          survives=True),
    *each("a host's network is cut for 3 s", MEASURE, cut_network, HOST, (0, 1), 10, survives=True),
    *each("a node dies", MEASURE, lambda lab, host, _: lab.signal(lab.programs(host, "node-"), signal.SIGKILL),
          f"node-0 on {HOST} ended by signal 9", (1,), 2),
    *each("a client dies", MEASURE, lambda lab, host, _: lab.signal(lab.programs(host, "client-"), signal.SIGKILL),
          f"client-0 on {HOST} ended by signal 9", (1,), 2),
    *each("a node hangs", MEASURE, lambda lab, host, _: lab.freeze(lab.programs(host, "node-")),
          f"node-0 on {HOST} did not answer at the end", (1,), 15,
          survives=True),
    *each("a host's supervisor is killed", MEASURE,
          lambda lab, host, _: lab.signal(lab.supervisors(host), signal.SIGKILL), HOST, (3,), 2),
    *each("Ctrl-C", ("configure", "start_nodes", "start_clients", "warm_up", "measure", "collect"),
          lambda lab, host, runner: runner.send_signal(signal.SIGINT), "interrupted", (130,), 0),
    *each("SIGTERM", MEASURE, lambda lab, host, runner: runner.terminate(), "interrupted", (130,), 0),
    *each("the terminal closes", MEASURE, lambda lab, host, runner: runner.send_signal(signal.SIGHUP), "interrupted",
          (130,), 0),
    *each("the runner is killed", MEASURE, lambda lab, host, runner: runner.kill(), "", (-9,), 0),
]  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with local_testbed(tmp_path_factory.mktemp("testbed"), "it-accidents", {"us-east-1": 2, "eu-west-1": 2}) as made:
        made.fleet.close()
        yield Lab(made)


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[dict[str, object]]]:
    """What happened, in the order of ACCIDENTS; written to the file that the variable ACCIDENTS names."""
    found: list[dict[str, object]] = []
    yield found
    if target := os.environ.get("ACCIDENTS"):
        Path(target).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda case: f"{case.name} in {case.phase}".replace(" ", "-"))
def test_user_is_told_soon_and_nothing_keeps_running(
    lab: Lab, outcomes: list[dict[str, object]], tmp_path: Path, accident: Accident
) -> None:
    (tmp_path / "hosts.json").write_text(lab.testbed.inventory.model_dump_json(), encoding="utf-8")
    settings = json.loads(lab.testbed.settings.model_dump_json(exclude_unset=True))
    (tmp_path / "settings.yaml").write_text(
        json.dumps({**settings, "ssh_timeout": "10s", "results_dir": str(tmp_path / "results")}), encoding="utf-8"
    )
    system = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "web.yaml").write_text(system, encoding="utf-8")
    ends_by_itself = accident.survives or accident.phase == "collect"
    command = [
        "env", "--default-signal=INT,HUP",  # which background jobs of scripts ignore
        sys.executable, "-m", "benchmark", "run", "--inventory", "hosts.json", "--settings", "settings.yaml",
        "--protocol", "web.yaml", "--committee", "2", "--loads", "20", "--warm-up", "0s",
        "--duration", "12s" if ends_by_itself else "10m",
    ]  # fmt: skip
    with (tmp_path / "output").open("wb") as output:
        runner = subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:

        def reached() -> bool:
            assert runner.poll() is None, (tmp_path / "output").read_text()
            return any(accident.phase in phases(run) for run in tmp_path.glob("results/*/2*"))

        wait_for(reached, f"phase {accident.phase}")
        rest = 12.0 if ends_by_itself else 0.0
        began = time.monotonic()
        accident.happen(lab, lab.others[0], runner)
        code = runner.wait(timeout=accident.within_s * LOADED + rest + 60)
        told_s = time.monotonic() - began - rest
    finally:
        runner.kill()
        runner.wait()
        lab.heal()
    said = (tmp_path / "output").read_text()
    assert "Traceback" not in said
    assert code in accident.codes, said
    assert re.search(accident.told, said), said
    deadline = time.monotonic() + TEAR_DOWN_S * LOADED
    while (left := lab.left_running()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    outcomes.append({
        "accident": accident.name, "phase": accident.phase, "exit code": code, "survived": accident.survives,
        "seconds": round(max(0.0, told_s), 1), "left running": len(left),
    })  # fmt: skip
    assert told_s < accident.within_s * LOADED, said


def test_documented_matrix_has_every_accident() -> None:
    known = json.loads((DATA / "accidents.json").read_text(encoding="utf-8"))
    assert [(one["accident"], one["phase"]) for one in known] == [(one.name, one.phase) for one in ACCIDENTS]

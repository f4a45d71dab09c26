"""Faults of disks, processors and memory on a local host: their proofs, and that they are healed in any case."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.fault_script import FOLDER, FaultScript
from fakes.local_testbed import LocalTestbed, local_testbed
from waiting import wait_for

pytestmark = pytest.mark.integration

HOST = "us-east-1-1"
FAULTS: dict[str, dict[str, Any]] = {
    "fill": {"leave": 1_000_000},
    "throttle": {"bandwidth": 1_000_000},
    "stall": {"bandwidth": 0},
    "burn": {"share": 0.2},
    "hold": {"share": 0.02},
}
PROOFS = {
    "fill": r"[\d.]+ [KM]?B free, [\d.]+ GB taken(, the rest is kept by the file system)?",
    "throttle": r"write of 1 MB: 0\.\d+ s before, [\d.]+ s( and not done)?",
    "stall": r"write of 4.1 KB: 0\.\d+ s before, [\d.]+ s and not done",
    "burn": r"\d+\.\d % of \d+ processors? taken for [\d.]+ s",
    "hold": r"[\d.]+ [MG]B of [\d.]+ [MG]B held, [\d.]+ GB available before, now [\d.]+ GB",
}


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTestbed]:
    with local_testbed(tmp_path_factory.mktemp("testbed"), "it-host-faults", {"us-east-1": 2}) as made:
        yield made


@pytest.fixture
def script(testbed: LocalTestbed) -> Iterator[FaultScript]:
    with FaultScript(testbed, HOST) as made:
        yield made


def inject(script: FaultScript, fault: str, deadline_s: float = 600.0) -> str:
    return script.inject({"stall": "throttle"}.get(fault, fault), deadline_s, **FAULTS[fault])


def limits(testbed: LocalTestbed) -> str:
    """Return what the machine's control files have about the disk of the host."""
    image = testbed.host(HOST).directory / "disk.img"
    (number,) = [
        (file.parents[1] / "dev").read_text(encoding="ascii").strip()
        for file in Path("/sys/block").glob("loop*/loop/backing_file")
        if file.read_text(encoding="utf-8").strip() == str(image)
    ]
    files = [
        *Path("/sys/fs/cgroup").glob("blkio/blkio.throttle.*_bps_device"),
        *Path("/sys/fs/cgroup").glob("geobench-*/io.max"),
    ]
    lines = [line for file in files for line in file.read_text(encoding="ascii").splitlines()]
    return "".join(line for line in lines if line.startswith(f"{number} "))


def left(script: FaultScript) -> str:
    """Return what a fault has left on the host: files that fill the disk, processes, limits."""
    found = script.run(f"ls {FOLDER} | grep -E 'fill|faults.json'; ps -e -o args= | grep '[i]nject.pyz serve'; true")
    return found + limits(script.testbed)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_proved_in_force_at_its_end_and_healed(script: FaultScript, fault: str) -> None:
    assert re.fullmatch(PROOFS[fault], inject(script, fault))
    ok, text = script("prove_held")  # a run asks only once
    assert ok, text
    assert re.fullmatch(PROOFS[fault], text)
    assert script("heal") == (True, "")
    assert script.until("prove_healed", cut=[])
    assert limits(script.testbed) == ""


def kill_youngest(script: FaultScript) -> None:
    script.run(f"kill -9 {script.pids()[-1]}")


def remove_filler(script: FaultScript) -> None:
    script.run(f"rm {FOLDER}/*.fill")


def lift_limit(script: FaultScript) -> None:
    """Remove the limit of the disk, as another program of the machine might."""
    number, groups = limits(script.testbed).split()[0], Path("/sys/fs/cgroup")
    for file in groups.glob("blkio/blkio.throttle.*_bps_device"):
        file.write_text(f"{number} 0", encoding="ascii")
    for file in groups.glob("geobench-*/io.max"):
        if number in file.read_text(encoding="ascii"):
            file.write_text(f"{number} rbps=max wbps=max", encoding="ascii")


@pytest.mark.parametrize(
    ("fault", "sabotage"),
    [
        ("fill", remove_filler),
        ("throttle", lift_limit),
        ("stall", lift_limit),
        ("burn", kill_youngest),
        ("hold", kill_youngest),
    ],
)
def test_a_fault_whose_mechanism_is_sabotaged_is_not_proved(
    script: FaultScript, fault: str, sabotage: Callable[[FaultScript], None]
) -> None:
    inject(script, fault)
    sabotage(script)
    wait_for(lambda: not script("prove_held")[0], "a missing proof")


@pytest.mark.parametrize("fault", ["fill", "stall", "hold"])
def test_a_fault_is_healed_when_the_script_is_killed(testbed: LocalTestbed, fault: str) -> None:
    with FaultScript(testbed, HOST) as script:
        inject(script, fault)
        assert left(script)
        script.run(f"kill -9 {script.pids()[0]}")
        wait_for(lambda: not left(script), "healing")


def test_a_fault_is_healed_after_its_deadline_although_the_script_stands_still(script: FaultScript) -> None:
    inject(script, "fill", deadline_s=1.0)
    pid = script.pids()[0]
    script.run(f"kill -STOP {pid}")
    try:
        wait_for(lambda: ".fill" not in script.run(f"ls {FOLDER}"), "healing")
    finally:
        script.run(f"kill -CONT {pid}")


def test_a_killed_watchdog_is_replaced(script: FaultScript) -> None:
    inject(script, "fill")
    pid, watchdog = script.pids()
    script.run(f"kill -9 {watchdog}")
    wait_for(lambda: len(script.pids()) == 2 and script.pids()[1] != watchdog, "another watchdog")
    script.run(f"kill -9 {pid}")
    wait_for(lambda: not left(script), "healing")


@pytest.mark.parametrize(
    ("fault", "parameters", "problem"),
    [
        ("fill", {"leave": 10**13}, "of which are to be left"),
        ("hold", {"share": 0.999}, "use a smaller share"),
    ],
)
def test_what_cannot_be_taken_is_rejected(
    script: FaultScript, fault: str, parameters: dict[str, Any], problem: str
) -> None:
    ok, text = script("prepare", mechanisms=[{"kind": fault, "processes": ["node-0"], **parameters}])
    assert not ok
    assert problem in text

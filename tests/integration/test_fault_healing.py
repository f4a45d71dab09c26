"""Hosts heal faults when the runner, or the script that injected them, is killed; a tool tries all kinds and states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.local_testbed import LocalTestbed

from tools.accuracy import fault_healing

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("healing")


@pytest.fixture(scope="module")
def hosts(folder: Path) -> Iterator[LocalTestbed]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOBENCH_STATE_DIR", str(folder))  # restored afterwards
        with fault_healing.testbed("it-healing", folder) as made:
            yield made


@pytest.mark.parametrize(
    ("kind", "state", "victim"),
    [
        ("disk_stall", "hold", "runner"),
        ("partition", "in force", "agent"),
        ("pause", "heal", "agent"),
    ],
)
def test_hosts_are_healed_after_a_kill(hosts: LocalTestbed, folder: Path, kind: str, state: str, victim: str) -> None:
    cell = fault_healing.try_cell(hosts, folder, kind, state, victim)
    assert cell.healed, cell.left

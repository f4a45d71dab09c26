"""The table of accidents in the documentation."""

from __future__ import annotations

from tools.generate.reliability import table


def test_phases_of_an_accident_share_a_row() -> None:
    one = {"accident": "a host dies", "exit code": 3, "left running": 0}
    rows = table([{**one, "phase": "measure", "seconds": 2.5}, {**one, "phase": "stop", "seconds": 1.0}]).splitlines()
    assert rows[2:] == ["| a host dies | `measure`, `stop` | 1.0 to 2.5 | 3 | 0 |"]

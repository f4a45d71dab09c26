"""The histories that the tool makes are what it says they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmark.verify.linearizability import check_history
from tools.performance.verify_cost import check, make_history

pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="building the checker needs Go")


def test_histories_are_linearizable_but_for_a_stale_read(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    for unknown, stale in ((0.0, False), (0.1, False), (0.1, True)):
        operations = make_history(path, unknown=unknown, stale=stale, seconds=40)
        found, window = check_history(path)
        assert found.operations == operations == 4000
        assert (found.verdict, window is not None) == (("violation", True) if stale else ("ok", False))
        assert (found.timeouts or 0) == pytest.approx(400 if unknown else 0, abs=100)
    verdict, seconds, memory = check(path)
    assert verdict == "violation"
    assert seconds > 0
    assert memory > 1

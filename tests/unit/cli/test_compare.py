"""The command `compare` on existing results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from factories.command_line import call
from factories.result_factory import write_run

Captured = pytest.CaptureFixture[str]


def test_results_dir_names_the_folder_of_both_runs(tmp_path: Path, capsys: Captured) -> None:
    for name in ("20260101T000000Z-a", "20260101T000001Z-b"):
        write_run(tmp_path / "t" / name)
    words = ("20260101T000000Z-a", "20260101T000001Z-b", "--results-dir", str(tmp_path), "--json")
    assert call("compare", *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"][0]["metric"] == "completed_tps"

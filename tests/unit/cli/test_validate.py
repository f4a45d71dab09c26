"""The command that checks files without a testbed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from factories.command_line import call


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text("regions: [us-east-1]\n")
    Path("bad.yaml").write_text("regions: [us-east-1]\ninstances: four\nnvme: maybe\n")
    Path("system.yaml").write_text("name: one\nnode: {command: run}\nload: {url: 'http://a/'}\n")


def test_valid_files_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("validate", "good.yaml", "system.yaml") == 0
    assert capsys.readouterr() == ("good.yaml: valid settings\nsystem.yaml: valid description of a system\n", "")


def test_every_error_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("validate", "good.yaml", "bad.yaml") == 2
    out, err = capsys.readouterr()
    assert out == "good.yaml: valid settings\n"
    assert err.splitlines() == [
        "error: bad.yaml, line 2, column 12: instances: expected a whole number, found 'four'",
        "error: bad.yaml, line 3, column 7: nvme: expected true or false, found 'maybe'",
    ]


def test_errors_are_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("validate", "bad.yaml", "good.yaml", "none.yaml", "--json") == 2
    bad, good, missing = json.loads(capsys.readouterr().out)
    assert bad["kind"] == "settings"
    assert bad["errors"][0] == {
        "file": "bad.yaml", "line": 2, "column": 12, "message": "instances: expected a whole number, found 'four'"
    }  # fmt: skip
    assert good == {"file": "good.yaml", "kind": "settings", "errors": []}
    assert missing["kind"] is None
    assert len(missing["errors"]) == 1


def test_validate_needs_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("validate") == 2
    assert "Missing argument" in capsys.readouterr().err

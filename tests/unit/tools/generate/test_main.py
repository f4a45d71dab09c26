"""The command that writes all generated files and checks that they are current."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.generate import dashboards, reliability, settings_reference
from tools.generate.__main__ import ROOT, main

FILES = [
    "assets/dashboards/hosts.json",
    "assets/dashboards/run.json",
    "assets/declared/system.schema.json",
    "assets/settings.schema.json",
    "docs/reliability.md",
    "docs/settings.md",
]


def test_committed_files_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_all_files_are_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], tmp_path) == 0
    written = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
    assert sorted(written) == FILES
    documents = dashboards.documents() | settings_reference.documents() | reliability.documents()
    assert {path: path.read_text(encoding="utf-8") for path in written.values()} == {
        tmp_path / path: text for path, text in documents.items()
    }
    assert len(capsys.readouterr().out.splitlines()) == len(FILES)
    assert main([], tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_check_names_missing_and_edited_files_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([], tmp_path)
    edited, missing = tmp_path / "docs/settings.md", tmp_path / "assets/dashboards/run.json"
    edited.write_text("edited by hand", encoding="utf-8")
    missing.unlink()
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [
        "assets/dashboards/run.json: not current; run `make docs`",
        "docs/settings.md: not current; run `make docs`",
    ]
    assert edited.read_text(encoding="utf-8") == "edited by hand"
    assert not missing.exists()


def test_root_is_the_checkout() -> None:
    assert (ROOT / "Makefile").is_file()

"""Commands in a report that reproduce its run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from factories.result_factory import write_run

from benchmark.artifacts.install import Installed
from benchmark.artifacts.source import Origin
from benchmark.report import reproduce
from benchmark.report.run_data import read_record
from benchmark.settings import Repository, Settings


def change(folder: Path, name: str, /, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("option", [["--commit", "main"], ["--commit=main"]])
def test_reproduction_builds_the_exact_commit(tmp_path: Path, option: list[str]) -> None:
    folder = write_run(tmp_path / "run")
    origin = Origin.of(Repository(url="https://me:hunter2@example.org/x", commit="main"))
    artifact = Installed("1f" * 20, {}, {}, origin).to_record().model_dump()
    change(folder, "manifest.json", artifact=artifact, command=["x", "run", *option, "--loads", "60"])
    record = read_record(folder)
    settings = Settings.model_validate(yaml.safe_load(reproduce.settings(record)))
    assert settings.repository == Repository(url="https://example.org/x", commit="1f" * 20)
    assert settings.regions == ("us-east-1", "eu-west-1", "ap-northeast-1")
    assert re.fullmatch(rf"geobench run --commit[ =]{'1f' * 20} --loads 60", reproduce.commands(record)[-1])


def test_settings_with_default_values_are_listed_as_a_default_may_change(tmp_path: Path) -> None:
    listed = yaml.safe_load(reproduce.settings(read_record(write_run(tmp_path / "run"))))
    assert (listed["cloud_provider"], listed["instances"], listed["network"]["internet"]) == ("local", 4, True)
    assert not [name for name, value in listed.items() if value in (None, [], {})]


def test_supplied_binaries_have_no_repository(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    change(folder, "manifest.json", artifact=Installed("unknown", {}, {}).to_record().model_dump())
    assert "repository" not in reproduce.settings(read_record(folder))


def test_description_and_platform_are_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    content = {"node": {"command": "run", "files": {"a.conf": "x = 1\n"}}}
    change(folder, "manifest.json", definition={"sha256": "ab", "content": content})
    record = read_record(folder)
    assert yaml.safe_load(reproduce.definition(record)) == content
    versions = dict(reproduce.versions(record))
    assert (versions["processors"], versions["operating systems"]) == ("EPYC 7R13", "Debian GNU/Linux 12 (bookworm)")


def test_a_system_that_is_part_of_this_project_has_no_description(tmp_path: Path) -> None:
    assert reproduce.definition(read_record(write_run(tmp_path / "run"))) == ""

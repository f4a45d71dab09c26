"""Which folder is the project: that of the current folder, the checkout, or the current folder itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from paths import ROOT

from benchmark.testbed import stack
from benchmark.testbed.stack import project_directory


def test_project_is_the_nearest_folder_upwards_with_a_pulumi_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b")
    assert project_directory() == tmp_path


def test_elsewhere_the_project_is_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert project_directory() == ROOT


def test_elsewhere_the_project_of_an_installed_package_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stack, "__file__", str(tmp_path / "site-packages/benchmark/testbed/stack.py"))
    assert project_directory() == tmp_path

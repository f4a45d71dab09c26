"""The command that compares measured with predicted latency."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from factories.result_factory import write_run
from paths import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one run in its results folder."""
    (tmp_path / "Pulumi.yaml").write_text("name: geobench\nruntime: python\n")
    write_run(tmp_path / "results" / "dev" / "20270101T000000Z-etcd")
    return tmp_path


def compare(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in the project, without Pulumi."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": ""}
    command = [sys.executable, "-m", "tools.accuracy.latency_model", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["20270101", "results/dev/20270101T000000Z-etcd"])
def test_a_run_is_named_by_a_prefix_or_a_folder(project: Path, name: str) -> None:
    done = compare(project, name)
    assert done.stdout.startswith("leader "), done.stderr
    assert "predicted ms" in done.stdout


def test_an_unknown_run_is_explained(project: Path) -> None:
    done = compare(project, "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no run matches 'nothing'")

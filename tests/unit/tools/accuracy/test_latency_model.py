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


def compare(project: Path, *arguments: str, tool: str = "latency_model") -> subprocess.CompletedProcess[str]:
    """Run the command in the project, without Pulumi."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": ""}
    command = [sys.executable, "-m", f"tools.accuracy.{tool}", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["20270101", "results/dev/20270101T000000Z-etcd", "latest"])
def test_a_run_is_named_by_a_prefix_or_a_folder(project: Path, name: str) -> None:
    done = compare(project, name)
    assert done.stdout.startswith("leader "), done.stderr
    assert "predicted ms" in done.stdout


def test_an_unknown_run_is_explained(project: Path) -> None:
    done = compare(project, "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no run matches 'nothing'")


@pytest.mark.parametrize("tool", ["latency_model", "naive_figures"])
def test_help_and_mistakes_are_explained(project: Path, tool: str) -> None:
    done = compare(project, "--help", tool=tool)
    assert (done.returncode, done.stderr) == (0, "")
    assert "an id, a unique prefix of it, a folder, or `latest`" in " ".join(done.stdout.split())
    assert compare(project, tool=tool).returncode == 2
    assert compare(project, "nothing", tool=tool).stderr.startswith("error: no run matches 'nothing'")

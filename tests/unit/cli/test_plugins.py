"""Commands work although an installed plugin is broken; only its own protocol is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from factories.command_line import SETTINGS, write
from factories.plugin import install_plugin
from fakes.sshd import Sshd
from paths import ROOT

BROKEN = "import a_module_that_is_missing\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to run commands in, beside an installed plugin that cannot be imported."""
    install_plugin(tmp_path / "site", BROKEN)
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{project.parent}/site"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def test_help_works_with_a_broken_plugin(project: Path) -> None:
    assert "  results " in run(project, "--help").stdout


def test_help_of_run_lists_the_plugin_without_importing_it(project: Path) -> None:
    assert "etcd, mine, mysticeti, remora or FILE.yaml" in " ".join(run(project, "run", "--help").stdout.split())


def test_results_are_listed_with_a_broken_plugin(project: Path) -> None:
    assert run(project, "results", "--json", "--results-dir", "results").stdout == "[]\n"


def test_stop_force_works_with_a_broken_plugin(project: Path, server: Sshd) -> None:
    options = write(project, [server.host("a-0")], f"{SETTINGS}working_dir: {project}/work\n", str(server.user_key))
    done = run(project, "stop", "--force", "--json", *options)
    assert (done.returncode, done.stdout) == (0, '{\n  "ended": {},\n  "failed": {}\n}\n'), done.stderr


def test_running_its_protocol_is_an_error_that_names_package_entry_point_and_cause(project: Path, server: Sshd) -> None:
    options = write(project, [server.host("a-0")], f"{SETTINGS}working_dir: {project}/work\n", str(server.user_key))
    done = run(project, "run", "--protocol", "mine", "--loads", "10", *options)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "error: package mine, entry point mine = mine_protocol:Mine: ModuleNotFoundError: No module named "
        "'a_module_that_is_missing'; repair or uninstall the package\n"
    )

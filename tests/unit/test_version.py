"""The version of the program: with the commit of its checkout, or with the one recorded at installation."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from benchmark import __version__
from benchmark.version import COMMIT_FILE


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The modules that know the version, in a folder that is no checkout."""
    folder = tmp_path / "benchmark"
    folder.mkdir()
    for name in ("__init__.py", "version.py"):
        shutil.copy(ROOT / "benchmark" / name, folder)
    return folder


def described(package: Path) -> str:
    code = "from benchmark.version import describe_version; print(describe_version())"
    command = [sys.executable, "-B", "-c", code]
    return subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=True).stdout.strip()


def git(package: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(package.parent), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_commit_is_left_out_if_unknown(package: Path) -> None:
    assert described(package) == f"geobench {__version__}"


def test_installed_package_has_the_commit_recorded_at_its_build(package: Path) -> None:
    (package / COMMIT_FILE).write_text("abc123\n")
    assert described(package) == f"geobench {__version__} (commit abc123)"


def test_checkout_has_its_own_commit_and_reports_changes(package: Path) -> None:
    git(package, "init", "--quiet")
    git(package, "add", ".")
    git(package, "commit", "--quiet", "-m", "x")
    commit = git(package, "rev-parse", "HEAD")
    (package.parent / "elsewhere").write_text("not part of the program")
    assert described(package) == f"geobench {__version__} (commit {commit})"
    (package / "version.py").write_text((package / "version.py").read_text() + "\n")
    changed = described(package)
    assert re.fullmatch(rf"geobench {re.escape(__version__)} \(commit {commit}-dirty-[0-9a-f]{{8}}\)", changed)
    (package / "new.py").write_text("")
    assert described(package) not in (changed, f"geobench {__version__} (commit {commit})")

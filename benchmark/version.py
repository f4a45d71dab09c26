"""The version of this program and the commit it was built from."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from benchmark import __version__

COMMIT_FILE = "COMMIT"
"""Name of the file in an installed package that holds the commit; tools/setup/build_hook.py writes it."""


@cache
def find_commit() -> str | None:
    """Return the commit of the checkout with this package, or the one recorded at installation; None if unknown.

    If files of the package differ from the commit, `-dirty` is appended.
    """
    package = Path(__file__).resolve().parent
    if not (package.parent / ".git").exists():
        recorded = package / COMMIT_FILE
        return recorded.read_text(encoding="utf-8").strip() if recorded.exists() else None
    try:
        commit, changes = (
            subprocess.run(
                ["git", *arguments], cwd=package, capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "."))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changes else commit


def full_version() -> str:
    """Return the version, with the commit if it is known."""
    commit = find_commit()
    return f"{__version__} (commit {commit})" if commit else __version__


def describe_version() -> str:
    """Return the name of the program and its version in one line."""
    return f"geobench {full_version()}"

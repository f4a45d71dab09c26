"""The version of this program and the commit it was built from."""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

from benchmark import __version__

COMMIT_FILE = "COMMIT"
"""Name of the file in an installed package that holds the commit; tools/setup/build_hook.py writes it."""


@cache
def find_commit() -> str | None:
    """Return the commit of the checkout with this package, or the one recorded at installation; None if unknown.

    If files of the package differ from the commit, `-dirty-` and a hash of the differences are appended.
    """
    package = Path(__file__).resolve().parent
    if not (package.parent / ".git").exists():
        recorded = package / COMMIT_FILE
        return recorded.read_text(encoding="utf-8").strip() if recorded.exists() else None
    try:
        commit, new, changes = (
            subprocess.run(["git", *arguments], cwd=package, capture_output=True, check=True, timeout=10).stdout
            for arguments in (
                ("rev-parse", "HEAD"),
                ("ls-files", "-z", "--others", "--exclude-standard", "."),
                ("diff", "--no-ext-diff", "--no-textconv", "--binary", "HEAD", "--", "."),
            )
        )
        added = [package / os.fsdecode(name) for name in new.split(b"\0") if name]
        changes += b"".join(os.fsencode(file.name) + file.read_bytes() for file in added)
    except (OSError, subprocess.SubprocessError):
        return None
    found = commit.decode().strip()
    return f"{found}-dirty-{hashlib.sha256(changes).hexdigest()[:8]}" if changes else found


def full_version() -> str:
    """Return the version, with the commit if it is known."""
    commit = find_commit()
    return f"{__version__} (commit {commit})" if commit else __version__


def describe_version() -> str:
    """Return the name of the program and its version in one line."""
    return f"geobench {full_version()}"

"""Record the commit in wheels and source distributions, for `geobench --version`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """A hook that hatchling calls for each file it builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add a file with the commit to the package, if it is known; an editable package reads it from its checkout."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from benchmark.version import COMMIT_FILE, find_commit

        if commit := find_commit():
            self._folder = tempfile.TemporaryDirectory()
            path = Path(self._folder.name, COMMIT_FILE)
            path.write_text(f"{commit}\n", encoding="utf-8")
            build_data["force_include"][str(path)] = f"benchmark/{COMMIT_FILE}"

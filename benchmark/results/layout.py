"""The files by which a folder of results is known, and the kinds of results."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

SUMMARY = "summary.json"
"""The result of a run."""
COLLECTIONS = SWEEP, SEARCH = "sweep.json", "search.json"
"""Journals: a folder that contains one belongs to an experiment of several runs."""
LATEST = "latest"
"""Link to the newest run of a testbed, and the name for the newest result."""

Kind = Literal["run", "sweep", "comparison", "search"]
KINDS: tuple[Kind, ...] = ("run", "sweep", "comparison", "search")


def kind_of(folder: Path) -> Kind:
    """Return the kind of the result in a folder, by its files."""
    if (folder / SEARCH).exists():
        return "search"
    if (folder / SWEEP).exists():
        return "comparison" if "-compare-" in folder.name else "sweep"
    return "run"

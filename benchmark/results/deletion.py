"""Delete results: runs that stand alone, and experiments with their runs."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.results.catalogue import Entry
from benchmark.results.layout import LATEST, kind_of
from benchmark.results.run_folder import is_running, link_latest


def with_their_runs(entries: Sequence[Entry], chosen: Collection[str]) -> list[Entry]:
    """Return the entries whose ids are `chosen`, and the runs of experiments among them.

    UsageError if a run belongs to an experiment that is not chosen: its sweep could not be read without it.
    """
    for each in entries:
        if each.id in chosen and each.part_of and each.part_of not in chosen:
            raise UsageError(f"run {each.id} belongs to {each.part_of}; delete that, with all its runs")
    return [each for each in entries if each.id in chosen or each.part_of in chosen]


def delete_results(results_dir: Path, entries: Sequence[Entry]) -> None:
    """Delete results for good; UsageError if one of them is running, or a folder cannot be deleted."""
    folders = [results_dir / entry.folder for entry in entries]
    for folder in folders:
        if is_running(folder):
            raise UsageError(f"{folder.name} is still running; let it end, or stop it with Ctrl-C")
    # Experiments first: if that ends half-way, no journal names runs that are gone.
    for folder in sorted(folders, key=lambda each: kind_of(each) == "run"):
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise UsageError(f"cannot delete {error.filename or folder}: {error.strerror}") from None
    for testbed in {folder.parent for folder in folders}:
        _repair(testbed)


def _repair(testbed: Path) -> None:
    """Point the link `latest` at the newest run that is left; remove the folder of a testbed without results."""
    link = testbed / LATEST
    if link.exists():
        return
    left = [path for path in testbed.iterdir() if path.is_dir() and not path.is_symlink() and kind_of(path) == "run"]
    if left:
        link_latest(max(left, key=lambda path: path.name))
    elif link.is_symlink():
        link.unlink()
    if not any(testbed.iterdir()):
        testbed.rmdir()

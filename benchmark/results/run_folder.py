"""The folder of a run: never overwritten, its files replaced atomically."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from benchmark.errors import UsageError
from benchmark.files import write_atomically
from benchmark.results.events import Event, event_to_json
from benchmark.results.summary import Summary, parse_summary

LATEST = "latest"
SUMMARY, MANIFEST, SAMPLES, EVENTS, LOGS = "summary.json", "manifest.json", "samples.parquet", "events.jsonl", "logs"
COLLECTIONS = SWEEP, SEARCH = "sweep.json", "search.json"
"""Journals: a folder that contains one belongs to an experiment of several runs."""
BUILD_LOG = "build.log"
"""Output of the build, in each run of the command that built the system."""


def new_run_id(protocol: str, commit: str, nodes: int, load: int) -> str:
    """Name a run after its start (UTC), protocol, commit (8 characters), nodes and load in tx/s, plus random digits."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    short = re.sub(r"[^A-Za-z0-9.]", "", commit)[:8] or "unknown"
    return f"{now}-{protocol}-{short}-{nodes}n-{load}tps-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class RunFolder:
    """The folder to which one run writes its results."""

    path: Path

    @classmethod
    def create(cls, results_dir: Path, testbed_id: str, run_id: str) -> RunFolder:
        """Create the folder of a new run and point `latest` at it; UsageError if it cannot be written."""
        path = results_dir / testbed_id / run_id
        try:
            path.mkdir(parents=True)
            _link(path)
        except OSError as error:
            raise UsageError(f"cannot write results to {path}: {error.strerror}; see results_dir") from None
        return cls(path)

    def write(self, name: str, text: str) -> None:
        """Replace a file atomically: if the process is killed, the old or the new content is there."""
        write_atomically(self.path / name, text)

    def append_event(self, event: Event) -> None:
        """Append an event to events.jsonl with a single write, so that lines never mix."""
        with (self.path / EVENTS).open("a", encoding="utf-8") as file:
            file.write(event_to_json(event) + "\n")


class StoredRun(NamedTuple):
    """A run on disk; its summary is missing if the run was killed, or unreadable as `damage` explains."""

    path: Path
    summary: Summary | None
    damage: str = ""


def find_runs(results_dir: Path) -> Iterator[StoredRun]:
    """Yield all runs, oldest first, including those whose summary is missing or damaged."""
    every = [path for path in results_dir.glob("*/*") if path.is_dir() and not path.is_symlink()]
    folders = [path for path in every if not any((path / name).exists() for name in COLLECTIONS)]
    for folder in sorted(folders, key=lambda path: path.name):
        try:
            yield StoredRun(folder, read_summary(folder))
        except UsageError as error:
            yield StoredRun(folder, None, str(error))


def read_summary(folder: Path) -> Summary | None:
    """Read a run's summary; None if there is none yet, UsageError if it is damaged."""
    try:
        return parse_summary((folder / SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        cause = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UsageError(f"{folder / SUMMARY} is not a summary: {cause}") from None


def _link(path: Path) -> None:
    """Point the link `latest` in the parent folder at `path`, replacing the former link atomically."""
    temporary = path.with_name(f".{LATEST}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(path.name)
    temporary.replace(path.with_name(LATEST))

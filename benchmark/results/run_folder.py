"""The folder of a run: never overwritten, every file written whole or not at all."""

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
"""Journals of experiments: a folder that has one refers to several runs."""
BUILD_LOG = "build.log"
"""Output of the build, in the runs of the command that built."""


def new_run_id(protocol: str, commit: str, nodes: int, load: int) -> str:
    """Name a run: time (UTC), protocol, first 8 characters of the commit, nodes, load in tx/s, and a random part."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    short = re.sub(r"[^A-Za-z0-9.]", "", commit)[:8] or "unknown"
    return f"{now}-{protocol}-{short}-{nodes}n-{load}tps-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class RunFolder:
    """Where one run writes its results."""

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
        """Write a file so that a kill leaves the old one or the new one."""
        write_atomically(self.path / name, text)

    def append_event(self, event: Event) -> None:
        """Add a line to events.jsonl; a line is written by one call, so a kill cannot mix two."""
        with (self.path / EVENTS).open("a", encoding="utf-8") as file:
            file.write(event_to_json(event) + "\n")


class StoredRun(NamedTuple):
    """A run's folder; without a summary where it was killed before it wrote one, or `damage` says why."""

    path: Path
    summary: Summary | None
    damage: str = ""


def find_runs(results_dir: Path) -> Iterator[StoredRun]:
    """Yield every run, oldest first; one whose summary is damaged does not hide the others."""
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
    except ValidationError as error:
        raise UsageError(f"{folder / SUMMARY} is not a summary: {error.errors()[0]['msg']}") from None


def _link(path: Path) -> None:
    """Point `latest` beside `path` to it, replacing the old link in one step."""
    temporary = path.with_name(f".{LATEST}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(path.name)
    temporary.replace(path.with_name(LATEST))

"""The folder of a run: never overwritten, its files replaced atomically."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from benchmark.errors import StorageError, UsageError
from benchmark.files import write_atomically
from benchmark.results.events import Event, event_to_json
from benchmark.results.layout import COLLECTIONS, LATEST, SUMMARY
from benchmark.results.summary import Summary, parse_summary

MANIFEST, SAMPLES, EVENTS, LOGS = "manifest.json", "samples.parquet", "events.jsonl", "logs"
LATENCIES = "latencies"
"""Folder of the clients' latency logs, each called CLIENT.hlog."""
HISTORY, VIOLATION = "history.jsonl", "violation.json"
"""All operations of the probe workload, and those that show a violation of linearizability."""
BUILD_LOG = "build.log"
"""Output of the build, in each run of the command that built the system."""


def new_run_id(protocol: str, commit: str, nodes: int, load: int) -> str:
    """Name a run after its start (UTC), protocol, commit (8 characters), nodes and load in tx/s, plus random digits."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    short = re.sub(r"[^A-Za-z0-9.]", "", commit)[:8] or "unknown"
    return f"{now}-{protocol}-{short}-{nodes}n-{load}tps-{secrets.token_hex(2)}"


class RunFolder:
    """The folder to which one run writes its results.

    While the run goes on, its process holds a lock on `events.jsonl`, which ends with the process, however it ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._events = (path / EVENTS).open("ab", buffering=0)
        fcntl.flock(self._events, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @classmethod
    def create(cls, results_dir: Path, testbed_id: str, run_id: str) -> RunFolder:
        """Create the folder of a new run and point `latest` at it; UsageError if it cannot be written."""
        path = results_dir / testbed_id / run_id
        try:
            path.mkdir(parents=True)
            link_latest(path)
            return cls(path)
        except OSError as error:
            raise UsageError(f"cannot write results to {path}: {error.strerror}; see results_dir") from None

    def write(self, name: str, text: str) -> None:
        """Replace a file atomically: if the process is killed, the old or the new content is there."""
        with self.storing(name) as path:
            write_atomically(path, text)

    @contextmanager
    def storing(self, name: str) -> Iterator[Path]:
        """Yield the path of a file or folder that the caller writes; StorageError if that fails."""
        with storing(self.path / name) as path:
            self.path.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
            yield path

    def append_event(self, event: Event) -> None:
        """Append an event to events.jsonl with a single write, so that lines never mix.

        Events are for display: the first that cannot be written is the last.
        """
        if not self._events.closed:
            try:
                self._events.write(event_to_json(event).encode() + b"\n")
            except OSError:
                self.close()

    def close(self) -> None:
        """Write no more events: the run has ended."""
        self._events.close()


@contextmanager
def storing(path: Path) -> Iterator[Path]:
    """Yield a path that the caller writes to; StorageError if that fails."""
    try:
        yield path
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


class StoredRun(NamedTuple):
    """A run on disk; its summary is missing if the run was killed, or unreadable as `damage` explains."""

    path: Path
    summary: Summary | None
    damage: str = ""

    @property
    def state(self) -> str:
        """The status of its summary; without one `damaged`, `running` or `killed`."""
        if self.summary:
            return self.summary.status
        return "damaged" if self.damage else "running" if is_running(self.path) else "killed"


def find_runs(results_dir: Path) -> Iterator[StoredRun]:
    """Yield all runs, oldest first, including those whose summary is missing or damaged."""
    every = [path for path in results_dir.glob("*/*") if path.is_dir() and not path.is_symlink()]
    folders = [path for path in every if not any((path / name).exists() for name in COLLECTIONS)]
    yield from map(read_run, sorted(folders, key=lambda path: path.name))


def read_run(folder: Path) -> StoredRun:
    """Read a run whose summary may be missing or damaged."""
    try:
        return StoredRun(folder, read_summary(folder))
    except UsageError as error:
        return StoredRun(folder, None, str(error))


def is_running(folder: Path) -> bool:
    """Return whether the process that writes a run's results is alive, on this machine."""
    try:
        with (folder / EVENTS).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def without_result(folder: Path) -> str:
    """Say why a run has no summary."""
    return "it is still running" if is_running(folder) else "it was killed before it had one"


def read_summary(folder: Path) -> Summary | None:
    """Read a run's summary; None if there is none yet, UsageError if it is damaged."""
    try:
        return parse_summary((folder / SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"cannot read {folder / SUMMARY}: {error.strerror}") from None
    except ValueError as error:
        cause = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UsageError(f"{folder / SUMMARY} is not a summary: {cause}") from None


def link_latest(path: Path) -> None:
    """Point the link `latest` in the parent folder at `path`, replacing the former link atomically."""
    temporary = path.with_name(f".{LATEST}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(path.name)
    temporary.replace(path.with_name(LATEST))

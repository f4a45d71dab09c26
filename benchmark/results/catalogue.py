"""The catalogue of a results folder: what lists, filters and exports need of each result, without reading it whole.

Entries are kept in a file of the results folder beside the time stamps of what they were read from, because reading
10,000 summaries takes half a minute. The file is a cache: it may be missing, old or damaged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from benchmark.errors import UsageError
from benchmark.files import write_atomically
from benchmark.results.layout import SUMMARY, Kind

CACHE = ".catalogue.json"
_FORMAT = 1
State = Literal["ok", "invalid", "failed", "interrupted", "running", "killed", "damaged", "complete", "incomplete"]
"""Status of a run; `running` or `killed` without a summary, `damaged` if it cannot be read. An experiment is
`complete`, `running` or `incomplete`."""


@dataclass(frozen=True)
class Entry:
    """One result, as far as lists show it; metrics are None if unknown, and for experiments."""

    folder: str
    """TESTBED/ID."""
    kind: Kind
    state: State
    reason: str = ""
    """Why the state of a run is not `ok`."""
    name: str | None = None
    """Given with `--name`."""
    tags: tuple[str, ...] = ()
    protocol: str | None = None
    commit: str | None = None
    nodes: int | None = None
    clients: int | None = None
    requested_tps: float | None = None
    completed_tps: float | None = None
    mean_s: float | None = None
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None
    """Latencies of all requests; None above the last bucket."""
    failed: int | None = None
    """Failed requests."""
    saturated: bool = False
    warnings: int = 0
    faults: int = 0
    runs: tuple[str, ...] = ()
    """Ids of an experiment's runs."""
    part_of: str | None = None
    """Id of the experiment to which a run belongs."""

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.rpartition("/")[2]

    @property
    def testbed(self) -> str:
        """The testbed on which it was measured."""
        return self.folder.rpartition("/")[0]

    @property
    def began(self) -> datetime | None:
        """When it began, by its id; None if the folder was renamed."""
        try:
            return datetime.strptime(self.id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            return None


@dataclass(frozen=True)
class Selection:
    """Which results are wanted; what is None or empty does not restrict."""

    kinds: Sequence[Kind] = ()
    protocol: str | None = None
    states: Sequence[str] = ()
    name: str | None = None
    """A name, in which `*` and `?` stand for any characters."""
    tags: Sequence[str] = ()
    """All of them."""
    since: datetime | None = None

    def matches(self, entry: Entry) -> bool:
        """Return whether an entry is wanted."""
        began = entry.began
        return (
            (not self.kinds or entry.kind in self.kinds)
            and (self.protocol is None or entry.protocol == self.protocol)
            and (not self.states or entry.state in self.states or (entry.saturated and "saturated" in self.states))
            and (self.name is None or fnmatchcase(entry.name or "", self.name))
            and all(tag in entry.tags for tag in self.tags)
            and (self.since is None or (began is not None and began >= self.since))
        )


@dataclass(frozen=True)
class _Cached:
    stamp: str
    entry: Entry


@dataclass(frozen=True)
class _Cache:
    format: int
    cached: dict[str, _Cached]


_CACHE = TypeAdapter(_Cache)


def catalogue(results_dir: Path, reading: Callable[[int], None] = lambda count: None) -> list[Entry]:
    """Return the entries of all results, oldest first; empty if the folder does not exist.

    `reading` is called with the number of results that have to be read, before they are.
    """
    known = _load(results_dir / CACHE)
    stamps = {
        f"{testbed.name}/{folder.name}": _stamp(folder)
        for testbed in _folders(results_dir)
        for folder in _folders(Path(testbed.path))
    }
    changed = [name for name, stamp in stamps.items() if name not in known or known[name].stamp != stamp]
    reading(len(changed))
    read = _read(results_dir, changed) if changed else {}
    entries = [read[name] if name in read else known[name].entry for name in stamps]
    settled = {e.folder: _Cached(stamps[e.folder], e) for e in entries if e.state not in ("running", "incomplete")}
    if settled.keys() != known.keys() or any(name in settled for name in changed):
        _save(results_dir / CACHE, settled)
    members = {run: entry.id for entry in entries for run in entry.runs}
    entries = [replace(each, part_of=members[each.id]) if each.id in members else each for each in entries]
    return sorted(entries, key=lambda entry: entry.id)


def _folders(path: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            yield from (each for each in found if each.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _stamp(folder: os.DirEntry[str]) -> str:
    """Return what changes with the content of a result: files are replaced, which changes the time of their folder."""
    stamp = f"{folder.stat().st_mtime_ns}"
    with contextlib.suppress(OSError):
        found = Path(folder.path, SUMMARY).stat()
        stamp += f" {found.st_mtime_ns} {found.st_size}"
    return stamp


def _load(path: Path) -> dict[str, _Cached]:
    try:
        found = _CACHE.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}
    return found.cached if found.format == _FORMAT else {}


def _save(path: Path, cached: dict[str, _Cached]) -> None:
    # Results of somebody else, a full disk, a folder whose name is no text: the next list reads them again.
    with contextlib.suppress(OSError, ValueError):
        write_atomically(path, _CACHE.dump_json(_Cache(_FORMAT, cached)))


def _read(results_dir: Path, names: Sequence[str]) -> dict[str, Entry]:
    from benchmark.results.entries import read_entry  # imports the models of all results: half a second

    return {name: read_entry(results_dir, name) for name in names}

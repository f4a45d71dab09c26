"""What the live page shows besides the events of a run: `live/feed.jsonl` and the ends of logs that viewers ask for.

The runner writes these files and the server of the live page reads them, except for the request for logs, which the
server writes. All are bounded: a feed that becomes too long loses every other sample.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, with_config
from pydantic_core import from_json

from benchmark.files import write_atomically
from benchmark.measure.live_stats import HostStats, LiveStats

LIVE, FEED, REQUEST = "live", "feed.jsonl", "wanted.json"
FEED_LIMIT = 2 << 20
"""Bytes of a feed."""
TAIL_LIMIT = 32 << 10
"""Bytes of the end of a log."""
MOST_TAILS = 4
"""Logs that are copied at a time."""
_WANTED_S = 15.0
"""How long a request for a log is valid; viewers repeat it."""
_LONGEST_REQUEST = 10_000


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True)
class LiveSample:
    """The current run at `time` (unix s), for display."""

    time: float
    regions: Mapping[str, LiveStats] = field(default_factory=dict)
    """Rates and latencies of the clients in each region."""
    hosts: Mapping[str, HostStats] = field(default_factory=dict)
    round_trips_ms: Mapping[str, float | None] = field(default_factory=dict)
    """Last round trip by `FROM/TO`; null if a host does not answer any more."""


_SAMPLES: TypeAdapter[LiveSample] = TypeAdapter(LiveSample)


def parse_sample(line: str | bytes) -> LiveSample:
    """Read a line of the feed; ValueError if it is none."""
    return _SAMPLES.validate_json(line)


class LiveFeed:
    """Writes the feed of a run. It is for display: the first sample that cannot be written is the last."""

    def __init__(self, folder: Path, limit: int = FEED_LIMIT) -> None:
        self._path, self._limit = folder / LIVE / FEED, limit
        self._size: int | None = 0

    def append(self, sample: LiveSample) -> None:
        """Append a sample with a single write; drop every other one first if the feed would become too long."""
        if self._size is None:
            return
        line = _SAMPLES.dump_json(sample, exclude_none=True) + b"\n"
        try:
            self._path.parent.mkdir(exist_ok=True)
            if self._size + len(line) > self._limit:
                lines = self._path.read_bytes().splitlines(keepends=True)
                lines = lines[:-1:2] + lines[-1:]
                write_atomically(self._path, b"".join(lines))
                self._size = sum(map(len, lines))
            with self._path.open("ab", buffering=0) as file:
                self._size += file.write(line)
        except OSError:
            self._size = None


class LineFollower:
    """Reads the lines of a file as they are written, also if the file is replaced by a shorter one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._position = 0
        self._rest = b""

    def read(self) -> tuple[bool, list[bytes]]:
        """Return whether the file was replaced since the last call, and its complete new lines; all if replaced."""
        try:
            with self._path.open("rb") as file:
                status = self._path.stat()
                known, self._file = self._file, (status.st_dev, status.st_ino)
                replaced = known is not None and (known != self._file or status.st_size < self._position)
                if replaced:
                    self._position, self._rest = 0, b""
                file.seek(self._position)
                self._rest += file.read()
                self._position = file.tell()
        except OSError:
            return False, []
        *lines, self._rest = self._rest.split(b"\n")
        return replaced, lines


def request_tails(folder: Path, processes: Collection[str]) -> None:
    """Ask the runner for the ends of the logs of `processes`; OSError if the folder cannot be written."""
    (folder / LIVE).mkdir(exist_ok=True)
    write_atomically(folder / LIVE / REQUEST, json.dumps({"time": time.time(), "processes": sorted(processes)}))


def requested_tails(folder: Path, known: Collection[str]) -> Sequence[str]:
    """Return the processes among `known` whose logs were requested a moment ago, at most four."""
    try:
        with (folder / LIVE / REQUEST).open("rb") as file:
            document = from_json(file.read(_LONGEST_REQUEST))
    except (OSError, ValueError):
        return []
    if not isinstance(document, dict) or not isinstance(document.get("processes"), list):
        return []
    since = document.get("time")
    if not isinstance(since, float | int) or not math.isfinite(since) or abs(time.time() - since) > _WANTED_S:
        return []
    return [name for name in document["processes"] if isinstance(name, str) and name in known][:MOST_TAILS]


def tail_path(folder: Path, process: str) -> Path:
    """Return the file with the end of a process's log."""
    return folder / LIVE / f"{process}.log"

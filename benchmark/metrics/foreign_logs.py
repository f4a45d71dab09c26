"""Convert what other load generators write to a latency log as the project's own generator writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from operator import itemgetter
from pathlib import Path

import numpy as np

from benchmark.errors import UsageError
from benchmark.host_scripts.load_generator.hdr import HIGHEST_US, encode, highest_value
from benchmark.metrics.latency_log import MICROSECONDS, Integers, LatencyLog, Tag, own_tag, read_latency_log
from benchmark.metrics.names import PER_SECOND, Unit
from benchmark.metrics.request_log import RequestColumns, read_requests


@dataclass(frozen=True)
class HistogramTags:
    """What the tags of HdrHistogram interval logs mean; the tag of lines without one is the name of their file."""

    unit: Unit = "us"
    """Of the values."""
    completed: tuple[str, ...] = ("*",)
    """Tags of requests that completed, as patterns of file names; all others are left out."""
    failed: tuple[str, ...] = ()
    """Tags of requests that failed, which count as such even if `completed` has them, too."""

    @property
    def counts_errors(self) -> bool:
        """Whether requests that failed have tags of their own."""
        return bool(self.failed)

    def read(self, path: Path) -> LatencyLog:
        """Read a log; UsageError with the line if it is damaged."""
        return read_latency_log(path, 1 / PER_SECOND[self.unit], partial(self._parse, path.name.partition(".")[0]))

    def _parse(self, untagged: str, text: str) -> Tag | None:
        text = text or untagged
        if any(fnmatchcase(text, pattern) for pattern in self.failed):
            return Tag(text.partition(".")[0], own_tag(text).error or "failed")
        return own_tag(text) if any(fnmatchcase(text, pattern) for pattern in self.completed) else None


LatencySource = RequestColumns | HistogramTags


def convert(files: Sequence[Path], source: LatencySource, target: Path) -> tuple[str, ...]:
    """Write the requests in the files of one client to the latency log `target`; return notes about the files.

    Failed requests count with a latency of 0, which stands for an unknown one.

    UsageError, with file and line, if one of them is missing or damaged, or if there are no requests at all.
    """
    read = source.read if isinstance(source, HistogramTags) else partial(read_requests, columns=source)
    logs = [read(file) for file in sorted(files)]
    if not any(len(log.counts) for log in logs):
        raise UsageError(f"{', '.join(map(str, sorted(files)[:3]))}: found no requests")
    with target.open("wb") as file:
        file.writelines(_lines(logs))
    return tuple(note for log in logs for note in log.notes)


def _lines(logs: Iterable[LatencyLog]) -> Iterator[bytes]:
    """Yield the lines of a log with all rows of `logs`, by time."""
    rows = sorted((row for log in logs for row in _rows(log)), key=itemgetter(0))
    yield b"#[Histogram log format version 1.3]\n"
    yield b"#[StartTime: %.3f (seconds since epoch)]\n" % (rows[0][0] / 1000)
    yield b"#[BaseTime: 0.000 (seconds since epoch)]\n"
    yield b"#[MaxValueDivisor: 1000.000; histograms are in us, Interval_Max in ms]\n"
    yield b'"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    yield from (line for _, line in rows)


def _rows(log: LatencyLog) -> Iterator[tuple[int, bytes]]:
    """Yield the start in ms and the line of each row of a log."""
    buckets = _convert_buckets(log) if log.layout != MICROSECONDS else log.buckets
    for row, (start, length, code) in enumerate(zip(log.starts_ms, log.lengths_ms, log.tag, strict=True)):
        entries, tag = slice(int(log.offsets[row]), int(log.offsets[row + 1])), log.tags[code]
        found: dict[int, int] = {}
        for bucket, count in zip(buckets[entries].tolist(), log.counts[entries].tolist(), strict=True):
            bucket = 0 if tag.error else bucket
            found[bucket] = found.get(bucket, 0) + count
        if found:
            name = f"{tag.workload}.{tag.error}" if tag.error else tag.workload
            times = b"%d.%03d,%d.%03d" % (*divmod(int(start), 1000), *divmod(int(length), 1000))
            most = highest_value(max(found)) / 1000
            yield int(start), b"Tag=%b,%b,%.3f,%b\n" % (name.encode(), times, most, encode(found))


def _convert_buckets(log: LatencyLog) -> Integers:
    """Return the project's buckets that hold the middle of those of a log."""
    edges = log.layout.edges(int(log.buckets.max(initial=0)) + 1)
    middle = (edges[log.buckets] + edges[log.buckets.astype(np.int64) + 1]) / 2
    return MICROSECONDS.index(np.minimum(middle * 1e6, HIGHEST_US).astype(np.int64))

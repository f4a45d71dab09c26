"""Read the files in which load generators list their requests, one a line, as a LatencyLog.

Fields are separated by commas, semicolons, tabs or spaces, whichever the first line has; those of the first two may be
quoted (RFC 4180).
"""

from __future__ import annotations

import csv
import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Literal, NoReturn, TextIO

import numpy as np

from benchmark.errors import UsageError
from benchmark.metrics.latency_log import Floats, Integers, LatencyLog, LogRows, Tag, from_requests
from benchmark.metrics.names import PER_SECOND, Unit

Column = int | str
"""A column's number, from 1, in files without a header, or its name in the first line."""
Rows = list[tuple[int, Sequence[str]]]
"""Fields of requests, each with the number of its line."""

LARGEST = 1 << 29
"""Bytes of a file, about 10 million requests."""
_EARLIEST_S, _LATEST_S = 1e9, 4e9
"""Unix times of the years 2001 to 2096 do not overlap in s, ms, us and ns, so that the unit of a time is known."""
_LONGEST_S = 1e9
_CHUNK = 50_000
_LONGEST_LINE = 1 << 20
_MOST_ERRORS = 50
"""Types of errors; further ones are counted together."""
_LONGEST_ERROR = 40
_NUMBER = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *")


@dataclass(frozen=True)
class RequestColumns:
    """What the columns of a file of requests mean."""

    time: tuple[Column, ...]
    """Unix time in s, ms, us or ns; or two columns: in s, and the microseconds to add."""
    latency: Column
    unit: Unit
    """Of the latency."""
    time_of: Literal["start", "end"] = "end"
    """Which end of a request its time is."""
    error: Column | None = None
    """Type of the failure, or of the outcome."""
    success: str | None = None
    """Pattern as those of file names (`2??`) that `error` matches if a request succeeded; None for empty or 0."""
    only: Mapping[Column, str] = field(default_factory=dict)
    """Requests are the lines whose columns have these values; all if empty."""
    workload: str = "default"

    @property
    def counts_errors(self) -> bool:
        """Whether the file shows which requests failed."""
        return self.error is not None

    @property
    def all(self) -> tuple[Column, ...]:
        """All columns that are read: time, latency, those of `only`, and the error last."""
        error = () if self.error is None else (self.error,)
        return (*self.time, self.latency, *self.only, *error)


def read_requests(path: Path, columns: RequestColumns) -> LatencyLog:
    """Read a file of requests, which may have none.

    Failed requests count with the latency they have, or 0 if that is no number. UsageError with line and column if the
    file is missing or damaged. A last line that was cut off is left out and noted.
    """
    return _Reader(str(path), columns).read(path)


class _Reader:
    """Read one file, a few thousand lines at a time."""

    def __init__(self, name: str, columns: RequestColumns) -> None:
        self._name, self._columns = name, columns
        # Matching takes time in proportion to the text, as the patterns of fnmatch do not backtrack.
        self._success = re.compile(fnmatch.translate(columns.success) if columns.success is not None else "0?$").match
        self._tags = [Tag(columns.workload)]
        self._scale = 0.0
        self._whole_seconds = len(columns.time) == 1
        self._cut = False

    def read(self, path: Path) -> LatencyLog:
        """Read the whole file."""
        try:
            if path.stat().st_size > LARGEST:
                raise UsageError(f"{self._name}: it is larger than {LARGEST >> 20} MiB; shorten the run, or log less")
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                rows = self._rows(file)
                places = self._places(rows)
                nothing = np.zeros(0)
                parts = [from_requests(nothing, nothing, nothing.astype(np.int64), self._tags)]
                while chunk := list(islice(rows, _CHUNK)):
                    parts.append(from_requests(*self._parse(chunk, places), self._tags))
        except OSError as error:
            raise UsageError(f"{self._name}: cannot be read: {error.strerror}") from None
        found = [
            LogRows(part.starts_ms, part.lengths_ms, part.tag, np.diff(part.offsets), part.buckets, part.counts)
            for part in parts
        ]
        log = LatencyLog.from_rows(parts[0].layout, tuple(self._tags), found)
        notes = ["its last line was cut off, and is left out"] if self._cut else []
        if self._whole_seconds and len(log.starts_ms):
            notes.append("its times are whole seconds")
            log = replace(log, lengths_ms=np.full_like(log.lengths_ms, 1000))
        return replace(log, notes=tuple(f"{self._name}: {note}" for note in notes))

    def _rows(self, file: TextIO) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield the fields of each line that has any, with its number."""
        lines = self._lines(file)
        first = next(lines, "")
        separator = next((each for each in ",;\t" if each in first), None)
        if separator is None:
            for number, line in enumerate(chain([first], lines), 1):
                if fields := line.split():
                    yield number, fields
            return
        csv.field_size_limit(_LONGEST_LINE)
        reader = csv.reader(chain([first], lines), delimiter=separator, strict=True)
        try:
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
        except csv.Error as error:
            if not (self._cut and "unexpected end" in str(error)):
                self._fail(reader.line_num, None, str(error))

    def _lines(self, file: TextIO) -> Iterator[str]:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if line.endswith("\n"):
                yield line
            elif len(line) == _LONGEST_LINE:
                self._fail(number, None, f"it is longer than {_LONGEST_LINE} characters")
            else:
                self._cut = True

    def _places(self, rows: Iterator[tuple[int, Sequence[str]]]) -> tuple[int, ...]:
        """Return the indexes of the columns, for which names are looked up in the first line."""
        columns = self._columns.all
        if not any(isinstance(column, str) for column in columns):
            return tuple(int(column) - 1 for column in columns)
        number, header = next(rows, (1, ()))
        if not header:
            return ()
        for column in columns:
            if column not in header:
                near = get_close_matches(str(column), header, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                self._fail(number, None, f"no column is called {column!r}; {hint}found: {', '.join(header)}")
        return tuple(header.index(str(column)) for column in columns)

    def _parse(self, rows: Rows, places: Sequence[int]) -> tuple[Floats, Floats, Integers]:
        """Return when requests ended (unix s), their latencies in s, and the codes of their outcomes."""
        columns, pick = self._columns, itemgetter(*places)
        try:
            picked = [pick(fields) for _, fields in rows]
        except IndexError:
            number, short = next(row for row in rows if len(row[1]) <= max(places))
            self._fail(number, None, f"it has {len(short)} columns, expected at least {max(places) + 1}")
        lines = [number for number, _ in rows]
        if columns.only:
            first, values = len(columns.time) + 1, tuple(columns.only.values())
            kept = [index for index, each in enumerate(picked) if each[first : first + len(values)] == values]
            picked, lines = [picked[index] for index in kept], [lines[index] for index in kept]
        if not picked:
            return np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64)
        fields: list[tuple[str, ...]] = list(zip(*picked, strict=True))
        times = self._times(fields, lines)
        codes = np.zeros(len(lines), dtype=np.int64)
        latencies: list[str] = list(fields[len(columns.time)])
        if columns.error is not None:
            for index, text in enumerate(fields[-1]):
                if not self._success(text):
                    codes[index] = self._code(text)
                    latencies[index] = latencies[index] if _NUMBER.fullmatch(latencies[index]) else "0"
        seconds = self._numbers(latencies, lines, columns.latency) / PER_SECOND[columns.unit]
        wrong = np.flatnonzero(~((seconds >= 0) & (seconds < _LONGEST_S)))  # also NaN
        if wrong.size:
            found = latencies[int(wrong[0])]
            self._fail(lines[int(wrong[0])], columns.latency, f"found {found!r}, expected a latency in {columns.unit}")
        return times + seconds if columns.time_of == "start" else times, seconds, codes

    def _times(self, fields: Sequence[Sequence[str]], lines: Sequence[int]) -> Floats:
        """Return the times of requests in Unix seconds."""
        columns = self._columns.time
        found = self._numbers(fields[0], lines, columns[0])
        if not self._scale:
            units = PER_SECOND.values() if len(columns) == 1 else [1.0]
            self._scale = next((each for each in units if _EARLIEST_S <= found[0] / each < _LATEST_S), 1.0)
        times = found / self._scale
        wrong = np.flatnonzero(~((times >= _EARLIEST_S) & (times < _LATEST_S)))
        if wrong.size:
            unit = "s, ms, us or ns" if len(columns) == 1 else "s"
            index = int(wrong[0])
            self._fail(lines[index], columns[0], f"found {fields[0][index]!r}, expected a Unix time in {unit}")
        self._whole_seconds = self._whole_seconds and self._scale == 1 and not np.any(times % 1)
        if len(columns) == 2:
            more = self._numbers(fields[1], lines, columns[1])
            wrong = np.flatnonzero(~((more >= 0) & (more < 1e6)))
            if wrong.size:
                index = int(wrong[0])
                text = f"found {fields[1][index]!r}, expected microseconds, 0 to 999999"
                self._fail(lines[index], columns[1], text)
            times = times + more / 1e6
        return times

    def _numbers(self, texts: Sequence[str], lines: Sequence[int], column: Column) -> Floats:
        try:
            return np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
        except ValueError:
            for number, text in zip(lines, texts, strict=True):
                if not _NUMBER.fullmatch(text):
                    self._fail(number, column, f"found {text[:60]!r}, expected a number")
            raise

    def _code(self, text: str) -> int:
        """Return the code of the tag of a failure."""
        error = re.sub(r"[^A-Za-z0-9_-]+", "_", text[:_LONGEST_ERROR]).strip("_") or "failed"
        error = f"code_{error}" if re.fullmatch(r"-?\d+", error) else error
        tag = Tag(self._columns.workload, error)
        if tag not in self._tags:
            if len(self._tags) > _MOST_ERRORS:
                tag = Tag(self._columns.workload, "other")
            if tag not in self._tags:
                self._tags.append(tag)
        return self._tags.index(tag)

    def _fail(self, line: int, column: Column | None, text: str) -> NoReturn:
        place = "" if column is None else f", column {column}"
        raise UsageError(f"{self._name}, line {line}{place}: {text}")

"""Read HdrHistogram interval logs: the latencies of all requests of a client, by interval and tag.

The format, version 1.3 with V2 compressed histograms: https://github.com/HdrHistogram/HdrHistogram, HistogramLogWriter
and AbstractHistogram.encodeIntoCompressedByteBuffer. A line is `Tag=T,start,length,max,base64`; the tag may be missing.
The histogram is a zlib stream of a header and of words in ZigZag LEB128: a count, or minus the length of a run of
zeros. Words are decoded with numpy for many lines at once.
"""

from __future__ import annotations

import binascii
import math
import multiprocessing
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise, starmap
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from benchmark.errors import UsageError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

INTERVAL_MS = 100
"""Length of the intervals of the project's own logs, which begin at multiples of it."""
SCHEDULING_DELAY = "_scheduling_delay"
"""Tag of the time from when requests were due until they were sent, in the interval in which they were sent."""
UNANSWERED = "unanswered"
"""Error type of requests that had no outcome when the generator stopped."""

_COOKIE, _COMPRESSED_COOKIE, _COOKIE_MASK = 0x1C849303, 0x1C849304, 0xFFFFFF0F
_HEADER = np.dtype(
    [
        ("cookie", ">u4"),
        ("length", ">u4"),
        ("offset", ">i4"),
        ("digits", ">u4"),
        ("lowest", ">u8"),
        ("highest", ">u8"),
        ("ratio", ">f8"),
    ]
)
_OUTER = np.dtype([("cookie", ">u4"), ("length", ">u4")])
_READ = 1 << 18
"""Bytes that are decoded at once: few enough for the processor's caches."""
_LONGEST_LINE = 1 << 23
_SMALL, _LARGEST = 2032, 1 << 21
"""Bytes of a compressed and of a decoded histogram: deflate expands by at most 1032."""
_MOST_BYTES = 1 << 24
"""Decoded histograms of more bytes are handled one by one, which bounds the memory."""
_UNEXPECTED = "expected a histogram in the V2 compressed encoding of HdrHistogram"
_MOST_ENTRIES = 50_000_000
_MOST_COUNTED = 1 << 53
_LONGEST_WORD = 8
"""Bytes; a longer word is a count beyond 2^55."""
_YEAR_MS = 365 * 86400 * 1000
_LATEST_MS = 1 << 42
_LONGEST_S = 1e9
_MOST_TAGS = 1000
_FEW_BYTES = 1 << 22
"""Less than this is not worth another process."""
_TIME = re.compile(rb"#\[(Start|Base)Time: *(\d+(?:\.\d*)?)")


@dataclass(frozen=True)
class Layout:
    """The buckets of a histogram: linear up to 2^(half_magnitude + 1) units, then each as wide as its power of two."""

    half_magnitude: int
    """Logarithm of half of the number of buckets per power of two."""
    unit_magnitude: int
    """Logarithm of the lowest discernible value."""
    second: float
    """One unit of the values, in s."""

    @classmethod
    def create(cls, digits: int, lowest: int, second: float) -> Layout:
        """Return the layout for values of at least `lowest` units with this many significant decimal digits."""
        return cls(math.ceil(math.log2(2 * 10**digits)) - 1, lowest.bit_length() - 1, second)

    def edges(self, count: int) -> Floats:
        """Return where each of the first `count` buckets begins, and where the last one ends, in s."""
        index = np.arange(count + 1, dtype=np.int64)
        power = np.maximum((index >> self.half_magnitude) - 1, 0)
        within = index - (power << self.half_magnitude)
        units = np.ldexp(within.astype(np.float64), power + self.unit_magnitude)
        return np.asarray(np.round(units * self.second, 12))

    def index(self, values: Integers) -> Integers:
        """Return the buckets of values, in units and not negative."""
        units = values >> self.unit_magnitude
        _, length = np.frexp(units.astype(np.float64))
        power = np.maximum(length.astype(np.int64) - self.half_magnitude - 1, 0)
        return np.asarray((power << self.half_magnitude) + (units >> power), dtype=np.int64)


MICROSECONDS = Layout.create(3, 1, 1e-6)
"""The layout of the project's own logs."""


class Tag(NamedTuple):
    """What a line of a log counts: requests of one workload with one outcome."""

    workload: str
    error: str = ""
    """Why they failed; empty for those that completed."""


def own_tag(text: str) -> Tag:
    """Parse a tag of the project's generator: `WORKLOAD`, or `WORKLOAD.ERROR_TYPE` for requests that failed."""
    workload, _, error = text.partition(".")
    return Tag(workload, error)


def plain_tag(text: str) -> Tag:
    """Take a tag as the name of a workload whose requests completed."""
    return Tag(text)


class LogRows(NamedTuple):
    """Some rows of a log, with the number of entries in each, and the entries."""

    starts_ms: Integers
    lengths_ms: Integers
    tag: npt.NDArray[np.int16]
    sizes: Integers
    buckets: npt.NDArray[np.unsignedinteger]
    counts: npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, eq=False)
class LatencyLog:
    """The latencies of one client: a row per interval and tag, and in each row an entry per bucket with any.

    Rows are ordered by time. Entries of row i are those from `offsets[i]` to `offsets[i + 1]`.
    """

    layout: Layout
    tags: tuple[Tag, ...]
    starts_ms: Integers
    """Of each row, Unix time in ms."""
    lengths_ms: Integers
    tag: npt.NDArray[np.int16]
    """Index of each row's tag."""
    offsets: Integers
    buckets: npt.NDArray[np.unsignedinteger]
    counts: npt.NDArray[np.unsignedinteger]
    notes: tuple[str, ...] = ()
    """What is wrong with the file although it can be used."""

    @classmethod
    def from_rows(
        cls,
        layout: Layout,
        tags: tuple[Tag, ...],
        parts: Sequence[LogRows],
        notes: tuple[str, ...] = (),
    ) -> LatencyLog:
        """Join the rows of at least one part, in any order; rows of one interval and tag may remain apart."""
        starts, lengths, codes, sizes, buckets, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
        if np.any(np.diff(starts) < 0):
            order = np.argsort(starts, kind="stable")
            rank = np.empty_like(order)
            rank[order] = np.arange(len(order))
            entries = np.argsort(np.repeat(rank, sizes), kind="stable")
            starts, lengths, codes, sizes = starts[order], lengths[order], codes[order], sizes[order]
            buckets, counts = buckets[entries], counts[entries]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return cls(layout, tags, starts, lengths, codes, offsets, buckets, counts, notes)

    @property
    def aligned(self) -> bool:
        """Whether all intervals are those of the project: windows that begin and end with one are exact."""
        return not (np.any(self.lengths_ms != INTERVAL_MS) or np.any(self.starts_ms % INTERVAL_MS))

    def rows(self, start_ms: int, end_ms: int, *, whole: bool = True) -> LatencyLog:
        """Return the rows whose intervals lie within a window (Unix time in ms), or begin there if not `whole`."""
        first = int(np.searchsorted(self.starts_ms, start_ms, side="left"))
        last = int(np.searchsorted(self.starts_ms, end_ms, side="left"))
        inside = slice(first, last)
        found = replace(
            self,
            starts_ms=self.starts_ms[inside],
            lengths_ms=self.lengths_ms[inside],
            tag=self.tag[inside],
            offsets=self.offsets[first : last + 1],
        )
        beyond = found.starts_ms + found.lengths_ms > end_ms
        return found.only(~beyond) if whole and beyond.any() else found

    def only(self, wanted: npt.NDArray[np.bool_]) -> LatencyLog:
        """Return the rows that are `wanted`: shape (rows,)."""
        sizes = np.diff(self.offsets)
        kept = np.repeat(wanted, sizes)
        entries = slice(int(self.offsets[0]), int(self.offsets[-1]))
        return replace(
            self,
            starts_ms=self.starts_ms[wanted],
            lengths_ms=self.lengths_ms[wanted],
            tag=self.tag[wanted],
            offsets=np.concatenate([[0], np.cumsum(sizes[wanted])]),
            buckets=self.buckets[entries][kept],
            counts=self.counts[entries][kept],
        )

    def rows_of(self, wanted: Callable[[Tag], bool]) -> npt.NDArray[np.bool_]:
        """Return which rows have tags that are `wanted`: shape (rows,)."""
        return np.array([wanted(tag) for tag in self.tags], dtype=bool)[self.tag]

    def tagged(self, wanted: Callable[[Tag], bool]) -> LatencyLog:
        """Return the rows whose tags are `wanted`."""
        return self.only(self.rows_of(wanted))

    def entries(self) -> tuple[Integers, Integers, Integers]:
        """Return the row, the bucket and the count of each entry."""
        inside = slice(int(self.offsets[0]), int(self.offsets[-1]))
        rows = np.repeat(np.arange(len(self.starts_ms)), np.diff(self.offsets))
        return rows, self.buckets[inside].astype(np.int64), self.counts[inside].astype(np.int64)

    def totals(self) -> Integers:
        """Return how many values each row counts: shape (rows,)."""
        inside = slice(int(self.offsets[0]), int(self.offsets[-1]))
        below = np.concatenate([[0], np.cumsum(self.counts[inside], dtype=np.int64)])
        return np.asarray(np.diff(below[self.offsets - self.offsets[0]]), dtype=np.int64)

    def by_tag(self) -> dict[Tag, Integers]:
        """Return the counts of each tag that has any by bucket: shape (buckets,), up to the last one with a count."""
        inside, sizes = slice(int(self.offsets[0]), int(self.offsets[-1])), np.diff(self.offsets)
        buckets, counts = self.buckets[inside], self.counts[inside]
        found = {}
        for code in np.unique(self.tag[sizes > 0]).tolist():
            chosen = np.repeat(self.tag == code, sizes)
            # Weights are floats, which are exact: a log counts less than 2^53.
            found[self.tags[code]] = np.bincount(buckets[chosen], weights=counts[chosen]).astype(np.int64)
        return found


def from_requests(ended_s: Floats, latencies_s: Floats, codes: Integers, tags: Sequence[Tag]) -> LatencyLog:
    """Make a log of single requests, as if the project's generator had recorded them.

    Of request i: `ended_s[i]` is when its outcome was known (Unix time), `latencies_s[i]` its latency, and
    `tags[codes[i]]` what it was. UsageError for times and latencies that are impossible.
    """
    for what, values, most in (("time", ended_s, _LATEST_MS / 1000), ("latency", latencies_s, _LONGEST_S)):
        wrong = np.flatnonzero(~((values >= 0) & (values < most)))  # also NaN
        if wrong.size:
            raise UsageError(
                f"request {int(wrong[0]) + 1}: found the {what} {float(values[wrong[0]]):g} s, expected 0 to {most:g} s"
            )
    starts = np.floor(np.rint(ended_s * 1e6) / (1000 * INTERVAL_MS)).astype(np.int64) * INTERVAL_MS
    buckets = MICROSECONDS.index(np.floor(latencies_s * 1e6 + 1e-3).astype(np.int64))
    order = np.lexsort((buckets, codes, starts))
    keys = np.stack([starts, codes, buckets])[:, order]
    new = np.concatenate([[True], (np.diff(keys) != 0).any(axis=0)])[: keys.shape[1]]
    first = np.flatnonzero(new)
    starts, codes, buckets = keys[:, first]
    counts = np.diff(np.concatenate([first, [keys.shape[1]]]))
    row = np.flatnonzero(np.concatenate([[True], (np.diff(starts) != 0) | (np.diff(codes) != 0)])[: len(first)])
    return LatencyLog(
        layout=MICROSECONDS,
        tags=tuple(tags),
        starts_ms=starts[row],
        lengths_ms=np.full(len(row), INTERVAL_MS, dtype=np.int64),
        tag=codes[row].astype(np.int16),
        offsets=np.concatenate([row, [len(first)]]),
        buckets=_smallest(buckets),
        counts=_smallest(counts),
    )


def read_latency_log(path: Path, second: float = 1e-6, parse_tag: Callable[[str], Tag | None] = own_tag) -> LatencyLog:
    """Read a log whose values are in units of `second` s.

    `parse_tag` interprets its tags, which are empty for lines without one; lines are left out where it returns None.

    UsageError with the line if the file is missing, damaged or in another format. A last line that was cut off, as a
    generator that is killed leaves it, is left out and noted.
    """
    return _Reader(path, second, parse_tag).read()


def read_latency_logs(
    paths: Mapping[str, Path],
    second: float = 1e-6,
    parse_tag: Callable[[str], Tag | None] = own_tag,
    *,
    processes: int = 1,
) -> dict[str, LatencyLog]:
    """Read several logs, large ones in so many processes; a program that asks for more than one is importable.

    Raises UsageError as `read_latency_log` does.
    """
    jobs = [(path, second, parse_tag) for path in paths.values()]
    size = sum(path.stat().st_size for path in paths.values() if path.exists())
    processes = min(processes, len(jobs), os.cpu_count() or 1)
    if processes < 2 or size < _FEW_BYTES:
        return dict(zip(paths, starmap(read_latency_log, jobs), strict=True))
    # A forked process may inherit locks that other threads hold.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        return dict(zip(paths, pool.map(read_latency_log, *zip(*jobs, strict=True)), strict=True))


def _inflate(packed: bytes) -> bytes:
    """Decompress a histogram with its outer header; ValueError if it is suspiciously large."""
    histogram = zlib.decompressobj().decompress(packed[_OUTER.itemsize :], _LARGEST)
    if len(histogram) == _LARGEST:
        raise ValueError(f"a histogram of more than {_LARGEST} bytes")
    return histogram


def _parsed(texts: Sequence[bytes]) -> Floats:
    """Parse numbers, many of which are equal."""
    values = {text: float(text) for text in set(texts)}
    return np.array([values[text] for text in texts])


def _smallest(values: Integers) -> npt.NDArray[np.unsignedinteger]:
    """Return values in the smallest type that holds them: most counts are small."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


@dataclass
class _Reader:
    """Read one log, chunk by chunk."""

    path: Path
    second: float
    parse_tag: Callable[[str], Tag | None]
    layout: Layout | None = None
    same: tuple[int, int, float] = (0, 0, 0.0)
    """Digits, lowest value and conversion ratio of all histograms."""
    codes: dict[bytes, int] = field(default_factory=dict)
    started_ms: int | None = None
    base_ms: int | None = None
    entries: int = 0
    counted: float = 0.0
    parts: list[LogRows] = field(default_factory=list)

    def read(self) -> LatencyLog:
        """Read the whole file."""
        notes: tuple[str, ...] = ()
        number, rest = 0, b""
        try:
            with self.path.open("rb") as file:
                while block := file.read(_READ):
                    *lines, rest = (rest + block).split(b"\n")
                    if len(rest) > _LONGEST_LINE:
                        self._fail(number + len(lines) + 1, f"it is longer than {_LONGEST_LINE} bytes")
                    self._add(range(number + 1, number + len(lines) + 1), lines)
                    number += len(lines)
        except OSError as error:
            raise UsageError(f"cannot read the latency log {self.path}: {error.strerror}") from None
        if rest:
            try:
                self._add([number + 1], [rest])
            except UsageError:
                notes = (f"{self.path}, line {number + 1}: it was cut off, and is left out",)
        if not number:
            raise UsageError(f"{self.path}: expected an HdrHistogram interval log, found no complete line")
        return self._log(notes)

    def _add(self, numbers: Sequence[int], lines: Sequence[bytes]) -> None:
        """Read lines, given their numbers: headers, the legend, and between them those that are decoded together."""
        other = [index for index, line in enumerate(lines) if line[:1] in b'#"\r']  # also empty ones
        for before, index in pairwise([-1, *other, len(lines)]):
            inside = slice(before + 1, index)
            self._decode(numbers[inside], lines[inside])
            if index < len(lines) and (found := _TIME.match(lines[index])):
                milliseconds = min(round(float(found[2]) * 1000), _LATEST_MS)
                if found[1] == b"Base":
                    self.base_ms = milliseconds
                else:
                    self.started_ms = milliseconds

    def _decode(self, numbers: Sequence[int], lines: Sequence[bytes]) -> None:
        """Decode lines together; if that fails one by one, which finds the one that is wrong."""
        if not lines:
            return
        try:
            words = b",".join(lines).split(b",")  # faster than each line on its own
            untagged = len(words) == 4 * len(lines)
            if not untagged and (len(words) != 5 * len(lines) or any(tag[:4] != b"Tag=" for tag in set(words[::5]))):
                raise ValueError("found other columns")
            *tags, starts, lengths, _, texts = (words[at :: 4 if untagged else 5] for at in range(4 if untagged else 5))
            names = tags[0] if tags else [b""] * len(lines)
            packed = [binascii.a2b_base64(text) for text in texts]
            sizes = np.fromiter(map(len, packed), dtype=np.int64, count=len(packed))
            self._check(numbers, sizes < _OUTER.itemsize, _UNEXPECTED)
            starts_at = (np.cumsum(sizes) - sizes)[:, None] + np.arange(_OUTER.itemsize)
            outer = np.frombuffer(b"".join(packed), dtype=np.uint8)[starts_at].view(_OUTER)[:, 0]
            encoded = outer["cookie"] & _COOKIE_MASK == _COMPRESSED_COOKIE
            self._check(numbers, ~encoded | (outer["length"] != sizes - _OUTER.itemsize), _UNEXPECTED)
            small = int(sizes.max()) <= _SMALL
            histograms = [zlib.decompress(data[8:]) for data in packed] if small else list(map(_inflate, packed))
            times = self._times(numbers, [_parsed(starts), _parsed(lengths)])
        except (ValueError, zlib.error) as error:  # binascii.Error is a ValueError
            if len(lines) == 1:
                expected = f"expected [Tag=T,]start,length,max,histogram ({error})"
                self._fail(numbers[0], f"found {lines[0][:60]!r}, {expected}")
            histograms = []
        if sum(map(len, histograms)) not in range(1, _MOST_BYTES) and len(lines) > 1:
            for number, line in zip(numbers, lines, strict=True):
                self._decode([number], [line])
            return
        sizes = np.array([len(histogram) for histogram in histograms], dtype=np.int64)
        self._check(numbers, sizes < _HEADER.itemsize, "its histogram is cut off")
        data = np.frombuffer(b"".join(histograms), dtype=np.uint8)
        header = (np.cumsum(sizes) - sizes)[:, None] + np.arange(_HEADER.itemsize)
        self._headers(numbers, data[header].view(_HEADER)[:, 0], sizes)
        kept = np.ones(len(data), dtype=bool)
        kept[header] = False
        row, bucket, count = self._words(numbers, data[kept], sizes - _HEADER.itemsize)
        self.entries += len(row)
        counted = self.counted + np.cumsum(count, dtype=np.float64)
        self._check(numbers, row[counted > _MOST_COUNTED], "it counts more than any client can send")
        self.counted = float(counted[-1]) if len(counted) else self.counted
        if self.entries > _MOST_ENTRIES or len(self.codes) > _MOST_TAGS:
            self._fail(numbers[-1], f"up to here it has more than {_MOST_ENTRIES} counts or {_MOST_TAGS} tags")
        for tag in dict.fromkeys(names):
            self.codes.setdefault(tag, len(self.codes))
        codes = np.array([self.codes[tag] for tag in names], dtype=np.int16)
        per_row = np.bincount(row, minlength=len(sizes))
        self.parts.append(LogRows(*times, codes, per_row, _smallest(bucket), _smallest(count)))

    def _times(self, numbers: Sequence[int], seconds: Sequence[Floats]) -> tuple[Integers, Integers]:
        """Return when intervals begin and how long they last in ms, given how the log states them."""
        wrong = [~((each >= 0) & (each < _LATEST_MS / 1000)) for each in seconds]
        self._check(numbers, np.logical_or(*wrong), "its time is impossible")
        starts_ms, lengths_ms = (np.rint(each * 1000).astype(np.int64) for each in seconds)
        if self.base_ms is None and self.started_ms is not None:
            # As the readers of HdrHistogram do: times far before the start count from it.
            self.base_ms = self.started_ms if starts_ms[0] < self.started_ms - _YEAR_MS else 0
        return starts_ms + (self.base_ms or 0), lengths_ms

    def _headers(self, numbers: Sequence[int], headers: npt.NDArray[np.void], sizes: Integers) -> None:
        """Check the headers of histograms, and that all have the same layout."""
        self._check(numbers, headers["cookie"] & _COOKIE_MASK != _COOKIE, "its histogram is not in the V2 encoding")
        self._check(numbers, headers["length"] != sizes - _HEADER.itemsize, "its histogram is cut off")
        self._check(numbers, headers["offset"] != 0, "its histogram is shifted, as those of floating-point numbers are")
        self._check(numbers, headers["digits"] > 5, "its histogram has more than 5 significant digits")
        lowest, ratio = headers["lowest"], headers["ratio"]
        self._check(numbers, (lowest < 1) | (lowest >= 1 << 40), "its lowest value is impossible")
        self._check(numbers, ~((ratio > 0) & np.isfinite(ratio)), "its conversion ratio is impossible")
        if self.layout is None:
            digits, least, factor = int(headers["digits"][0]), int(lowest[0]), float(ratio[0])
            self.layout, self.same = Layout.create(digits, least, self.second * factor), (digits, least, factor)
        differs = (headers["digits"] != self.same[0]) | (lowest != self.same[1]) | (ratio != self.same[2])
        self._check(numbers, differs, "its histogram has other digits or units than those before")

    def _words(
        self, numbers: Sequence[int], data: npt.NDArray[np.uint8], sizes: Integers
    ) -> tuple[Integers, Integers, Integers]:
        """Return the row, bucket and count of each entry of histograms without headers, one after the other."""
        after = np.cumsum(sizes)
        last = data >= 128
        if len(data):
            self._check(numbers, (sizes > 0) & last[np.maximum(after - 1, 0)], "its histogram is cut off")
        ends = np.flatnonzero(~last)
        begins = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
        lengths = ends - begins + 1
        words = np.diff(np.searchsorted(ends, after, side="left"), prepend=0)
        rows = np.repeat(np.arange(len(sizes)), words)
        self._check(numbers, rows[lengths > _LONGEST_WORD], "it counts more than any client can send")
        if not len(rows):
            return rows, rows, rows
        zigzag = (data[begins] & 127).astype(np.int64)
        for at in range(1, int(lengths.max())):  # most words have one byte
            longer = np.flatnonzero(lengths > at)
            zigzag[longer] |= (data[begins[longer] + at] & 127).astype(np.int64) << (7 * at)
        values = (zigzag >> 1) ^ -(zigzag & 1)
        steps = np.maximum(-values, 1)
        assert self.layout is not None
        most = (65 - self.layout.unit_magnitude - self.layout.half_magnitude) << self.layout.half_magnitude
        self._check(numbers, rows[steps > most], "its histogram has too many buckets")
        behind = np.cumsum(steps) - steps
        first = np.cumsum(words) - words
        buckets = behind - np.repeat(behind[np.minimum(first, len(behind) - 1)], words)
        counted = values > 0
        self._check(numbers, rows[(buckets >= most) & counted], "its histogram has too many buckets")
        return rows[counted], buckets[counted], values[counted]

    def _log(self, notes: tuple[str, ...]) -> LatencyLog:
        nothing = np.zeros(0, dtype=np.int64)
        parts = self.parts or [LogRows(nothing, nothing, nothing.astype(np.int16), nothing, *2 * [_smallest(nothing)])]
        parsed = [self.parse_tag(tag[4:].decode("utf-8", "replace")) for tag in self.codes]
        names = tuple(dict.fromkeys(tag for tag in parsed if tag is not None))
        code = np.array([-1 if tag is None else names.index(tag) for tag in parsed], dtype=np.int16)
        if len(code):
            parts = [part._replace(tag=code[part.tag]) for part in parts]
        log = LatencyLog.from_rows(self.layout or MICROSECONDS, names, parts, notes)
        return log.only(log.tag >= 0) if None in parsed else log

    def _check(self, numbers: Sequence[int], wrong: npt.NDArray[np.bool_] | Integers, text: str) -> None:
        """Raise UsageError for the first row that is wrong, given a mask of rows or their indexes."""
        found = np.flatnonzero(wrong) if wrong.dtype == np.bool_ else wrong
        if found.size:
            self._fail(numbers[int(found[0])], text)

    def _fail(self, number: int, text: str) -> NoReturn:
        raise UsageError(f"{self.path}, line {number}: {text}")

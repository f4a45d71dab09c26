"""Record values in HdrHistograms of 0.1 s and write them to an interval log.

The log has format 1.3 of https://github.com/HdrHistogram/HdrHistogram (class HistogramLogWriter) with V2 compressed
histograms (class EncodableHistogram): 3 significant digits, values of 1 µs to 1 h.
"""

from __future__ import annotations

import os
import sys
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from errno import ENOSPC
from math import inf
from struct import pack
from time import gmtime, monotonic, strftime, time
from zlib import compress

INTERVALS_PER_S = 10
HIGHEST_US = 3_600_000_000
"""Longer values are counted as this."""
_SUB_BUCKET_BITS = 11
"""Values below 2^11 have a bucket each, which makes 3 significant digits: ceil(log2(2 * 10^3))."""

Counts = dict[int, int]
"""Non-zero counts of a histogram by bucket index."""
Interval = dict[str, Counts]
"""Histograms of an interval by tag."""
Sink = Callable[[int, Interval], None]
"""Takes the number of an interval, in 0.1 s since the epoch, and its histograms."""


def bucket_index(value_us: int) -> int:
    """Return the index of the bucket that counts a value of 0 to HIGHEST_US."""
    shift = value_us.bit_length() - _SUB_BUCKET_BITS
    return (shift << (_SUB_BUCKET_BITS - 1)) + (value_us >> shift) if shift > 0 else value_us


def highest_value(index: int) -> int:
    """Return the largest value in µs that is counted in a bucket."""
    shift = max(0, (index >> (_SUB_BUCKET_BITS - 1)) - 1)
    return ((index - (shift << (_SUB_BUCKET_BITS - 1)) + 1) << shift) - 1


def encode(counts: Counts) -> bytes:
    """Return a histogram in the V2 compressed encoding, in base64."""
    words = bytearray()
    next_index = 0
    for index in sorted(counts):
        # Numbers are in ZigZag encoding: 2 n is n, a count, and 2 n - 1 is -n, that many counts of zero.
        if index > next_index:
            words += _varint(2 * (index - next_index) - 1)
        words += _varint(2 * counts[index])
        next_index = index + 1
    data = compress(pack(">IIIIqqd", 0x1C849313, len(words), 0, 3, 1, HIGHEST_US, 1.0) + words)
    return b2a_base64(pack(">II", 0x1C849314, len(data)) + data, newline=False)


def _varint(number: int) -> bytes:
    """Return a number in LEB128: seven bits per byte, the lowest first."""
    if number < 0x80:
        return b"%c" % number
    return b"%c" % (number & 0x7F | 0x80) + _varint(number >> 7)


class Recorder:
    """Count values by tag in the interval of the system clock in which they are recorded."""

    def __init__(self, sink: Sink | None, *, every: bool = False) -> None:
        """Pass each interval that has values, or every interval, to `sink` when it has ended."""
        self._sink, self._every = sink, every
        self._open: Interval = {}
        self._number = 0
        self.end = 0.0
        """End of the open interval on the monotonic clock."""

    @property
    def wake(self) -> float:
        """When the open interval must be closed; inf if there is no need to."""
        return self.end if self._open or self._every else inf

    def record(self, tag: str, seconds: float, now: float) -> None:
        """Count a value that became known at `now` on the monotonic clock."""
        if now >= self.end:
            self.close()
        index = bucket_index(min(int(seconds * 1e6), HIGHEST_US))  # so that a value lies within its bucket
        counts = self._open.get(tag)
        if counts is None:
            counts = self._open[tag] = {}
        counts[index] = counts.get(index, 0) + 1

    def close(self) -> None:
        """End the open interval and begin the one of the present."""
        if self._sink and (self._open or self._every):
            self._sink(self._number, self._open)
        self._open = {}
        now, unix = monotonic(), time()
        # No number is used twice. If the clock is set back, intervals last longer until it has caught up.
        self._number = max(self._number + 1, int(unix * INTERVALS_PER_S))
        self.end = now + min(2 / INTERVALS_PER_S, (self._number + 1) / INTERVALS_PER_S - unix)


class Merge:
    """Add up the intervals of several recorders, and pass on each when all recorders have ended it."""

    def __init__(self, recorders: int, sink: Sink) -> None:
        self._ended = [0] * recorders
        self._sink = sink
        self._intervals: dict[int, Interval] = {}

    def add(self, recorder: int, number: int, interval: Interval) -> None:
        """Add an interval of a recorder, which has also ended all intervals before."""
        merged = self._intervals.setdefault(number, {})
        for tag, counts in interval.items():
            total = merged.setdefault(tag, {})
            for index, count in counts.items():
                total[index] = total.get(index, 0) + count
        self._ended[recorder] = number
        self._pass_on(min(self._ended))

    def finish(self, recorder: int) -> None:
        """Expect no more intervals of a recorder."""
        self.add(recorder, sys.maxsize, {})

    def _pass_on(self, last: int) -> None:
        for number in sorted(number for number in self._intervals if number <= last):
            interval = self._intervals.pop(number)
            if interval:
                self._sink(number, interval)


class LogWriter:
    """Write intervals to a file, each with one system call, so that a killed process leaves complete lines."""

    def __init__(self, path: str) -> None:
        """Create the file and write the header; OSError if that is impossible."""
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._size = 0
        # Readers skip intervals that begin before the start time.
        start = int(time() * INTERVALS_PER_S) / INTERVALS_PER_S
        self._append(
            b"#[Histogram log format version 1.3]\n"
            b"#[StartTime: %.3f (seconds since epoch), %b]\n"
            b"#[BaseTime: 0.000 (seconds since epoch)]\n"
            b"#[MaxValueDivisor: 1000.000; histograms are in us, Interval_Max in ms]\n"
            b'"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
            % (start, strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(start)).encode())
        )

    def write(self, number: int, interval: Interval) -> None:
        """Append the histograms of an interval; OSError if the disk is full."""
        self._append(b"".join(self._lines(number, interval)))

    def _lines(self, number: int, interval: Interval) -> Iterable[bytes]:
        start = b"%d.%d00,0.100," % divmod(number, INTERVALS_PER_S)
        for tag, counts in interval.items():
            yield b"Tag=%b,%b%.3f,%b\n" % (tag.encode(), start, highest_value(max(counts)) / 1000, encode(counts))

    def _append(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None
        if written < len(data):
            os.ftruncate(self._fd, self._size)
            raise OSError(ENOSPC, os.strerror(ENOSPC), self._path)
        self._size += written

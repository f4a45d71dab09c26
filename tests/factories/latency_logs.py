"""Latency logs for the tests, encoded by the reference implementation of HdrHistogram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hdrh.histogram import HdrHistogram

HEADER = "#[Histogram log format version 1.3]\n#[StartTime: {start:.3f} (seconds since epoch), then]\n{more}"
LEGEND = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'


def encoded(values: Iterable[int], digits: int = 3, lowest: int = 1, highest: int = 3_600_000_000) -> str:
    """A histogram of integers in the V2 compressed encoding."""
    histogram = HdrHistogram(lowest, highest, digits)
    for value in values:
        assert histogram.record_value(value)
    return str(histogram.encode(), "ascii")


def line(start: float, values: Iterable[int], tag: str = "", length: float = 0.1, **layout: int) -> str:
    """A line for the interval from `start`."""
    named = f"Tag={tag}," if tag else ""
    return f"{named}{start:.3f},{length:.3f},1.000,{encoded(values, **layout)}\n"


def write(path: Path, lines: Sequence[str], start: float = 1_700_000_000.0, more: str = "") -> Path:
    """A log of these lines."""
    path.write_text(HEADER.format(start=start, more=more) + LEGEND + "".join(lines))
    return path

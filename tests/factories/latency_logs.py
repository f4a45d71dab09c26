"""Latency logs for the tests, encoded by the reference implementation of HdrHistogram."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from factories.sample_factory import Array
from hdrh.histogram import HdrHistogram

from benchmark.measure.client_logs import ClientLog
from benchmark.metrics.latency_log import SCHEDULING_DELAY, LatencyLog, Tag, from_requests

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


def recent() -> bytes:
    """The log of a client that completed 20 tx/s in the last three seconds."""
    first = math.floor(time.time() * 10) - 30
    lines = [
        line(at / 10, values, tag)
        for at in range(first, first + 31)
        for tag, values in (("put", [1000, 3000]), ("_scheduling_delay", [10, 20]))
    ]
    return "".join(lines).encode()


def recorded(
    name: str, ended: Array, latencies: Array, *, region: str = "us-east-1", workload: str = "put", error: str = ""
) -> ClientLog:
    """The log of a client whose requests were sent without delay."""
    tags = [Tag(workload, error), Tag(SCHEDULING_DELAY)]
    codes = np.repeat([0, 1], len(ended))
    times = np.concatenate([ended, ended - latencies])
    values = np.concatenate([latencies, np.full(len(ended), 0.0001)])
    return ClientLog(name, name, region, from_requests(times, values, codes, tags))


def joined(*clients: ClientLog) -> ClientLog:
    """The log of a client that recorded what all of these did."""
    logs = [client.log for client in clients]
    tags = tuple(dict.fromkeys(tag for log in logs for tag in log.tags))
    starts = np.concatenate([log.starts_ms for log in logs])
    order = np.argsort(starts, kind="stable")
    sizes = np.concatenate([np.diff(log.offsets) for log in logs])
    rank = np.argsort(order)
    entries = np.argsort(np.repeat(rank, sizes), kind="stable")
    made = LatencyLog(
        layout=logs[0].layout,
        tags=tags,
        starts_ms=starts[order],
        lengths_ms=np.concatenate([log.lengths_ms for log in logs])[order],
        tag=np.concatenate([np.array([tags.index(log.tags[code]) for code in log.tag]) for log in logs])[order],
        offsets=np.concatenate([[0], np.cumsum(sizes[order])]),
        buckets=np.concatenate([log.buckets for log in logs])[entries],
        counts=np.concatenate([log.counts for log in logs])[entries],
    )
    return dataclasses.replace(clients[0], log=made)

"""Find what averages over a second hide in latency logs: the slowest requests, and stretches without any."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmark.measure.client_logs import ClientLog, on_grid
from benchmark.measure.histogram import Array
from benchmark.metrics.latency_log import INTERVAL_MS, SCHEDULING_DELAY, UNANSWERED, Tag

_CHANCE = 0.01
"""Stretches that chance makes as long in a window with this probability are no stalls."""


class Stall(NamedTuple):
    """The longest stretch in which no request completed."""

    start: float
    """Unix s."""
    seconds: float


def slowest(clients: Sequence[ClientLog], edges: Array) -> Array:
    """Return the latency of the slowest request that ended in each interval between `edges` (unix s), in s.

    Failed requests count with the latency they have in the log. NaN where none ended.
    """
    limits = np.rint(edges * 1000).astype(np.int64)
    found = np.full(len(edges) - 1, -np.inf)
    for client in clients:
        log = client.log.rows(int(limits[0]), int(limits[-1]), whole=False).tagged(_ended)
        rows = np.flatnonzero(np.diff(log.offsets))
        if len(rows):
            last = log.buckets[log.offsets[rows + 1] - 1].astype(np.int64)  # entries are ordered by bucket
            upper = log.layout.edges(int(last.max()) + 1)[1:]
            at = np.clip(np.searchsorted(limits, log.starts_ms[rows], side="right") - 1, 0, len(found) - 1)
            np.maximum.at(found, at, upper[last])
    return np.where(np.isinf(found), np.nan, found)


def longest_stall(clients: Sequence[ClientLog], start: float, end: float) -> Stall | None:
    """Return the longest stretch of the window (unix s) without a completed request, to 0.1 s.

    None if there is none that is longer than independent requests (of a Poisson process) would leave by chance, or if
    a log is coarser than 0.1 s.
    """
    start_ms, end_ms = on_grid(start, end)
    counts = np.zeros((end_ms - start_ms) // INTERVAL_MS + 1)
    for client in clients:
        if not client.log.aligned:
            return None
        log = client.log.rows(start_ms, end_ms).tagged(lambda tag: _ended(tag) and not tag.error)
        np.add.at(counts, (log.starts_ms - start_ms) // INTERVAL_MS, log.totals())
    counts = counts[:-1]
    empty = np.concatenate([[False], counts == 0, [False]]).astype(np.int8)
    begins, ends = np.flatnonzero(np.diff(empty) == 1), np.flatnonzero(np.diff(empty) == -1)
    if not begins.size:
        return None
    longest = int(np.argmax(ends - begins))
    if len(counts) * math.exp(-counts.mean() * (ends[longest] - begins[longest])) > _CHANCE:
        return None
    # It began in the interval before the empty ones and ended in the one after them, in the mean halfway.
    at, interval_s = float(begins[longest]) - 0.5, INTERVAL_MS / 1000
    return Stall(start_ms / 1000 + at * interval_s, float(ends[longest] - begins[longest] + 1) * interval_s)


def _ended(tag: Tag) -> bool:
    return tag.workload != SCHEDULING_DELAY and tag.error != UNANSWERED

"""Counters of processes: growth between real samples, restarts and gaps.

A process is whatever Prometheus scrapes at one address. All samples of one scrape carry the same time, so a
series that is absent from a scrape did not exist then: it started from zero.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmark.measure.histogram import Array, Histogram, make_histogram
from benchmark.metrics.samples import Series

START_TIMES = ("start_time_s", "process_start_time_seconds")


@dataclass(frozen=True)
class Span:
    """The samples of a process that a window uses: indexes of the first and of the last one."""

    first: int
    last: int


@dataclass(frozen=True)
class Process:
    """The series of one scraped process on a common time axis; made by `processes`."""

    name: str
    """The host, with the address where several processes of the job run on it."""
    host: str
    region: str
    times: Array
    """When it was scraped, unix s."""
    series: dict[str, list[Series]] = field(repr=False)
    restarts: tuple[int, ...] = ()
    """Indexes of the first sample after each restart."""

    def has(self, metric: str) -> bool:
        """Whether any series of `metric` was ever scraped."""
        return metric in self.series

    def span(self, start: float, end: float) -> Span | None:
        """Return the first real sample at or after `start` and the last at or before `end` (unix s).

        None if these are not two different samples.
        """
        first = int(np.searchsorted(self.times, start, side="left"))
        last = int(np.searchsorted(self.times, end, side="right")) - 1
        return Span(first, last) if last > first else None

    def seconds(self, span: Span) -> float:
        """Time between the first and the last sample of `span`."""
        return float(self.times[span.last] - self.times[span.first])

    def grown(self, metric: str) -> Array:
        """Return the growth of each series of `metric` since the process's first sample: shape (series, times).

        After a restart counting goes on from zero, so what was counted between the last sample before it and the
        restart is missing: growth is never overstated.
        """
        values = self._aligned(metric)
        steps = np.diff(values, axis=1)
        for index in self.restarts:
            alive = [bool(np.any(one.times == self.times[index])) for one in self.series[metric]] if len(steps) else []
            steps[:, index - 1] = np.where(alive, values[:, index], 0.0)
        steps = np.where(steps < 0, values[:, 1:], steps)
        return np.concatenate([np.zeros((len(values), 1)), np.cumsum(steps, axis=1)], axis=1)

    def growth(self, metric: str, span: Span) -> float:
        """Return the growth of `metric` over `span`, summed over its series; 0 if it was never scraped."""
        return float(self._grown_over(metric, span).sum())

    def growth_by(self, metric: str, label: str, span: Span) -> dict[str, float]:
        """Return the growth over `span` for each value of `label` that grew."""
        result: dict[str, float] = {}
        for series, grown in zip(self.series.get(metric, []), self._grown_over(metric, span), strict=True):
            if grown > 0:
                key = series.labels.get(label, "")
                result[key] = result.get(key, 0.0) + float(grown)
        return result

    def buckets(self, metric: str) -> tuple[Array, Array]:
        """Return the bounds of histogram `metric` and the growth up to each: shapes (bounds,), (bounds, times)."""
        name = f"{metric}_bucket"
        grown = self.grown(name)
        le = np.array([float(series.labels["le"]) for series in self.series.get(name, [])])
        bounds, position = np.unique(le, return_inverse=True)
        summed = np.zeros((len(bounds), len(self.times)))
        np.add.at(summed, position, grown)
        return bounds, summed

    def histogram(self, metric: str, span: Span) -> Histogram:
        """Return the values that histogram `metric` counted over `span`, over all its labels."""
        bounds, grown = self.buckets(metric)
        return make_histogram(bounds, grown[:, span.last] - grown[:, span.first])

    def gauge(self, metric: str) -> Array:
        """Return the gauge `metric` summed over its series: shape (times,)."""
        return np.asarray(self._aligned(metric).sum(axis=0), dtype=np.float64)

    def gaps(self, start: float, end: float, longest: float) -> list[tuple[float, float]]:
        """Return the stretches within the window, longer than `longest` s, that have no sample."""
        inside = self.times[(self.times >= start) & (self.times <= end)]
        edges = np.concatenate([[start], inside, [end]])
        late = np.flatnonzero(np.diff(edges) > longest)
        return [(float(edges[index]), float(edges[index + 1])) for index in late]

    def _grown_over(self, metric: str, span: Span) -> Array:
        grown = self.grown(metric)
        return np.asarray(grown[:, span.last] - grown[:, span.first], dtype=np.float64)

    def _aligned(self, metric: str) -> Array:
        rows = [_align(series, self.times) for series in self.series.get(metric, [])]
        return np.stack(rows) if rows else np.zeros((0, len(self.times)))


def processes(series: Iterable[Series], job: str, counters: Collection[str]) -> list[Process]:
    """Group the series of `job` (client, node or host) by the process they come from, sorted by name.

    `counters` are the metrics whose samples make the time axis and whose fall means a restart, as does a change
    of the process's start time.
    """
    grouped: dict[tuple[str, str], list[Series]] = {}
    for one in series:
        if one.labels.get("job") == job:
            key = (one.labels.get("host", ""), one.labels.get("instance", ""))
            grouped.setdefault(key, []).append(one)
    hosts = [host for host, _ in grouped]
    made = []
    for (host, address), members in grouped.items():
        name = host if hosts.count(host) == 1 else f"{host} {address}"
        process = _process(name, members, counters)
        if process is not None:
            made.append(process)
    return sorted(made, key=lambda process: process.name)


def _process(name: str, members: Sequence[Series], counters: Collection[str]) -> Process | None:
    """Put the series of one process on a common time axis; None if it has no sample of `counters`."""
    axis = _union([one.times for one in members if one.metric in counters])
    if not axis.size:
        return None
    by_metric: dict[str, list[Series]] = {}
    for one in members:
        by_metric.setdefault(one.metric, []).append(one)
    fallen = np.zeros(len(axis), dtype=bool)
    for metric, group in by_metric.items():
        for one in group if metric in counters or metric in START_TIMES else ():
            values = _align(one, axis)
            change = np.diff(values)
            # A process that waits for its start says 0; so does a series before its first sample.
            fallen[1:] |= (values[:-1] > 0) & (change != 0) if metric in START_TIMES else change < 0
    labels = members[0].labels
    restarts = tuple(int(index) for index in np.flatnonzero(fallen))
    return Process(name, labels.get("host", ""), labels.get("region", ""), axis, by_metric, restarts)


def _union(axes: Sequence[Array]) -> Array:
    if axes and all(np.array_equal(axes[0], axis) for axis in axes[1:]):
        return np.unique(axes[0])
    return np.unique(np.concatenate([np.zeros(0), *axes]))


def _align(series: Series, axis: Array) -> Array:
    """Return the last value at or before each time of `axis`, 0 before the first."""
    if np.array_equal(series.times, axis):
        return series.values
    times, last = np.unique(series.times[::-1], return_index=True)
    values = np.concatenate([[0.0], series.values[::-1][last]])
    return np.asarray(values[np.searchsorted(times, axis, side="right")], dtype=np.float64)

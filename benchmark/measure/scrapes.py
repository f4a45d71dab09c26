"""Group the samples of a run by the target that was scraped, with restarts, gaps and the increase of counters.

All samples of one scrape carry the same time, so a series that is absent from a scrape did not exist then: it started
at zero.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmark.measure.histogram import Array, Histogram, make_histogram
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.metrics.samples import Series
from benchmark.metrics.targets import Job

START_TIMES = ("start_time_s", "process_start_time_seconds")


@dataclass(frozen=True)
class SampleRange:
    """The samples of a target that a window uses: indexes of the first and of the last one."""

    first: int
    last: int


@dataclass(frozen=True)
class ScrapedTarget:
    """The series of one address that Prometheus scraped, on a common time axis."""

    name: str
    """The host, with the address where the job has several targets on it."""
    host: str
    region: str
    times: Array
    """When it was scraped, unix s."""
    series: dict[str, list[Series]] = field(repr=False)
    restarts: tuple[int, ...] = ()
    """Indexes of the first sample after each restart."""
    _increases: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)

    def has(self, metric: str) -> bool:
        """Return whether any series of `metric` was ever scraped."""
        return metric in self.series

    def sample_range(self, start: float, end: float) -> SampleRange | None:
        """Return the first real sample at or after `start` and the last at or before `end` (unix s).

        None if these are not two different samples.
        """
        first = int(np.searchsorted(self.times, start, side="left"))
        last = int(np.searchsorted(self.times, end, side="right")) - 1
        return SampleRange(first, last) if last > first else None

    def seconds(self, samples: SampleRange) -> float:
        """Return the time between the first and the last sample of the range."""
        return float(self.times[samples.last] - self.times[samples.first])

    def increases(self, metric: str) -> Array:
        """Return the increase of each series of `metric` since the target's first sample: shape (series, times).

        After a restart counters start at zero. What was counted between the last sample before the restart and the
        restart itself is lost, so an increase is never overstated.
        """
        if metric not in self._increases:
            values = self._aligned(metric)
            steps = np.diff(values, axis=1)
            for index in self.restarts if len(steps) else ():
                exists = [bool(np.any(one.times == self.times[index])) for one in self.series[metric]]
                steps[:, index - 1] = np.where(exists, values[:, index], 0.0)
            steps = np.where(steps < 0, values[:, 1:], steps)
            increases = np.concatenate([np.zeros((len(values), 1)), np.cumsum(steps, axis=1)], axis=1)
            increases.flags.writeable = False
            self._increases[metric] = increases
        return self._increases[metric]

    def increase(self, metric: str, samples: SampleRange) -> float:
        """Return the increase of `metric` over the range, summed over its series; 0 if it was never scraped."""
        increases = self.increases(metric)
        return float((increases[:, samples.last] - increases[:, samples.first]).sum())

    def increase_by(self, metric: str, label: str, samples: SampleRange) -> dict[str, float]:
        """Return the increase over the range for each value of `label` that has one."""
        result: dict[str, float] = {}
        increases = self.increases(metric)
        over = increases[:, samples.last] - increases[:, samples.first]
        for series, increase in zip(self.series.get(metric, []), over, strict=True):
            if increase > 0:
                key = series.labels.get(label, "")
                result[key] = result.get(key, 0.0) + float(increase)
        return result

    def buckets(self, metric: str) -> tuple[Array, Array]:
        """Return the bounds of histogram `metric` and the increase up to each: shapes (bounds,), (bounds, times)."""
        name = f"{metric}_bucket"
        le = np.array([float(series.labels["le"]) for series in self.series.get(name, [])])
        bounds, position = np.unique(le, return_inverse=True)
        summed = np.zeros((len(bounds), len(self.times)))
        np.add.at(summed, position, self.increases(name))
        return bounds, summed

    def histogram(self, metric: str, samples: SampleRange) -> Histogram:
        """Return the values that histogram `metric` counted over the range, over all its labels."""
        bounds, increases = self.buckets(metric)
        return make_histogram(bounds, increases[:, samples.last] - increases[:, samples.first])

    def gauge(self, metric: str) -> Array:
        """Return the gauge `metric` summed over its series: shape (times,)."""
        return np.asarray(self._aligned(metric).sum(axis=0), dtype=np.float64)

    def gaps(self, start: float, end: float, longest: float) -> list[tuple[float, float]]:
        """Return the stretches within the window, longer than `longest` s, that have no sample."""
        inside = self.times[(self.times >= start) & (self.times <= end)]
        edges = np.concatenate([[start], inside, [end]])
        return [(float(edges[at]), float(edges[at + 1])) for at in np.flatnonzero(np.diff(edges) > longest)]

    def _aligned(self, metric: str) -> Array:
        rows = [_align(series, self.times) for series in self.series.get(metric, [])]
        return np.stack(rows) if rows else np.zeros((0, len(self.times)))


class RunSamples:
    """The samples of a run, grouped by target once: pass one object on to everything that measures from it.

    `series` are the raw ones; targets have the metrics of `names` in seconds, under those names.
    """

    def __init__(self, series: Iterable[Series], names: MetricNames = LOAD_GENERATOR) -> None:
        self.series = list(series)
        self._by_job: dict[str, dict[tuple[str, str], list[Series]]] = {}
        self._targets: dict[tuple[str, tuple[str, ...]], list[ScrapedTarget]] = {}
        for one in names.select(self.series):
            address = (one.labels.get("host", ""), one.labels.get("instance", ""))
            self._by_job.setdefault(one.labels.get("job", ""), {}).setdefault(address, []).append(one)

    def targets(self, job: Job, counters: Collection[str]) -> list[ScrapedTarget]:
        """Return the targets of `job` that have a sample of `counters`, sorted by name.

        `counters` are the metrics whose samples make the time axis. A fall of any of them means a restart, and so does
        a changed start time.
        """
        key = (job, tuple(counters))
        if key not in self._targets:
            groups = self._by_job.get(job, {})
            hosts = [host for host, _ in groups]
            made = [
                _make_target(host if hosts.count(host) == 1 else f"{host} {address}", members, counters)
                for (host, address), members in groups.items()
            ]
            self._targets[key] = sorted((target for target in made if target), key=lambda target: target.name)
        return self._targets[key]


def _make_target(name: str, members: Sequence[Series], counters: Collection[str]) -> ScrapedTarget | None:
    """Put the series of one target on a common time axis; None if it has no sample of `counters`."""
    axes = [one.times for one in members if one.metric in counters]
    same = bool(axes) and all(np.array_equal(axes[0], axis) for axis in axes[1:])
    axis = np.unique(axes[0] if same else np.concatenate([np.zeros(0), *axes]))
    if not axis.size:
        return None
    by_metric: dict[str, list[Series]] = {}
    for one in members:
        by_metric.setdefault(one.metric, []).append(one)
    restarted = np.zeros(len(axis), dtype=bool)
    for metric, group in by_metric.items():
        for one in group if metric in counters or metric in START_TIMES else ():
            values = _align(one, axis)
            change = np.diff(values)
            # A process that waits for its start exports 0, and a series counts as 0 before its first sample.
            restarted[1:] |= (values[:-1] > 0) & (change != 0) if metric in START_TIMES else change < 0
    labels = members[0].labels
    restarts = tuple(int(index) for index in np.flatnonzero(restarted))
    return ScrapedTarget(name, labels.get("host", ""), labels.get("region", ""), axis, by_metric, restarts)


def _align(series: Series, axis: Array) -> Array:
    """Return the last value at or before each time of `axis`, 0 before the first."""
    if np.array_equal(series.times, axis):
        return series.values
    times, last = np.unique(series.times[::-1], return_index=True)
    values = np.concatenate([[0.0], series.values[::-1][last]])
    return np.asarray(values[np.searchsorted(times, axis, side="right")], dtype=np.float64)

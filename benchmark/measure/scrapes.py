"""Group the samples of a run by the target that was scraped, with restarts, gaps and the increase of counters.

All samples of one scrape carry the same time, so a series that is absent from a scrape did not exist then: it started
at zero.

A process restarted where its start time moved, or, if it exports none, where most of its counters fell: a single
counter that falls is no restart. All counters of a process that restarted start at zero. Otherwise a counter that fell
to less than half started at zero by itself, and one that fell by less counts on from its highest value: values that
jitter, such as a sum of floating-point numbers, are never counted twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from benchmark.measure.histogram import Array, Histogram, make_histogram
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.metrics.samples import Series, join_parts
from benchmark.metrics.targets import Job

START_TIMES = ("start_time_s", "process_start_time_seconds")
_START_JITTER_S = 1.0
"""Start times are derived from a clock that is adjusted while the process runs."""
_COUNTER_JITTER = 0.01
"""Share of its value by which a counter may fall without being suspicious."""
_COUNTERS = ("_bucket", "_sum", "_count", "_total")
_LARGEST = 1e100
"""No counter gets there; sums and squares of smaller values are finite."""


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
    """Indexes of the first sample after each restart of the process."""
    damage: dict[str, list[tuple[str, Array]]] = field(default_factory=dict, repr=False)
    """What is wrong with series of each metric, and the times of the samples concerned."""
    _increases: dict[str, Array] = field(default_factory=dict, repr=False, compare=False)
    _buckets: dict[str, tuple[Array, Array]] = field(default_factory=dict, repr=False, compare=False)

    def has(self, metric: str) -> bool:
        """Return whether any series of `metric` was ever scraped."""
        return metric in self.series

    def with_label(self, label: str, value: str) -> ScrapedTarget:
        """Return the target with only the series whose `label` has this value; "" selects those without it."""
        kept = {
            name: [one for one in members if one.labels.get(label, "") == value]
            for name, members in self.series.items()
        }
        series = {name: members for name, members in kept.items() if members}
        return replace(self, series=series, _increases={}, _buckets={})

    def unknown(self, metric: str, samples: SampleRange) -> str | None:
        """Return why the increase of `metric` over the range is unknown; None if it is known."""
        start, end = self.times[samples.first], self.times[samples.last]
        for text, times in self.damage.get(metric, ()):
            if np.any((times >= start) & (times <= end)):
                return text
        return None if self.has(metric) else f"`{metric}` is not exported"

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

        What was counted between the last sample before a restart and the restart itself is lost, so an increase is
        never overstated.
        """
        if metric not in self._increases:
            rows = [self._counted(one) for one in self.series.get(metric, [])]
            increases = np.stack(rows) if rows else np.zeros((0, len(self.times)))
            increases.flags.writeable = False
            self._increases[metric] = increases
        return self._increases[metric]

    def falls(self, metric: str, samples: SampleRange) -> list[tuple[float, float, float]]:
        """Return the (time, value before, value after) where a series of `metric` fell without a restart.

        Jitter of up to 1 % is left out: a fall by more means that the series started again alone, or is no counter.
        """
        found = []
        for values in self._aligned(metric):
            at = samples.first + 1 + np.flatnonzero(np.diff(values[samples.first : samples.last + 1]) < 0)
            for index in set(at.tolist()) - set(self.restarts):
                before, after = float(values[index - 1]), float(values[index])
                if before - after > _COUNTER_JITTER * abs(before):
                    found.append((float(self.times[index]), before, after))
        return sorted(found)

    def increase(self, metric: str, samples: SampleRange) -> float:
        """Return the increase of `metric` over the range, summed over its series; 0 if it was never scraped."""
        increases = self.increases(metric)
        return float((increases[:, samples.last] - increases[:, samples.first]).sum())

    def total(self, metric: str, samples: SampleRange) -> float:
        """Return the sum of the values that histogram `metric` counted over the range."""
        totals = self.totals(metric, samples)
        return float(totals[samples.last] - totals[samples.first])

    def totals(self, metric: str, samples: SampleRange) -> Array:
        """Return the sum of the values that histogram `metric` counted since the first sample: shape (times,).

        Between two samples without a restart, a sum that fell says nothing: the values counted meanwhile are taken to
        have the mean of the others in the range.
        """
        steps = np.diff(self._aligned(f"{metric}_sum"), axis=1)
        sums, counts = (np.diff(self.increases(f"{metric}_{part}").sum(axis=0)) for part in ("sum", "count"))
        restarted = np.isin(np.arange(1, len(self.times)), self.restarts)
        fell = (steps < 0).any(axis=0) & ~restarted
        if fell.any():
            sums = np.where(restarted | fell, sums, steps.sum(axis=0))
            known = np.flatnonzero(~fell[samples.first : samples.last]) + samples.first
            if counts[known].sum() > 0:
                sums[fell] = counts[fell] * (sums[known].sum() / counts[known].sum())
        return np.concatenate([np.zeros(1), np.cumsum(sums)])

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
        """Return the bounds of histogram `metric` and the increase up to each: shapes (bounds,), (bounds, times).

        Series that differ in other labels are added up, at the bounds that all of them have. The count of a histogram
        is its infinite bucket where it exports none.
        """
        if metric in self._buckets:
            return self._buckets[metric]
        name, counted = f"{metric}_bucket", f"{metric}_count"
        groups: dict[frozenset[tuple[str, str]], dict[float, Array]] = {}
        for one, row in zip(self.series.get(name, []), self.increases(name), strict=True):
            group = groups.setdefault(frozenset((key, one.labels[key]) for key in one.labels if key != "le"), {})
            group[float(one.labels["le"])] = group.get(float(one.labels["le"]), 0.0) + row
        for one, row in zip(self.series.get(counted, []), self.increases(counted), strict=True):
            groups.setdefault(frozenset(one.labels.items()), {}).setdefault(np.inf, row)
        for group in groups.values():
            group.setdefault(np.inf, group[max(group)])
        shared = sorted(set.intersection(*map(set, groups.values()))) if groups else []
        summed = [np.sum([group[bound] for group in groups.values()], axis=0) for bound in shared]
        found = np.array(shared, dtype=np.float64), np.reshape(summed, (len(shared), len(self.times)))
        return self._buckets.setdefault(metric, found)

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
        rows = [_align(series, self.times)[0] for series in self.series.get(metric, [])]
        return np.stack(rows) if rows else np.zeros((0, len(self.times)))

    def _counted(self, one: Series) -> Array:
        """Return the increase of a series since the target's first sample: shape (times,)."""
        values, seen = _align(one, self.times)
        for index in self.restarts:  # until it is scraped again, a series of the new process is at zero
            values = np.where((self.times >= self.times[index]) & (seen < self.times[index]), 0.0, values)
        restarted = {index for index in self.restarts if index}
        alone = {
            int(index) + 1 for index in np.flatnonzero((values[1:] < values[:-1]) & (values[1:] <= values[:-1] / 2))
        }
        increase, total = np.empty_like(values), -values[0]
        for start, end in pairwise([0, *sorted(restarted | alone), len(values)]):
            increase[start:end] = total + np.maximum.accumulate(values[start:end])
            total = increase[end - 1]
        return np.asarray(increase, dtype=np.float64)


class RunSamples:
    """The samples of a run, grouped by target once: pass one object on to everything that measures from it.

    `series` are the raw ones; targets have the metrics of `names` in seconds, under those names.
    """

    def __init__(self, series: Iterable[Series], names: MetricNames = LOAD_GENERATOR) -> None:
        self.series = list(series)
        self._by_job: dict[str, dict[tuple[str, str], list[Series]]] = {}
        self._targets: dict[tuple[str, tuple[str, ...]], list[ScrapedTarget]] = {}
        once: dict[tuple[str, frozenset[tuple[str, str]]], Series] = {}
        for one in names.select(self.series):
            identity = (one.metric, frozenset(one.labels.items()))
            once[identity] = join_parts([once[identity], one]) if identity in once else one
        for one in once.values():
            address = (one.labels.get("host", ""), one.labels.get("instance", ""))
            self._by_job.setdefault(one.labels.get("job", ""), {}).setdefault(address, []).append(one)

    def targets(self, job: Job, counters: Collection[str]) -> list[ScrapedTarget]:
        """Return the targets of `job` that have a sample of `counters`, sorted by name.

        `counters` are the metrics whose samples make the time axis.
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
    damage: dict[str, list[tuple[str, Array]]] = {}
    for one in members:
        usable, bucket = np.abs(one.values) < _LARGEST, one.metric.endswith("_bucket")
        if not usable.all():
            value = f"{one.values[~usable][0]:g}".replace("nan", "NaN").replace("inf", "Inf")
            limit = f'{{le="{one.labels["le"]}"}}' if "le" in one.labels else ""
            damage.setdefault(one.metric, []).append((f"`{one.metric}{limit}` is {value}", one.times[~usable]))
        if bucket and not _has_bound(one):
            bound = f'has le="{one.labels["le"]}"' if "le" in one.labels else "has no label `le`"
            damage.setdefault(one.metric, []).append((f"a series of `{one.metric}` {bound}", one.times))
        elif usable.all():
            by_metric.setdefault(one.metric, []).append(one)
        elif usable.any() and not bucket:  # a histogram without one of its buckets is coarser, but right
            at = np.flatnonzero(usable)
            filled = np.interp(np.arange(len(usable)), at, one.values[at])
            by_metric.setdefault(one.metric, []).append(replace(one, values=filled))
    labels, restarts = members[0].labels, _restarts(by_metric, axis, counters)
    return ScrapedTarget(name, labels.get("host", ""), labels.get("region", ""), axis, by_metric, restarts, damage)


def _restarts(series: Mapping[str, Sequence[Series]], axis: Array, counters: Collection[str]) -> tuple[int, ...]:
    """Return the indexes of the first sample after each restart of a process; see the module."""
    moved, unmoved = (np.zeros(len(axis) - 1, dtype=bool) for _ in range(2))
    for one in [one for metric in START_TIMES for one in series.get(metric, ())]:
        values, _ = _align(one, axis)
        before, after = values[:-1], values[1:]
        # A process that waits for its start exports 0, and a series counts as 0 before its first sample. A process that
        # was scraped cannot be replaced by one that started earlier.
        known = (before > 0) & (after > 0)
        moved |= known & (after - before > _START_JITTER_S) & (after > axis[:-1] - _START_JITTER_S)
        unmoved |= known & (np.abs(after - before) <= _START_JITTER_S)
    positive, fell, halved = (np.zeros(len(axis) - 1) for _ in range(3))
    for metric, members in series.items() if not unmoved.all() else ():
        for one in members if metric in counters or metric.endswith(_COUNTERS) else ():
            values, _ = _align(one, axis)
            before, after = values[:-1], values[1:]
            positive += before > 0
            fell += (before > 0) & (after < before)
            halved += (before > 0) & (after <= before / 2)
    together = (fell > 0) & ((fell == positive) | (2 * halved >= positive))
    return tuple(int(index) + 1 for index in np.flatnonzero(moved | (together & ~unmoved)))


def _has_bound(one: Series) -> bool:
    try:
        return float(one.labels["le"]) > -_LARGEST
    except (KeyError, ValueError):
        return False


def _align(series: Series, axis: Array) -> tuple[Array, Array]:
    """Return the last value at or before each time of `axis` and when it was sampled: 0 and -inf before the first."""
    if np.array_equal(series.times, axis):
        return series.values, axis
    times, last = np.unique(series.times[::-1], return_index=True)
    values = np.concatenate([[0.0], series.values[::-1][last]])
    at = np.searchsorted(times, axis, side="right")
    return np.asarray(values[at], dtype=np.float64), np.concatenate([[-np.inf], times])[at]

"""Find figures that are impossible, whatever the system did: they show that samples are wrong, or not what they seem.

A counter that falls although its process did not restart; a mean outside the buckets of its histogram; a latency longer
than the process has been up; processors that worked longer than they exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from benchmark.measure.histogram import Array
from benchmark.measure.host_usage import CPU, increase_where
from benchmark.measure.scrapes import START_TIMES, SampleRange, ScrapedTarget
from benchmark.metrics.names import DUE, SUBMITTED, MetricNames

_TOLERANCE = 0.02
"""Share by which two figures of one scrape may contradict each other: a scrape is not atomic."""
_RACING = 2.0
"""Number of observations by which they may as well."""
_SLACK_S = 1.0
"""Error of start times and of the moments of scrapes."""


def impossible_figures(
    target: ScrapedTarget, samples: SampleRange, names: MetricNames, begin: float | None = None
) -> Iterator[str]:
    """Yield what is impossible about the counters of a client or node over the range of its samples.

    `begin` (unix s) is when it started, for processes that export no start time.
    """
    latency = names.latency
    parts = (f"{latency}_count", f"{latency}_sum", f"{latency}_bucket")
    for metric in dict.fromkeys((names.completed, *parts, names.squared or "", SUBMITTED, DUE)):
        yield from _not_a_counter(target, metric, samples)
    count, total = target.increase(parts[0], samples), target.total(latency, samples)
    histogram = target.histogram(latency, samples)
    if target.unknown(parts[0], samples):
        return
    if target.unknown(parts[2], samples) is None and abs(count - histogram.count) > _TOLERANCE * count + _RACING:
        yield f"`{latency}_count` rose by {count:g}, but its buckets by {histogram.count:g}"
    if target.unknown(parts[1], samples) or count <= 0:
        return
    low, high = histogram.mean_range()
    tolerance, mean = _TOLERANCE + _RACING / count, total / count
    if not low - tolerance * abs(low) <= mean <= high + tolerance * abs(high):
        yield f"the mean of `{latency}`, {mean:g}, is outside its buckets, between {low:g} and {high:g}"
    squared = target.increase(names.squared, samples) if names.squared and target.has(names.squared) else None
    if squared is not None and squared / count < mean**2 * (1 - 2 * tolerance):
        yield f"`{names.squared}` rose by {squared:g}, less than the square of the mean of `{latency}` allows"
    yield from _longer_than_up(target, samples, latency, begin)


def impossible_usage(hosts: Iterable[ScrapedTarget], start: float, end: float) -> Iterator[str]:
    """Yield the hosts whose processors worked longer than the window from `start` to `end` (unix s) allows."""
    for host in hosts:
        inside = host.sample_range(start, end)
        if inside is None or not host.has(CPU):
            continue
        seconds = host.seconds(inside)
        cores = {series.labels["cpu"] for series in host.series[CPU] if "cpu" in series.labels}
        spent = increase_where(host, CPU, lambda labels: True)
        worked = float(spent[inside.last] - spent[inside.first])
        if cores and worked > len(cores) * (1.05 * seconds + _SLACK_S):
            yield f"{host.name}: {len(cores)} processors spent {worked:.1f} s of processor time in {seconds:.1f} s"


def _not_a_counter(target: ScrapedTarget, metric: str, samples: SampleRange) -> Iterator[str]:
    lowest = min((float(one.values.min()) for one in target.series.get(metric, ()) if one.values.size), default=0.0)
    if lowest < 0:
        yield f"the counter `{metric}` is negative ({lowest:g})"
    for time, before, after in target.falls(metric, samples)[:1]:
        ago = time - target.times[samples.first]
        yield f"the counter `{metric}` fell from {before:g} to {after:g} after {ago:.1f} s without a restart"


def _longer_than_up(target: ScrapedTarget, samples: SampleRange, latency: str, begin: float | None) -> Iterator[str]:
    """Yield a mean latency that is longer than the process had been up by then, in the range or before."""
    up = _uptime(target, begin)
    until = slice(0, samples.last + 1)
    count, total = (target.increases(f"{latency}_{part}").sum(axis=0)[until] for part in ("count", "sum"))
    allowed = (count + _RACING) * (up[until] + _SLACK_S) * (1 + _TOLERANCE)
    over = np.flatnonzero((total > allowed) & (count > 0))
    if over.size:
        at = over[-1]
        yield (
            f"the mean of `{latency}`, {total[at] / count[at]:g} s, is longer than the process was up "
            f"({up[at]:.1f} s): is it in another unit than seconds?"
        )


def _uptime(target: ScrapedTarget, begin: float | None) -> Array:
    """Return for how long the process had been up at each sample; infinite where that is unknown."""
    started = np.full(len(target.times), np.nan if begin is None else begin)
    for metric in START_TIMES:
        if target.has(metric):
            exported = target.gauge(metric) / len(target.series[metric])
            started = np.where(exported > 0, exported, started)
    return np.asarray(np.where(np.isnan(started), np.inf, target.times - started), dtype=np.float64)

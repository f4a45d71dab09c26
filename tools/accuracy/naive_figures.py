"""Compare a run's metrics with those of common but wrong methods.

Prints a Markdown table. docs/numbers.md has an example and explains the differences.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmark.errors import UsageError
from benchmark.measure.histogram import Histogram, merge
from benchmark.measure.measurement import measure
from benchmark.measure.scrapes import RunSamples, SampleRange, ScrapedTarget
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.metrics.sample_files import read_samples
from benchmark.results.manifest import read_manifest
from benchmark.results.run_folder import SAMPLES
from tools.accuracy.stored_run import with_run


@dataclass(frozen=True)
class Row:
    """A metric, computed by one method."""

    metric: str
    method: str
    value: float | None
    true: float
    seconds: bool = True
    """Whether the metric is a latency; otherwise it is a rate in tx/s."""

    def __str__(self) -> str:
        if self.value is None or not self.true:
            return f"| {self.metric} | {self.method} | - | - |"
        shown = f"{self.value * 1000:.1f} ms" if self.seconds else f"{self.value:.2f} tx/s"
        return f"| {self.metric} | {self.method} | {shown} | {self.value / self.true - 1:+.1%} |"


@dataclass(frozen=True)
class Stored:
    """A run's samples, the begin of its load and its measured window (unix s)."""

    samples: RunSamples
    begin: float
    start: float
    end: float
    step: float
    metrics: MetricNames = LOAD_GENERATOR

    def clients(self) -> list[ScrapedTarget]:
        """Return the load generators."""
        return self.samples.targets(self.metrics.job, self.metrics.counters)


def read_stored(folder: Path) -> Stored:
    """Read a run from its folder; UsageError if its samples or its manifest are missing."""
    manifest = read_manifest(folder)
    times = manifest.times
    if times is None:
        raise UsageError(f"{folder}: never under load, nothing to compare; name another run")
    samples = RunSamples(read_samples(folder / SAMPLES), manifest.metrics)
    step = manifest.parameters.scrape_interval_s
    return Stored(samples, times.load, times.start, times.end, step, manifest.metrics)


def rows(run: Stored) -> list[Row]:
    """Return every metric by every method, the correct one first."""
    measured = measure(run.samples, run.start, run.end, names=run.metrics, scrape_interval=run.step)
    latency, timeline = measured.total.successful_latency_s, measured.timeline
    if latency is None or latency.mean is None or latency.p99 is None:
        return []
    clients = [(one, inside) for one in run.clients() if (inside := one.sample_range(run.start, run.end))]
    whole = [(one, inside) for one in run.clients() if (inside := one.sample_range(run.begin, run.end))]
    name = run.metrics.latency
    means = [p.increase(f"{name}_sum", s) / p.increase(f"{name}_count", s) for p, s in clients]
    single = [p.histogram(name, s) for p, s in clients]
    rate, total = measured.total.completed_tps or 0.0, run.end - run.begin
    last = float(sum(one.gauge(f"{name}_count")[-1] for one in run.clients()))
    p99, upper = latency.p99.estimate, latency.p99.upper
    bounds = f"in ({latency.p99.lower * 1000:g}, {'∞' if upper is None else f'{upper * 1000:g}'}]"
    over_time = None if timeline is None else float(np.nanmean(timeline.quantiles_s["p99_s"]))
    p99s = [value for value in (_p99(each) for each in single) if value is not None]
    return [
        Row("throughput", "**increase between samples of the window, summed over clients**", rate, rate, False),
        Row("", f"`sum(rate({name}_count[{total:.0f}s]))` at the end: the whole run", _server_rate(run), rate, False),
        Row("", "count at the end divided by the time since the load began", last / total, rate, False),
        Row("mean latency", "**sum divided by count of the window, of all clients**", latency.mean, latency.mean),
        Row("", "`sum / count` as scraped at the end: the whole run", _scraped_mean(whole, name), latency.mean),
        Row("", "mean of the clients' means", float(np.mean(means)), latency.mean),
        Row("p99", f"**summed buckets of all clients, {bounds}**", p99, p99),
        Row("", "mean of the clients' p99", float(np.mean(p99s)) if p99s else None, p99),
        Row("", "mean over time of p99 per scrape", over_time, p99),
        Row("", "p99 of the whole run", _p99(merge([p.histogram(name, s) for p, s in whole])), p99),
        Row("stdev", "**from squared latencies of all clients**", latency.stdev, latency.stdev or 0.0),
        Row("", "standard deviation of the clients' means", float(np.std(means)), latency.stdev or 0.0),
    ]


def prometheus_rate(times: Sequence[float], values: Sequence[float], start: float, end: float) -> float:
    """Return Prometheus' `rate` of a counter, which extrapolates to the range from `start` to `end` (s).

    Source: extrapolatedRate in promql/functions.go of release 2.42. NaN with fewer than two samples.
    """
    inside = [(time, value) for time, value in zip(times, values, strict=True) if start <= time <= end]
    if len(inside) < 2:
        return math.nan
    (first, low), (last, _) = inside[0], inside[-1]
    increase = sum(b - a if b >= a else b for (_, a), (_, b) in pairwise(inside))
    sampled = last - first
    between = sampled / (len(inside) - 1)
    before, after = first - start, end - last
    if increase > 0 and low >= 0:
        before = min(before, sampled * low / increase)
    extended = sampled + sum(gap if gap < 1.1 * between else between / 2 for gap in (before, after))
    return increase * extended / sampled / (end - start)


def _server_rate(run: Stored) -> float:
    name = f"{run.metrics.latency}_count"
    counters = [one for one in run.samples.series if one.metric == name and one.labels.get("job") == run.metrics.job]
    rates = [prometheus_rate(list(one.times), list(one.values), run.begin, run.end) for one in counters]
    return float(np.nansum(rates))


def _scraped_mean(whole: Sequence[tuple[ScrapedTarget, SampleRange]], name: str) -> float:
    count = sum(float(target.gauge(f"{name}_count")[samples.last]) for target, samples in whole)
    return sum(float(target.gauge(f"{name}_sum")[samples.last]) for target, samples in whole) / count


def _p99(histogram: Histogram) -> float | None:
    quantile = histogram.quantile(0.99)
    return quantile.estimate if quantile else None


def main(folder: Path, show: Callable[[str], object] = print) -> int:
    """Print the table of a run; return the exit code."""
    show("| metric | method | value | error |\n| --- | --- | ---: | ---: |")
    for row in rows(read_stored(folder)):
        show(str(row))
    return 0


if __name__ == "__main__":
    sys.exit(with_run(main, __doc__))

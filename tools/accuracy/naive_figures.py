"""Compare a run's metrics with those of common but wrong methods: `python -m tools.accuracy.naive_figures RUN`.

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

from benchmark.cli.target import results_dir
from benchmark.errors import UsageError
from benchmark.measure.histogram import Histogram, merge
from benchmark.measure.measurement import measure
from benchmark.measure.scrapes import Process, Span, processes
from benchmark.measure.window_stats import Figures
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.metrics.samples import Series, read_samples
from benchmark.results.find import find_run
from benchmark.results.manifest import read_manifest
from benchmark.results.run_folder import SAMPLES


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

    series: Sequence[Series]
    begin: float
    start: float
    end: float
    step: float
    metrics: MetricNames = LOAD_GENERATOR

    def clients(self) -> list[Process]:
        """Return the load generators."""
        return processes(self.series, self.metrics.job, self.metrics.counters)

    def figures(self) -> Figures:
        """Return the metrics as this project computes them."""
        return measure(self.series, self.start, self.end, metrics=self.metrics, scrape_interval=self.step).total


def read_stored(folder: Path) -> Stored:
    """Read a run from its folder; UsageError if its samples or its manifest are missing."""
    manifest = read_manifest(folder)
    times = manifest.times
    if times is None:
        raise UsageError(f"{folder}: never under load, nothing to compare; name another run")
    series, step = read_samples(folder / SAMPLES), manifest.parameters.scrape_interval_s
    return Stored(series, times.load, times.start, times.end, step, manifest.metrics)


def rows(run: Stored) -> list[Row]:
    """Return every metric by every method, the correct one first."""
    right = run.figures()
    latency = right.latency_s
    if latency is None:
        return []
    clients = [(process, span) for process in run.clients() if (span := process.span(run.start, run.end))]
    whole = [(process, span) for process in run.clients() if (span := process.span(run.begin, run.end))]
    name = run.metrics.latency
    means = [p.growth(f"{name}_sum", s) / p.growth(f"{name}_count", s) for p, s in clients]
    single = [p.histogram(name, s) for p, s in clients]
    rate, total = right.completed_tps, run.end - run.begin
    last = float(sum(process.gauge(f"{name}_count")[-1] for process in run.clients()))
    p99, upper = latency.p99.estimate, latency.p99.upper
    bounds = f"in ({latency.p99.lower * 1000:g}, {'∞' if upper is None else f'{upper * 1000:g}'}]"
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
        Row("", "mean over time of p99 per scrape", _mean_over_time(run), p99),
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
    counters = [one for one in run.series if one.metric == name and one.labels.get("job") == run.metrics.job]
    rates = [prometheus_rate(list(one.times), list(one.values), run.begin, run.end) for one in counters]
    return float(np.nansum(rates))


def _scraped_mean(whole: Sequence[tuple[Process, Span]], name: str) -> float:
    count = sum(float(process.gauge(f"{name}_count")[span.last]) for process, span in whole)
    return sum(float(process.gauge(f"{name}_sum")[span.last]) for process, span in whole) / count


def _mean_over_time(run: Stored) -> float | None:
    timeline = measure(run.series, run.start, run.end, metrics=run.metrics, scrape_interval=run.step).timeline
    return None if timeline is None else float(np.nanmean(timeline.quantiles_s["p99_s"]))


def _p99(histogram: Histogram) -> float | None:
    quantile = histogram.quantile(0.99)
    return quantile.estimate if quantile else None


def main(arguments: Sequence[str], show: Callable[[str], object] = print) -> int:
    """Print the table of the run that `arguments` names; return the exit code."""
    if len(arguments) != 1:
        show("usage: python -m tools.accuracy.naive_figures RUN")
        return 2
    show("| metric | method | value | error |\n| --- | --- | ---: | ---: |")
    for row in rows(read_stored(find_run(results_dir(), arguments[0]))):
        show(str(row))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Measure the time and memory needed to summarise a large run: `python -m tools.performance.measurement`.

Goal: 2 s and 500 MB for 100 clients, 30 minutes, a sample every 5 s and 65 buckets.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmark.measure.host_usage import host_usage
from benchmark.measure.measurement import measure
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import judge
from benchmark.metrics.sample_files import read_samples, write_samples
from benchmark.metrics.samples import Series
from benchmark.results.summary import Identity, parse_summary, summarise

START, RATE = 1_700_000_000.0, 100.0
BOUNDS = [*(0.001 * 1.15**power for power in range(64)), float("inf")]


def client(index: int, samples: int, interval: float) -> list[Series]:
    """Return the series of a client with exponential latencies of mean 0.2 s."""
    labels = {"job": "client", "host": f"host-{index}", "region": f"region-{index % 10}", "instance": f"{index}:9200"}
    times = START + index * interval / 100 + np.arange(samples, dtype=np.float64) * interval
    counts = np.floor((times - START) * RATE)

    def one(metric: str, values: object, **extra: str) -> Series:
        return Series(metric, {**labels, **extra}, times, np.asarray(values, dtype=np.float64))

    shares = 1 - np.exp(-np.array(BOUNDS) / 0.2)
    buckets = [one("latency_s_bucket", np.floor(counts * s), le=str(b)) for b, s in zip(BOUNDS, shares, strict=True)]
    scalars = {"latency_s_count": 1.0, "latency_s_sum": 0.2, "latency_squared_s": 0.08, "submitted": 1.0, "due": 1.0}
    return [
        *buckets,
        *(one(metric, counts * factor) for metric, factor in scalars.items()),
        *(one("lateness_s_bucket", counts, le=le) for le in ("0.001", "0.01", "+Inf")),
        one("lateness_s_count", counts),
        one("inflight", np.full(samples, 20.0)),
        one("errors", np.floor(counts / 1000), error_type="timeout"),
    ]


def peak_mb() -> float:
    """Return the peak memory of this process in MB (Linux counts KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(path: Path, clients: int, minutes: float, interval: float) -> None:
    """Write the samples of the run to `path`."""
    samples = int(minutes * 60 / interval) + 1
    series = [one for index in range(clients) for one in client(index, samples, interval)]
    write_samples(path, series)
    count = sum(len(one.times) for one in series)
    print(f"{len(series)} series, {count} samples, {path.stat().st_size / 1e6:.1f} MB as Parquet")


def summarise_file(path: Path, clients: int, minutes: float, interval: float) -> None:
    """Read, measure, judge and summarise the samples; print the time of each step."""
    begun = time.perf_counter()
    series = read_samples(path)
    read = time.perf_counter()
    samples = RunSamples(series)
    measurement = measure(samples, START + 30, START + minutes * 60, scrape_interval=interval)
    usage = host_usage(samples, START + 30, START + minutes * 60)
    verdict = judge(measurement, requested_tps=clients * RATE)
    identity = Identity(run_id="x", protocol="x", commit="x", nodes=0, clients=clients, requested_tps=clients * RATE)
    text = summarise(measurement, verdict, identity, usage).to_json()
    done = time.perf_counter()
    parse_summary(text)
    print(f"read {read - begun:.2f} s, summarised {done - read:.2f} s, peak {peak_mb():.0f} MB; goal 2 s, 500 MB")
    print(f"throughput {measurement.total.completed_tps or 0.0:.1f} tx/s, {verdict.status}")


def main() -> None:
    """Write the samples in a child process, so that memory for writing does not count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--interval", type=float, default=5)
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.parquet"
        context = multiprocessing.get_context("spawn")
        child = context.Process(target=write, args=(path, *options.values()))
        child.start()
        child.join()
        summarise_file(path, *options.values())


if __name__ == "__main__":
    main()

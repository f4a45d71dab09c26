"""Measure the time and memory needed to summarise the latency logs of a large run.

`python -m tools.performance.latency_logs`; goal: 5 s on two processors and 500 MB for 100 clients and 30 minutes, of
which every interval of 0.1 s has requests (1.8 million intervals).
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmark.host_scripts.load_generator.hdr import Interval, LogWriter, bucket_index
from benchmark.measure.client_logs import ClientLog
from benchmark.measure.measurement import measure
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import judge
from benchmark.metrics.latency_log import read_latency_logs
from benchmark.results.summary import Identity, summarise

START, RATE = 1_700_000_000, 50
DIFFERENT = 10
"""Logs that are made; the others are links to them."""


def write(path: Path, seed: int, seconds: int) -> None:
    """Write the log of a client that completes RATE requests per second, with exponential latencies of mean 20 ms."""
    random = np.random.default_rng(seed)
    writer = LogWriter(str(path))
    size = seconds * 10, RATE // 10
    latencies, delays = (random.exponential(mean, size).astype(int).tolist() for mean in (20_000, 100))
    for at, (latency, delay) in enumerate(zip(latencies, delays, strict=True)):
        interval: Interval = {"put": counted(latency), "_scheduling_delay": counted(delay)}
        writer.write(START * 10 + at, interval)


def counted(values: Iterable[int]) -> dict[int, int]:
    """Return how many values (µs) are in each bucket."""
    counts: dict[int, int] = {}
    for value in values:
        index = bucket_index(value)
        counts[index] = counts.get(index, 0) + 1
    return counts


def main() -> None:
    """Write, read and summarise the logs; print the time and memory of reading and summarising."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=30)
    options = parser.parse_args()
    seconds = 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        files = {f"host-{index}": Path(folder) / f"client-{index}.hlog" for index in range(options.clients)}
        for index, path in enumerate(files.values()):
            if index < DIFFERENT:
                write(path, index, seconds)
            else:
                path.hardlink_to(Path(folder) / f"client-{index % DIFFERENT}.hlog")
        size = sum(path.stat().st_size for path in files.values())
        print(f"{options.clients} logs of {seconds * 10} intervals and {2 * seconds * 10} lines, {size / 1e6:.0f} MB")
        before = {who: resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)}
        begun = time.perf_counter()
        logs = read_latency_logs(files, processes=os.cpu_count() or 1)
        read = time.perf_counter()
        clients = [
            ClientLog(name, name, f"region-{index % 10}", log, scheduled=lambda begin, end: RATE * (end - begin))
            for index, (name, log) in enumerate(logs.items())
        ]
        measurement = measure(RunSamples([]), START + 30, START + seconds, logs=clients)
        verdict = judge(measurement, requested_tps=options.clients * RATE)
        identity = Identity(run_id="x", protocol="x", commit="x", nodes=0, clients=options.clients, requested_tps=0)
        summarise(measurement, verdict, identity).to_json()
        done = time.perf_counter()
    usage = {who: resource.getrusage(who) for who in before}
    spent = sum(
        usage[who].ru_utime + usage[who].ru_stime - before[who].ru_utime - before[who].ru_stime for who in before
    )
    # Linux counts KiB; of the children, the largest is known, and as many as processors run at a time.
    own, child = (each.ru_maxrss / 1024 for each in usage.values())
    peak = own + (os.cpu_count() or 1) * child
    print(f"read {read - begun:.2f} s, summarised {done - read:.2f} s, together {done - begun:.2f} s; goal 5 s")
    print(f"processor time {spent:.2f} s; peak memory {peak:.0f} MB, of which this process {own:.0f} MB; goal 500 MB")
    print(f"throughput {measurement.total.completed_tps or 0.0:.1f} tx/s, {verdict.status}")


if __name__ == "__main__":
    main()

"""Measure what the live page costs: `python -m tools.performance.live_page [VIEWERS] [SECONDS] [HOSTS]`.

A run of HOSTS hosts in up to 13 regions is written as the runner writes it, and read by VIEWERS viewers. The share of
one processor core counts the process that serves, not the viewers and not the writer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from benchmark.measure.live_stats import HostStats, LiveStats
from benchmark.results.events import PhaseStarted, Progress, RunStarted
from benchmark.results.live_feed import LiveFeed, LiveSample
from benchmark.results.run_folder import RunFolder

_STEP_S = 2.0
_REGIONS = 13
_HISTORY = 300
"""Samples that are there before the viewers come: ten minutes."""


def sample(at: float, hosts: int) -> LiveSample:
    """Return a sample as large as one of a real run."""
    regions = [f"region-number-{index}" for index in range(min(_REGIONS, hosts))]
    stats = LiveStats(
        scheduled_tps=76.923, sent_tps=76.9, completed_tps=76.85, errors_tps=0.0, inflight=11.0,
        latencies_s={"mean_s": 0.1523, "p50_s": 0.1432, "p99_s": 0.2911}, nodes=1.0, nodes_up=1.0, clients=1.0,
        clients_up=1.0,
    )  # fmt: skip
    usage = HostStats(cpu_busy=0.4231, received_bytes_per_s=123456.78, sent_bytes_per_s=234567.89)
    return LiveSample(
        time=at,
        regions=dict.fromkeys(regions, stats),
        hosts={f"region-number-{index % _REGIONS}-{index // _REGIONS}": usage for index in range(hosts)},
        round_trips_ms={f"{a}/{b}": 123.456 for a in regions for b in regions if a != b},
    )


def write(feed: LiveFeed, folder: RunFolder, hosts: int, over: threading.Event) -> None:
    """Add to a run until it is over."""
    while not over.wait(_STEP_S):
        folder.append_event(Progress(left_s=60.0, scheduled_tps=1000.0, completed_tps=999.0, errors_tps=0.0))
        feed.append(sample(time.time(), hosts))


def view(url: str, over: threading.Event, received: list[int]) -> None:
    """Read what the page sends."""
    with urllib.request.urlopen(f"{url}stream", timeout=60) as stream:
        while not over.is_set() and (line := stream.readline()):
            received.append(len(line))


def processor_time(pid: int) -> float:
    """Return the processor time of a process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(viewers: int, seconds: float, hosts: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="live-page-") as name:
        folder = RunFolder.create(Path(name), "dev", "20260101T000000Z-etcd-1-3n-60tps-aaaa")
        feed, over = LiveFeed(folder.path), threading.Event()
        began = time.time() - _HISTORY * _STEP_S
        folder.append_event(RunStarted(folder.path.name, 1000, str(folder.path), time=began))
        folder.append_event(PhaseStarted("measure", time=began))
        for index in range(_HISTORY):
            feed.append(sample(began + index * _STEP_S, hosts))
        command = [sys.executable, "-m", "benchmark", "watch", "--no-open", "--results-dir", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            url = server.stdout.readline().split()[2]
            received: list[int] = []
            threads = [threading.Thread(target=write, args=(feed, folder, hosts, over))]
            threads += [threading.Thread(target=view, args=(url, over, received)) for _ in range(viewers)]
            for thread in threads:
                thread.start()
            time.sleep(3 * _STEP_S)  # they have got what was there before
            start, before = time.monotonic(), processor_time(server.pid)
            time.sleep(seconds)
            share = (processor_time(server.pid) - before) / (time.monotonic() - start)
            memory = Path(f"/proc/{server.pid}/status").read_text().partition("VmRSS:")[2].split()[0]
            over.set()
            for thread in threads:
                thread.join(30)
            server.terminate()
    print(f"{viewers} viewers, {hosts} hosts: {share:.2%} of a core, {int(memory) / 1024:.0f} MiB, "
          f"{sum(received) / 1e6:.1f} MB sent")  # fmt: skip


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    measure(*(given + [10, 30, 100][len(given) :]))

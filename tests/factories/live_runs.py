"""Folders of runs as the runner writes them while a run is in progress."""

from __future__ import annotations

from pathlib import Path

from factories.result_factory import host, manifest

from benchmark.measure.live_stats import HostStats, LiveStats
from benchmark.results.events import (
    Event,
    FaultHealed,
    FaultInjected,
    PhaseEnded,
    PhaseStarted,
    Progress,
    RunStarted,
    WarningIssued,
)
from benchmark.results.live_feed import LiveFeed, LiveSample
from benchmark.results.manifest import Manifest, parse_manifest
from benchmark.results.run_folder import MANIFEST, RunFolder

REGIONS = {"us-east-1": 0.12, "eu-west-1": 0.2, "ap-northeast-1": 0.29}
"""Regions with the p99 latency of their clients, s."""
HOSTS = [f"{region}-0" for region in REGIONS]
FAULT = "pause:node-1@10s-20s"
HOSTILE = "<img src=x onerror=alert(1)> \x1b[31mred"


def live_manifest(run_id: str) -> Manifest:
    """Return the manifest of a run of three nodes in as many regions."""
    hosts = [host(name, name.removesuffix("-0")).model_dump(mode="json") for name in HOSTS]
    processes = {
        f"{job}-{index}": {"host": name, "argv": ["etcd"], "environment": {}}
        for job in ("node", "client")
        for index, name in enumerate(HOSTS)
    }
    document = manifest(
        run_id=run_id,
        rtt_ms={"us-east-1/eu-west-1": 68.0, "eu-west-1/us-east-1": 68.2},
        placement={"nodes": HOSTS, "clients": HOSTS, "processes": processes},
        inventory={"hosts": hosts},
        times=None,
    )
    return parse_manifest(document.to_json(), "live")


def before_load(begin: float, folder: Path) -> list[Event]:
    """Return the events of a run until its window begins at `begin` + 15 s."""
    times = {"configure": (0, 1), "start_nodes": (1, 4), "start_clients": (4, 5), "warm_up": (5, 15)}
    found: list[Event] = [
        RunStarted(folder.name, 60, str(folder), number=2, runs=5, ends=begin + 300, time=begin),
    ]
    for name, (start, end) in times.items():
        found.append(PhaseStarted(name, time=begin + start))  # type: ignore[arg-type]
        found.append(PhaseEnded(name, float(end - start), time=begin + end))  # type: ignore[arg-type]
    return [*found, PhaseStarted("measure", time=begin + 15)]


def progress(begin: float, at: float) -> tuple[Progress, LiveSample]:
    """Return the progress of a run and the sample of its feed `at` s after it began."""
    lost = 25 <= at < 35
    total = Progress(
        time=begin + at, left_s=75 - at, scheduled_tps=60.0, completed_tps=40.0 if lost else 60.0,
        errors_tps=2.0 if lost else 0.0, latencies_s={"mean_s": 0.15, "p50_s": 0.14, "p99_s": 0.29},
        nodes=3.0, nodes_up=2.0 if lost else 3.0, clients=3.0, clients_up=3.0,
    )  # fmt: skip
    regions = {
        region: LiveStats(
            scheduled_tps=20.0, completed_tps=20.0, errors_tps=0.0, nodes=1.0, nodes_up=1.0,
            latencies_s={"mean_s": p99 / 2, "p50_s": p99 / 2, "p99_s": p99 + 0.001 * (at % 10)},
        )
        for region, p99 in REGIONS.items()
    }  # fmt: skip
    hosts = {
        name: HostStats(cpu_busy=0.2 + 0.1 * index, sent_bytes_per_s=1e5 * index, received_bytes_per_s=2e5)
        for index, name in enumerate(HOSTS)
    }
    round_trips = {"us-east-1/eu-west-1": 70.0, "eu-west-1/us-east-1": 70.5, "us-east-1/ap-northeast-1": 146.0}
    known = {**round_trips, "eu-west-1/ap-northeast-1": None if lost else 200.0}
    return total, LiveSample(time=begin + at, regions=regions, hosts=hosts, round_trips_ms=known)


class LiveRun:
    """A run that is in progress: this process holds the lock on its events until `close`."""

    def __init__(self, results: Path, run_id: str, begin: float) -> None:
        self.begin = begin
        self.folder = RunFolder.create(results, "dev", run_id)
        self.path = self.folder.path
        self.feed = LiveFeed(self.path)
        (self.path / MANIFEST).write_text(live_manifest(run_id).to_json())
        for event in before_load(begin, self.path):
            self.folder.append_event(event)

    def measure(self, first: float, last: float, step: float = 2.0) -> None:
        """Add what is written from `first` to `last` s after the run began."""
        at = first
        while at <= last:
            total, sample = progress(self.begin, at)
            self.folder.append_event(total)
            self.feed.append(sample)
            at += step

    def fault(self, *, healed: bool) -> None:
        """Add a fault from 25 s on, and a warning with text of a host."""
        self.folder.append_event(FaultInjected(FAULT, ("node-1",), "stopped", time=self.begin + 25))
        self.folder.append_event(WarningIssued(HOSTILE, time=self.begin + 26))
        if healed:
            self.folder.append_event(FaultHealed(FAULT, ("node-1",), "runs", time=self.begin + 35))

    def close(self) -> None:
        """Release the lock, as the end of the runner does, however it ends."""
        self.folder.close()


def log_of(path: Path, process: str, text: str) -> None:
    """Write the end of a log as the runner copies it."""
    (path / "live").mkdir(exist_ok=True)
    (path / "live" / f"{process}.log").write_text(text)

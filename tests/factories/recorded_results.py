"""Folders of runs and sweeps for the tests, written by the code that writes real ones, from simulated samples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from factories.sample_factory import BOUNDS, client, labels_of, series

from benchmark.errors import FailureKind
from benchmark.measure.measurement import measure
from benchmark.measure.validity import judge
from benchmark.metrics.samples import Series, write_samples
from benchmark.results.run_folder import read_summary
from benchmark.results.search import Limits, Plan, SearchFolder, Taken, new_search
from benchmark.results.summary import Identity, summarise
from benchmark.results.sweep import Attempt, Outcome, SweepFolder, new_journal, slots

REGIONS = ("us-east-1", "eu-west-1", "ap-northeast-1")
BEGIN, START, END = 1_800_000_000.0, 1_800_000_010.0, 1_800_000_040.0
# From the fastest to the slowest region; the doubling of latencies makes quantiles lie in different buckets.
LATENCY_S = (0.08, 0.14, 0.23)
FINE = tuple(sorted({*BOUNDS, 0.063, 0.08, 0.125, 0.16, 0.25, 0.315, 0.4}))


def write_run(
    folder: Path, *, load: int = 60, capacity: int = 10_000, slower: float = 1.0, nodes: int = 3, seed: int = 0
) -> Path:
    """Write the folder of a run under `load` tx/s of a system that completes `capacity` tx/s at most."""
    samples = [
        entry
        for index, region in enumerate(REGIONS)
        for entry in (*_client(index, load / 3, capacity / 3, slower, seed), *_host(f"{region}-0", region, seed))
    ]
    measurement = measure(samples, START, END, scrape_interval=1.0)
    identity = Identity(
        run_id=folder.name,
        protocol="etcd",
        commit="3.4.23-4",
        nodes=nodes,
        clients=3,
        requested_tps=float(load),
        leader=f"{REGIONS[0]}-0",
    )
    summary = summarise(measurement, judge(measurement, requested_tps=load), identity)
    folder.mkdir(parents=True)
    write_samples(folder / "samples.parquet", samples)
    (folder / "summary.json").write_text(summary.to_json())
    (folder / "manifest.json").write_text(json.dumps(manifest(folder.name, load, nodes)))
    events = [{"kind": "phase", "data": {"name": "measure"}, "time": START}]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def write_sweep(
    results: Path,
    arms: Mapping[str, Mapping[str, Any]],
    *,
    loads: Sequence[int] = (30, 60, 120),
    repeat: int = 3,
    capacity: int = 90,
) -> Path:
    """Write a sweep of runs that differ by chance, and by arm in what `write_run` is given; one had to be repeated."""
    plan = slots(list(arms), loads, repeat, seed=1)
    journal = new_journal("dev", {arm: dict(options) for arm, options in arms.items()}, {}, plan, 1)
    sweep = SweepFolder.create(results, journal)
    for number, slot in enumerate(journal.slots):
        if number == 1:
            slot.attempts.append(attempt(None, "failed", "infrastructure", "eu-west-1-0 <does> not answer"))
        run_id = f"20270115T0800{number:02}Z-etcd-3.4.234-3n-{slot.load}tps-{journal.sweep_id[-4:]}{number:02}"
        folder = sweep.path.parent / run_id
        write_run(folder, load=slot.load, capacity=capacity, seed=number, **arms[slot.arm])
        slot.attempts.append(attempt(run_id, "ok"))
    sweep.save()
    return sweep.path


def write_search(
    results: Path, *, capacity: int = 90, breaks_at: int = 10_000, steps: int = 20, limits: Limits | None = None
) -> Path:
    """Write a search of at most `steps` steps of a system that ends at loads of `breaks_at` tx/s or more."""
    plan = Plan(30, 1000, precision=0.1, confirmations=1)
    search = new_search("dev", limits or Limits(p99_s=0.5), plan, {}, {})
    folder = SearchFolder.create(results, search.model_copy(update={"commit": "3.4.23-4"}))
    while (step := folder.journal.next_step()).requested_tps is not None and len(folder.journal.steps) < steps:
        taken = folder.open_step(step.requested_tps)
        _write_step(folder, taken, capacity, step.requested_tps >= breaks_at)
    if step.requested_tps is None:
        folder.journal.answer_tps, folder.journal.confirmed, folder.journal.reason = (
            step.answer_tps,
            step.confirmed,
            step.reason,
        )
    folder.save()
    return folder.path


def _write_step(folder: SearchFolder, step: Taken, capacity: int, breaks: bool) -> None:
    """Write the runs of a step; the second step has one that was killed and one that does not count."""
    number, load = len(folder.journal.steps), step.requested_tps
    name = f"20270115T0900{number:02}Z-etcd-3.4.234-3n-{load}tps-{folder.journal.search_id[-4:]}"
    tries = ("killed", "invalid", "ok") if number == 2 else ("ok",)
    for outcome in tries:
        folder.begin(f"{name}{outcome[:1]}")
        path = folder.path.parent / step.run_ids[-1]
        if outcome != "killed":
            write_run(path, load=load, capacity=capacity, seed=number)
        if outcome == "invalid":
            _change_summary(path, status="invalid", reasons=["client <a> was late"])
    if breaks:
        _change_summary(path, status="failed", failure="system", reasons=["node-1 exited"], completed_tps=None)
    summary = read_summary(path)
    assert summary is not None
    step.judge(summary, folder.journal.limits)


def _change_summary(folder: Path, **changes: Any) -> None:
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def attempt(run_id: str | None, outcome: Outcome, failure: FailureKind | None = None, reason: str = "") -> Attempt:
    """Return a try at a run."""
    began = datetime.fromtimestamp(BEGIN, UTC)
    return Attempt(run_id=run_id, began=began, outcome=outcome, failure=failure, reason=reason)


def manifest(run_id: str, load: int, nodes: int) -> dict[str, Any]:
    """Return the manifest of such a run."""
    hosts = [
        {"name": f"{region}-0", "provider": "aws", "region": region, "specs": "m7g.large", "cpus": 2, "memory_mb": 8192}
        for region in REGIONS
    ]
    names = [host["name"] for host in hosts]
    argv = ["etcd", "--name=node-0"]
    return {
        "schema": 1,
        "run_id": run_id,
        "name": None,
        "protocol": "etcd",
        "commit": "3.4.23-4",
        "packages": {"etcd-server": "3.4.23-4"},
        "parameters": {
            "settings": {"testbed_id": "dev", "regions": list(REGIONS), "scrape_interval": "1s"},
            "duration_s": END - START,
            "warm_up_s": START - BEGIN,
            "node_parameters": {"heartbeat_ms": None, "snapshot_count": 1000},
            "client_parameters": {"timeout": "10s"},
        },
        "placement": {
            "nodes": (names * nodes)[:nodes],
            "clients": names,
            "processes": {"node-0": {"host": names[0], "argv": argv, "environment": {"ETCD_TOKEN": "hunter2"}}},
        },
        "rtt_ms": {
            f"{a}/{b}": 70.0 + 10 * i + j for i, a in enumerate(REGIONS) for j, b in enumerate(REGIONS) if a != b
        },
        "inventory": {"testbed_id": "dev", "hosts": hosts},
        "hosts": {name: {"kernel": "6.1.0", "cpus": 2, "memory_mb": 8192} for name in names},
        "versions": {"geobench": "0.1.0", "python": "3.11.7"},
        "command": ["/somewhere/benchmark/__main__.py", "run", "--loads", str(load), "--name", "two words"],
        "faults": [],
        "times": {"load": BEGIN, "start": START, "end": END},
        "clock_offsets_s": {name: {"offset_s": 0.0004, "error_s": 0.0002} for name in names},
        "timings_s": {"install": 1.0, "measure": END - START, "overhead": 2.0, "system_start": 1.5},
    }


def _client(index: int, rate: float, capacity: float, slower: float, seed: int) -> list[Series]:
    """A client whose requests queue up where more are due than its share of the capacity."""
    random = np.random.default_rng([seed, index])
    due = np.arange(BEGIN + index / 100, END, 1 / rate)
    served = np.empty_like(due)
    free = 0.0
    for position, time in enumerate(due):
        free = max(free, time) + 1 / capacity
        served[position] = free
    latency = served - due + LATENCY_S[index] * slower * random.lognormal(0, 0.08, len(due))
    scrapes = np.arange(BEGIN, END + 0.5, 1.0) + 0.1 * index
    return client(f"{REGIONS[index]}-0", scrapes, due, latency, region=REGIONS[index], bounds=FINE)


def _host(name: str, region: str, seed: int) -> list[Series]:
    random = np.random.default_rng([seed, len(name)])
    times = np.arange(BEGIN, END + 0.5, 1.0) + 0.05
    labels = labels_of(name, region, job="host")
    busy = np.cumsum(random.uniform(0.5, 0.9, len(times)))
    made = [
        series("node_cpu_seconds_total", {**labels, "cpu": "0", "mode": mode}, times, values)
        for mode, values in (("user", busy), ("idle", (times - BEGIN) * 2 - busy))
    ]
    sent = {**labels, "device": "eth0"}
    made.append(series("node_network_transmit_bytes_total", sent, times, (times - BEGIN) * 125_000))
    made.append(series("node_network_receive_bytes_total", sent, times, (times - BEGIN) * 250_000))
    made.append(series("node_memory_MemTotal_bytes", labels, times, 8e9))
    made.append(series("node_memory_MemAvailable_bytes", labels, times, 6e9 - (times - BEGIN) * 1e6))
    return made

"""Stored results for tests: runs and sweeps written as the runner writes them, of made-up figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from factories.sample_factory import steady

from benchmark.measure.histogram import Quantile
from benchmark.measure.measurement import measure
from benchmark.measure.validity import Verdict
from benchmark.metrics.names import LOAD_GENERATOR, Metrics
from benchmark.metrics.samples import Series, read_samples, write_samples
from benchmark.results.run_folder import MANIFEST, SAMPLES, RunFolder
from benchmark.results.summary import Identity, Summary, not_measured, summarise
from benchmark.results.sweep import Attempt, Slot, SweepFolder, new_journal

TESTBED = "t"


def summary(
    run_id: str, load: float = 100.0, latency: float = 0.12, tps: float | None = None, at: float = 0
) -> Summary:
    """A run's summary with latencies around `latency` (s), measured `at` seconds after the first one."""
    measurement = measure(steady("a-1", latency=latency), 1005, 1055, metrics=LOAD_GENERATOR, scrape_interval=1.0)
    identity = Identity(
        run_id=run_id, protocol="etcd", commit="3.4", nodes=3, clients=1, requested_tps=load, leader="a-1"
    )
    made = summarise(measurement, Verdict(), identity)
    assert made.latency_s is not None
    assert made.window is not None
    exact = {
        name: Quantile(estimate=latency, lower=0.9 * latency, upper=1.1 * latency) for name in ("p50", "p90", "p99")
    }
    changed = {"completed_tps": load if tps is None else tps, "latency_s": made.latency_s.model_copy(update=exact)}
    window = made.window.model_copy(update={"start": made.window.start + at, "end": made.window.end + at})
    return made.model_copy(update=changed | {"window": window})


def failed(run_id: str, load: float = 100.0, kind: Any = "system") -> Summary:
    """The summary of a run that failed."""
    identity = Identity(run_id=run_id, protocol="etcd", commit="3.4", nodes=3, clients=1, requested_tps=load)
    return not_measured(identity, "failed", "node-0 ended", kind)


def manifest(**changed: Any) -> dict[str, Any]:
    """A run's manifest as far as comparisons read it."""
    return {
        "protocol": "etcd",
        "commit": "3.4",
        "packages": {"etcd-server": "3.4"},
        "parameters": {
            "settings": {"scrape_interval": "1s", "regions": ["a", "b"], "ssh_retries": 2},
            "load_tps": 100,
            "duration_s": 60.0,
            "node_parameters": {"heartbeat_ms": 100},
        },
        "placement": {"nodes": ["a-1", "b-0"], "clients": ["a-1", "b-0"]},
        "rtt_ms": {"a/b": 70.0, "b/a": 70.2},
        "inventory": {"testbed_id": TESTBED, "hosts": [{"provider": "local", "region": "a", "specs": "namespace"}]},
        "hosts": {"a-1": {"kernel": "6.1", "cpus": 2, "memory_mb": 4000}},
        "versions": {"geobench": "0.1.0"},
        "times": {"load": 1000.0, "start": 1005.0, "end": 1055.0},
    } | changed


def store_run(results: Path, found: Summary, document: Mapping[str, Any] | None = None) -> Path:
    """Write a run's folder."""
    folder = RunFolder.create(results, TESTBED, found.run_id)
    folder.write_json("manifest.json", document or manifest())
    folder.write("summary.json", found.to_json())
    write_samples(folder.path / "samples.parquet", steady("a-1") + steady("b-0", region="b"))
    return folder.path


def use_metrics(folder: Path, metrics: Metrics) -> None:
    """Make a stored run one of a system that exports `metrics`, as samples and manifest say."""
    samples = [
        Series(
            one.metric.replace("latency_s", metrics.latency), one.labels | {"job": metrics.job}, one.times, one.values
        )
        for one in read_samples(folder / SAMPLES)
    ]
    write_samples(folder / SAMPLES, samples)
    document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(document | {"metrics": asdict(metrics)}), encoding="utf-8")


def store_sweep(
    results: Path,
    runs: Sequence[tuple[str, Summary]],
    documents: Mapping[str, Mapping[str, Any]] | None = None,
) -> SweepFolder:
    """Write a sweep of (arm, summary) whose runs are done, and the runs themselves."""
    arms = tuple(dict.fromkeys(arm for arm, _ in runs))
    slots = []
    for index, (arm, found) in enumerate(runs):
        store_run(results, found, (documents or {}).get(arm))
        attempt = Attempt(run_id=found.run_id, began=datetime.now(UTC), outcome=found.status, failure=found.failure)
        slots.append(Slot(arm=arm, load=int(found.requested_tps), repeat=index, attempts=[attempt]))
    return SweepFolder.create(results, new_journal(TESTBED, {arm: {} for arm in arms}, {}, slots, None))

"""Stored results for tests, written by the code that writes real ones.

`store_run` and `store_sweep` store summaries with chosen metrics; `write_run`, `write_sweep` and `write_search` measure
a simulated system with clients in three regions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from factories.latency_logs import line as latency_log_line
from factories.latency_logs import recorded
from factories.latency_logs import write as write_latency_log
from factories.sample_factory import BOUNDS, Array, client, histogram, labels_of, series, steady

from benchmark.errors import FailureKind
from benchmark.inventory import Host, Inventory, Ssh
from benchmark.measure.breakdown import MeasuredPart, measure_breakdown
from benchmark.measure.measurement import measure
from benchmark.measure.phases import phase_windows
from benchmark.measure.run_metrics import Quantile
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import Verdict, judge
from benchmark.metrics.breakdown import LatencyPart
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.metrics.sample_files import read_samples, write_samples
from benchmark.metrics.samples import Series
from benchmark.results.manifest import (
    ClockOffset,
    HostFacts,
    Manifest,
    Parameters,
    Placement,
    ProcessRecord,
    RunTimes,
    parse_manifest,
    read_manifest,
)
from benchmark.results.run_folder import LATENCIES, MANIFEST, SAMPLES, RunFolder, read_summary
from benchmark.results.search import Limits, SearchConfig, SearchFolder, SearchStep, new_search
from benchmark.results.summary import Identity, Summary, not_measured, summarise
from benchmark.results.sweep import Attempt, Outcome, PlannedRun, SweepFolder, new_sweep, plan_runs

TESTBED = "t"
REGIONS = ("us-east-1", "eu-west-1", "ap-northeast-1")
BEGIN, START, END = 1_800_000_000.0, 1_800_000_010.0, 1_800_000_040.0
# From the fastest to the slowest region; the doubling of latencies puts quantiles into different buckets.
LATENCY_S = (0.08, 0.14, 0.23)
STAGES_S = {"queue": 0.004, "order": 0.05, "execute": 0.011}
FINE = tuple(sorted({*BOUNDS, 0.063, 0.08, 0.125, 0.16, 0.25, 0.315, 0.4}))


def manifest(**changes: object) -> Manifest:
    """A run of etcd on two local hosts; `changes` replace values at any depth, as in `parameters={"duration_s": 30.0}`.

    An unknown key is an error.
    """
    hosts = [host("a-1", "a", "local", "namespace"), host("b-0", "b", "local", "namespace")]
    base = Manifest(
        run_id="20260101T000000Z-one",
        name=None,
        protocol="etcd",
        metrics=LOAD_GENERATOR,
        quorum="majority",
        commit="3.4",
        packages={"etcd-server": "3.4"},
        artifact=None,
        parameters=Parameters(
            settings={"testbed_id": TESTBED, "scrape_interval": "1s", "regions": ["a", "b"], "ssh_retries": 2},
            scrape_interval_s=1.0,
            requested_tps=100,
            scheduled_tps=100,
            shares_tps=(50, 50),
            duration_s=60.0,
            warm_up_s=5.0,
            load_shape="constant",
            node_parameters={"heartbeat_ms": 100},
            client_parameters={},
        ),
        placement=Placement(nodes=("a-1", "b-0"), clients=("a-1", "b-0"), processes={}),
        rtt_ms={"a/b": 70.0, "b/a": 70.2},
        inventory=inventory(TESTBED, hosts),
        hosts={each.name: facts() for each in hosts},
        versions={"geobench": "0.1.0"},
        command=("benchmark", "run", "--loads", "100"),
        times=RunTimes(load=1000.0, start=1005.0, end=1055.0),
    )
    merged = _merge(json.loads(base.to_json()), changes)
    return parse_manifest(json.dumps(merged, default=lambda model: model.model_dump(mode="json")), "changed manifest")


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        inner = merged.get(name)
        merged[name] = _merge(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return merged


def host(name: str, region: str, provider: Any = "aws", specs: str = "m7g.large") -> Host:
    """A host of an inventory."""
    return Host(
        name=name,
        provider=provider,
        region=region,
        specs=specs,
        address="198.18.0.2",
        host_key="ssh-ed25519 AAAA",
        cpus=2,
        memory_mb=8192,
    )


def inventory(testbed_id: str, hosts: Sequence[Host]) -> Inventory:
    """An inventory of `hosts`."""
    created = datetime(2026, 1, 1, tzinfo=UTC)
    return Inventory(testbed_id=testbed_id, created_at=created, ssh=Ssh(user="root"), hosts=tuple(hosts))


def facts(kernel: str = "6.1.0") -> HostFacts:
    """Return the facts that a host reported."""
    return HostFacts(
        stale_processes=0,
        cpus=2,
        memory_mb=8192,
        memory_free_mb=6000,
        disk_free_mb=50_000,
        kernel=kernel,
        cpu_model="EPYC 7R13",
        os="Debian GNU/Linux 12 (bookworm)",
        boot_id="b",
        packages={},
    )


def summary(
    run_id: str, load: float = 100.0, latency: float = 0.12, tps: float | None = None, at: float = 0
) -> Summary:
    """A run's summary with latencies around `latency` (s), measured `at` seconds after the first one."""
    measurement = measure(
        RunSamples(steady("a-1", latency=latency)), 1005, 1055, names=LOAD_GENERATOR, scrape_interval=1.0
    )
    identity = Identity(
        run_id=run_id, protocol="etcd", commit="3.4", nodes=3, clients=1, requested_tps=load, leader="a-1"
    )
    made = summarise(measurement, Verdict(), identity)
    assert made.latency_s is not None
    assert made.window is not None
    exact = {
        name: Quantile(estimate=latency, lower=0.9 * latency, upper=1.1 * latency) for name in ("p50", "p90", "p99")
    }
    latency_s = made.latency_s.model_copy(update=exact)
    changed = {
        "completed_tps": load if tps is None else tps,
        "latency_s": latency_s,
        "successful_latency_s": latency_s,
    }
    window = made.window.model_copy(update={"start": made.window.start + at, "end": made.window.end + at})
    return made.model_copy(update=changed | {"window": window})


PARTS = (
    LatencyPart(name="stages", meaning="From arrival to reply", metric="stage_s", label="stage", stage=True),
    LatencyPart(name="fsync", meaning="Sync of the log, once per batch", metric="fsync_s"),
    LatencyPart(name="round trip", meaning="To each other node", metric="trip_s", label="to"),
    LatencyPart(
        name="commit type", meaning="How leaders were decided", metric="commits_total", label="type", kind="counter"
    ),
    LatencyPart(name="locks", meaning="Time that locks were held", metric="locks_s"),
)
"""Parts of the latency of `breakdown`; no node exports the last one."""


def breakdown(stages_s: Mapping[str, float] | None = None) -> list[MeasuredPart]:
    """The breakdown of nodes in REGIONS that observed 600 transactions each, with stages of about `stages_s`."""
    random = np.random.default_rng(3)
    scrapes = np.arange(BEGIN, END + 0.5, 1.0)
    when = np.sort(random.uniform(START, END, 600))
    bounds = (*(2.0**-exponent for exponent in range(14, -2, -1)), math.inf)
    found: list[Series] = []
    for index, region in enumerate(REGIONS):
        node = labels_of(f"{region}-0", region, "node")
        observed = [
            *(("stage_s", {"stage": name}, mean * (1 + index)) for name, mean in (stages_s or STAGES_S).items()),
            ("fsync_s", {}, 0.0008),
            *(
                ("trip_s", {"to": f"{other}-0"}, 0.035 * (1 + index + at))
                for at, other in enumerate(REGIONS)
                if at != index
            ),
        ]
        for metric, more, mean in observed:
            latency = mean * random.lognormal(-0.02, 0.2, len(when))
            found += histogram(metric, node | more, scrapes, when, latency, bounds)
        for kind, rate in (("direct-commit", 9.0), ("indirect-commit", 1.5), ("direct-skip", 0.5)):
            found.append(series("commits_total", node | {"type": kind}, scrapes, (scrapes - BEGIN) * rate))
        found.append(series("up", node, scrapes, 1.0))
    return measure_breakdown(PARTS, found, START, END)


def store_breakdown(folder: Path, parts: Sequence[MeasuredPart]) -> None:
    """Put a breakdown into the summary of a stored run."""
    _change_summary(folder, breakdown=[json.loads(part.model_dump_json()) for part in parts])


def failed(run_id: str, load: float = 100.0, kind: Any = "system") -> Summary:
    """The summary of a run that failed."""
    identity = Identity(run_id=run_id, protocol="etcd", commit="3.4", nodes=3, clients=1, requested_tps=load)
    return not_measured(identity, "failed", "node-0 ended", kind)


def store_run(results: Path, found: Summary, document: Manifest | None = None) -> Path:
    """Write a run's folder."""
    folder = RunFolder.create(results, TESTBED, found.run_id)
    folder.write(MANIFEST, (document or manifest()).to_json())
    folder.write("summary.json", found.to_json())
    write_samples(folder.path / "samples.parquet", steady("a-1") + steady("b-0", region="b"))
    return folder.path


def use_metrics(folder: Path, metrics: MetricNames) -> None:
    """Make a stored run one of a system that exports `metrics`, in samples and manifest."""
    samples = [
        Series(
            one.metric.replace("latency_s", metrics.latency), one.labels | {"job": metrics.job}, one.times, one.values
        )
        for one in read_samples(folder / SAMPLES)
    ]
    write_samples(folder / SAMPLES, samples)
    changed = read_manifest(folder).model_copy(update={"metrics": metrics})
    (folder / MANIFEST).write_text(changed.to_json(), encoding="utf-8")


def store_sweep(
    results: Path,
    runs: Sequence[tuple[str, Summary]],
    documents: Mapping[str, Manifest] | None = None,
) -> SweepFolder:
    """Write a sweep of (arm, summary) whose runs are done, and the runs themselves."""
    arms = tuple(dict.fromkeys(arm for arm, _ in runs))
    planned_runs = []
    for index, (arm, found) in enumerate(runs):
        store_run(results, found, (documents or {}).get(arm))
        attempt = Attempt(run_id=found.run_id, began=datetime.now(UTC), outcome=found.status, failure=found.failure)
        planned_runs.append(
            PlannedRun(arm=arm, requested_tps=int(found.requested_tps), repeat=index, attempts=[attempt])
        )
    return SweepFolder.create(results, new_sweep(TESTBED, {arm: {} for arm in arms}, {}, planned_runs, None))


def write_run(
    folder: Path,
    *,
    load: int = 60,
    capacity: int = 10_000,
    slower: float = 1.0,
    nodes: int = 3,
    seed: int = 0,
    change: Callable[[Series], Series | None] = lambda one: one,
) -> Path:
    """Write the folder of a run under `load` tx/s of a system that completes `capacity` tx/s at most.

    `change` returns what becomes of each series; None removes it.
    """
    samples = [
        changed
        for index, region in enumerate(REGIONS)
        for entry in (*_client(index, load / 3, capacity / 3, slower, seed), *_host(f"{region}-0", region, seed))
        if (changed := change(entry)) is not None
    ]
    measurement = measure(RunSamples(samples), START, END, scrape_interval=1.0)
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
    (folder / MANIFEST).write_text(_recorded_manifest(folder.name, load, nodes).to_json())
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
    """Write a sweep of runs that differ by chance, and by arm in the arguments of `write_run`; one was repeated."""
    plan = plan_runs(list(arms), loads, repeat, seed=1)
    journal = new_sweep("dev", {arm: dict(options) for arm, options in arms.items()}, {}, plan, 1)
    sweep = SweepFolder.create(results, journal)
    for number, planned in enumerate(journal.planned_runs):
        if number == 1:
            planned.attempts.append(attempt(None, "failed", "infrastructure", "eu-west-1-0 <does> not answer"))
        run_id = (
            f"20270115T0800{number:02}Z-etcd-3.4.234-3n-{planned.requested_tps}tps-{journal.sweep_id[-4:]}{number:02}"
        )
        folder = sweep.path.parent / run_id
        write_run(folder, load=planned.requested_tps, capacity=capacity, seed=number, **arms[planned.arm])
        planned.attempts.append(attempt(run_id, "ok"))
    sweep.save()
    return sweep.path


def write_search(
    results: Path, *, capacity: int = 90, breaks_at: int = 10_000, steps: int = 20, limits: Limits | None = None
) -> Path:
    """Write a search of at most `steps` steps of a system that fails at loads of `breaks_at` tx/s or more."""
    plan = SearchConfig(30, 1000, precision=0.1, confirmations=1)
    search = new_search("dev", limits or Limits(p99_s=0.5), plan, {}, {})
    folder = SearchFolder.create(results, search.model_copy(update={"commit": "3.4.23-4"}))
    while (step := folder.journal.next_action()).requested_tps is not None and len(folder.journal.steps) < steps:
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


def _write_step(folder: SearchFolder, step: SearchStep, capacity: int, breaks: bool) -> None:
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
    """Return an attempt at a run."""
    began = datetime.fromtimestamp(BEGIN, UTC)
    return Attempt(run_id=run_id, began=began, outcome=outcome, failure=failure, reason=reason)


def _recorded_manifest(run_id: str, load: int, nodes: int) -> Manifest:
    """The manifest of a simulated run."""
    hosts = [host(f"{region}-0", region) for region in REGIONS]
    names = [each.name for each in hosts]
    process = ProcessRecord(host=names[0], argv=("etcd", "--name=node-0"), environment={"ETCD_TOKEN": "hunter2"})
    pairs = [(i, a, j, b) for i, a in enumerate(REGIONS) for j, b in enumerate(REGIONS) if a != b]
    return manifest().model_copy(
        update={
            "run_id": run_id,
            "commit": "3.4.23-4",
            "packages": {"etcd-server": "3.4.23-4"},
            "parameters": Parameters(
                settings={"testbed_id": "dev", "regions": list(REGIONS), "scrape_interval": "1s"},
                scrape_interval_s=1.0,
                requested_tps=load,
                scheduled_tps=load,
                shares_tps=(load // 3,) * 3,
                duration_s=END - START,
                warm_up_s=START - BEGIN,
                load_shape="constant",
                node_parameters={"heartbeat_ms": None, "snapshot_count": 1000},
                client_parameters={"timeout": "10s"},
            ),
            "placement": Placement(
                nodes=tuple((names * nodes)[:nodes]), clients=tuple(names), processes={"node-0": process}
            ),
            "rtt_ms": {f"{a}/{b}": 70.0 + 10 * i + j for i, a, j, b in pairs},
            "inventory": inventory("dev", hosts),
            "hosts": {name: facts() for name in names},
            "versions": {"geobench": "0.1.0", "python": "3.11.7"},
            "command": ("/somewhere/benchmark/__main__.py", "run", "--loads", str(load), "--name", "two words"),
            "times": RunTimes(load=BEGIN, start=START, end=END),
            "clock_offsets_s": {name: ClockOffset(offset_s=0.0004, error_s=0.0002) for name in names},
            "timings_s": {"install": 1.0, "measure": END - START, "overhead": 2.0, "system_start": 1.5},
        }
    )


def _client(index: int, rate: float, capacity: float, slower: float, seed: int) -> list[Series]:
    due, latency = _requests(index, rate, capacity, slower, seed)
    scrapes = np.arange(BEGIN, END + 0.5, 1.0) + 0.1 * index
    return client(f"{REGIONS[index]}-0", scrapes, due, latency, region=REGIONS[index], bounds=FINE)


def use_latency_logs(
    folder: Path,
    *,
    load: int = 60,
    stall: tuple[float, float] | None = None,
    phases: Sequence[tuple[str, float]] = (),
) -> None:
    """Make the results of a run that `write_run` wrote come from latency logs of the same requests.

    `stall` is when the system stopped answering, in s since the window began, and for how long. `phases` are names and
    durations in s.
    """
    logs = []
    for index, region in enumerate(REGIONS):
        due, latency = _requests(index, load / 3, 1e4, 1.0, 0)
        if stall:
            begin, seconds = START + stall[0], stall[1]
            waits = (due + latency >= begin) & (due + latency < begin + seconds)
            latency = np.where(waits, begin + seconds - due, latency)
        logs.append(recorded(f"{region}-0", due + latency, latency, region=region))
        (folder / LATENCIES).mkdir(exist_ok=True)
        intervals: dict[tuple[float, str], list[int]] = {}
        for tag, times, values in (
            ("put", due + latency, latency),
            ("_scheduling_delay", due, np.full(len(due), 1e-4)),
        ):
            for time, value in zip(times.tolist(), values.tolist(), strict=True):
                intervals.setdefault((math.floor(time * 10) / 10, tag), []).append(int(value * 1e6))
        lines = [latency_log_line(start, found, tag) for (start, tag), found in sorted(intervals.items())]
        write_latency_log(folder / LATENCIES / f"client-{index}.hlog", lines, BEGIN)
    stored = read_manifest(folder)
    clients = {f"client-{at}": ProcessRecord(host=log.host, argv=(), environment={}) for at, log in enumerate(logs)}
    placement = stored.placement.model_copy(update={"processes": stored.placement.processes | clients})
    (folder / MANIFEST).write_text(stored.model_copy(update={"placement": placement}).to_json())
    measurement = measure(
        RunSamples(read_samples(folder / SAMPLES)),
        START,
        END,
        scrape_interval=1.0,
        logs=logs,
        phases=phase_windows(phases, START),
    )
    before = read_summary(folder)
    assert before is not None
    identity = Identity(**{name: getattr(before, name) for name in Identity.model_fields})
    (folder / "summary.json").write_text(summarise(measurement, Verdict(), identity).to_json())


def _requests(index: int, rate: float, capacity: float, slower: float, seed: int) -> tuple[Array, Array]:
    """When the requests of a client were due and how long they took; they queue up beyond its share of the capacity."""
    random = np.random.default_rng([seed, index])
    due = np.arange(BEGIN + index / 100, END, 1 / rate)
    served = np.empty_like(due)
    free = 0.0
    for position, time in enumerate(due):
        free = max(free, time) + 1 / capacity
        served[position] = free
    return due, served - due + LATENCY_S[index] * slower * random.lognormal(0, 0.08, len(due))


def _host(name: str, region: str, seed: int) -> list[Series]:
    random = np.random.default_rng([seed, len(name)])
    times = np.arange(BEGIN, END + 0.5, 1.0) + 0.05
    labels = labels_of(name, region, job="host")
    busy = np.cumsum(random.uniform(0.5, 0.9, len(times)))
    made = [
        series("node_cpu_seconds_total", {**labels, "cpu": cpu, "mode": mode}, times, values / 2)
        for cpu in ("0", "1")
        for mode, values in (("user", busy), ("idle", (times - BEGIN) * 2 - busy))
    ]
    sent = {**labels, "device": "eth0"}
    made.append(series("node_network_transmit_bytes_total", sent, times, (times - BEGIN) * 125_000))
    made.append(series("node_network_receive_bytes_total", sent, times, (times - BEGIN) * 250_000))
    made.append(series("node_memory_MemTotal_bytes", labels, times, 8e9))
    made.append(series("node_memory_MemAvailable_bytes", labels, times, 6e9 - (times - BEGIN) * 1e6))
    return made

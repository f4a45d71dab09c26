"""Measure a run from the latency logs of its clients, or from the raw samples of its measured window.

Logs count exactly the window. Of samples, each client counts from its first real one at or after the window's start to
its last one at or before its end. Throughput is the sum over clients of the increase divided by that time; quantiles
come from the summed buckets of all clients. Where there are logs, the samples are the second measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmark.measure.client_logs import (
    ClientLog,
    contradiction,
    delay_of,
    first_completed,
    incomplete,
    increase_of_log,
    lost_requests,
    workloads_of,
)
from benchmark.measure.host_usage import COUNTERS
from benchmark.measure.outages import Outage, find_outages
from benchmark.measure.phases import PhaseStats, PhaseWindow, phases_of_logs, phases_of_samples, timeouts_of
from benchmark.measure.plausibility import impossible_figures, impossible_usage
from benchmark.measure.run_metrics import Quantile
from benchmark.measure.scrapes import RunSamples, ScrapedTarget
from benchmark.measure.timeline import Timeline, make_timeline
from benchmark.measure.window_stats import Increase, WindowStats, increase_of, window_stats
from benchmark.metrics.names import (
    LOAD_GENERATOR,
    SCHEDULING_DELAY,
    WAN_DELAY,
    WAN_UNCHANGED_SINCE,
    MetricNames,
)
from benchmark.metrics.targets import Job


@dataclass(frozen=True)
class Measurement:
    """The statistics of one run and what is needed to judge them; made by `measure`."""

    start: float
    end: float
    scrape_interval: float
    names: MetricNames
    total: WindowStats
    regions: dict[str, WindowStats]
    clients: dict[str, WindowStats]
    """By the name of the client, which is that of its host where it is the only one there."""
    hosts: dict[str, str]
    """The host of each client, also of those without statistics."""
    timeline: Timeline | None
    """None where no client has two samples, and with latency logs, for which `log_timeline` makes it."""
    client_delay_s: dict[str, Quantile] = field(default_factory=dict)
    """p99 of the time from when requests fell due until each client sent them."""
    wan_delay_s: dict[str, Quantile] = field(default_factory=dict)
    """p99 of the time by which the emulated network of each host delivered packets behind schedule."""
    wan_changes: dict[str, float] = field(default_factory=dict)
    """When the emulated network of a host changed or was restarted during the run, unix s."""
    gaps: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Stretches without a sample by client, unix s."""
    restarts: dict[str, list[float]] = field(default_factory=dict)
    """Time of the first sample after each restart, by process (`client us-east-1-0`), unix s."""
    late_starts: dict[str, float] = field(default_factory=dict)
    """Clients whose first completed transaction was sampled only in the window: seconds after its start."""
    outages: list[Outage] = field(default_factory=list)
    """Nodes that did not answer in the window, and hosts that were cut off."""
    impossible: list[str] = field(default_factory=list)
    """Figures that cannot be true, each with its client or host."""
    left_out: list[str] = field(default_factory=list)
    """Buckets that could not be used, each with its client; quantiles are coarser without them."""
    logged: bool = False
    """Whether the statistics come from latency logs; they come from samples otherwise."""
    workloads: dict[str, WindowStats] = field(default_factory=dict)
    """By the name of the workload; empty without logs."""
    phases: list[PhaseStats] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    """Clients with a log but without two samples in the window, so that nothing confirms the log."""
    contradictions: list[str] = field(default_factory=list)
    """How logs contradict samples, or themselves, each with its client."""


def measure(
    samples: RunSamples,
    start: float,
    end: float,
    *,
    names: MetricNames = LOAD_GENERATOR,
    scrape_interval: float = 5.0,
    began: float | None = None,
    logs: Sequence[ClientLog] = (),
    phases: Sequence[PhaseWindow] = (),
) -> Measurement:
    """Measure a run in the window from `start` to `end` (unix s).

    `scrape_interval` (s) defines what a gap is (2.5 intervals) and how fine the timeline is; `began` (unix s) is when
    the first process was started. `logs` are those of all clients, or none; `phases` are parts of the window.
    """
    clients = samples.targets(names.job, names.counters)
    emulators = samples.targets("host", [f"{WAN_DELAY}_count"])
    increases: dict[str, Increase] = {}
    by_region: dict[str, list[Increase]] = {}
    late_starts: dict[str, float] = {}
    impossible = list(impossible_usage(samples.targets("host", COUNTERS), start, end))
    left_out = []
    bucket = f"{names.latency}_bucket"
    for client in clients:
        inside = client.sample_range(start, end)
        if inside is None:
            continue
        increases[client.name] = increase_of(client, inside, names)
        by_region.setdefault(client.region, []).append(increases[client.name])
        found = impossible_figures(client, inside, names, began)
        impossible += [f"{names.job} {client.name}: {text}" for text in found]
        if (reason := client.unknown(bucket, inside)) and increases[client.name].histogram.bounded:
            left_out.append(f"{names.job} {client.name}: {reason}")
        completed = client.gauge(names.completed)
        if completed[inside.first] == 0 and completed[inside.last] > 0:
            late_starts[client.name] = float(client.times[np.flatnonzero(completed > 0)[0]] - start)
    sampled = Measurement(
        start=start,
        end=end,
        scrape_interval=scrape_interval,
        names=names,
        total=window_stats(increases.values(), names),
        regions={region: window_stats(members, names) for region, members in sorted(by_region.items())},
        clients={name: window_stats([increase], names) for name, increase in increases.items()},
        hosts={client.name: client.host for client in clients},
        timeline=None if logs else make_timeline(clients, start, end, step=scrape_interval, names=names),
        client_delay_s=_p99s(clients, SCHEDULING_DELAY, start, end),
        wan_delay_s=_p99s(emulators, WAN_DELAY, start, end),
        wan_changes=_wan_changes(emulators, end),
        gaps={client.name: gaps for client in clients if (gaps := client.gaps(start, end, 2.5 * scrape_interval))},
        restarts=_restarts(samples, names, start, end),
        late_starts=late_starts,
        outages=find_outages(samples, start, end),
        impossible=impossible,
        left_out=left_out,
        phases=phases_of_logs(phases, logs, timeouts_of(clients), names)
        if logs
        else phases_of_samples(phases, clients, names),
    )
    return _from_logs(sampled, logs, {client.name: client for client in clients}, began) if logs else sampled


def _from_logs(
    sampled: Measurement, logs: Sequence[ClientLog], targets: Mapping[str, ScrapedTarget], began: float | None
) -> Measurement:
    """Replace the statistics of clients by those of their logs, which the samples have to confirm."""
    start, end, names = sampled.start, sampled.end, sampled.names
    increases: dict[str, Increase] = {}
    by_region: dict[str, list[Increase]] = {}
    by_workload: dict[str, list[Increase]] = {workload: [] for workload in workloads_of(logs)}
    contradictions, unverified = [], []
    delays: dict[str, Quantile] = {}
    timeouts = timeouts_of(list(targets.values()))
    for client in logs:
        target, timeout = targets.get(client.name), timeouts.get(client.name)
        increases[client.name] = increase_of_log(client, start, end, timeout)
        by_region.setdefault(client.region, []).append(increases[client.name])
        if delay := delay_of(client, start, end):
            delays[client.name] = delay
        for workload, members in by_workload.items():
            one = replace(increases[client.name], sent=None, scheduled=None)
            members.append(one if len(by_workload) == 1 else increase_of_log(client, start, end, timeout, workload))
        inside = target.sample_range(start, end) if target else None
        slowest = increases[client.name].histogram.slowest
        if began is not None and slowest > end - began:
            text = f"its latency log has a latency of {slowest:.4g} s, longer than it ran; is the unit right?"
            contradictions.append(f"{names.job} {client.name}: {text}")
        if gap := incomplete(client, start, end):
            contradictions.append(f"{names.job} {client.name}: {gap}")
        if target is None or inside is None:
            unverified += [client.name] if client.sampled else []
        elif found := contradiction(client, target, inside, names):
            contradictions.append(f"{names.job} {client.name}: {found}")
        if lost := lost_requests(client):
            contradictions.append(f"{names.job} {client.name}: its latency log has no outcome of {lost} sent requests")
    return replace(
        sampled,
        total=window_stats(increases.values(), names),
        regions={region: window_stats(members, names) for region, members in sorted(by_region.items())},
        clients={name: window_stats([increase], names) for name, increase in increases.items()},
        hosts={client.name: client.host for client in logs},
        client_delay_s=delays,
        late_starts={each.name: late for each in logs if (late := first_completed(each, start, end)) is not None},
        left_out=[],
        logged=True,
        workloads={name: window_stats(members, names) for name, members in by_workload.items()},
        unverified=unverified,
        contradictions=contradictions,
    )


def _p99s(targets: Sequence[ScrapedTarget], metric: str, start: float, end: float) -> dict[str, Quantile]:
    result = {}
    for target in targets:
        inside = target.sample_range(start, end)
        quantile = target.histogram(metric, inside).quantile(0.99) if inside else None
        if quantile is not None:
            result[target.name] = quantile
    return result


def _wan_changes(emulators: Sequence[ScrapedTarget], end: float) -> dict[str, float]:
    """Return when networks changed after the first sample of the run: its round trips were measured before that."""
    found = {target.name: (target.times[0], target.gauge(WAN_UNCHANGED_SINCE)) for target in emulators}
    changes = {name: (first, float(np.nanmax(since, initial=0.0))) for name, (first, since) in found.items()}
    return {name: since for name, (first, since) in changes.items() if first < since <= end}


def _restarts(samples: RunSamples, names: MetricNames, start: float, end: float) -> dict[str, list[float]]:
    """Return the restarts of clients and nodes between two samples of which the later lies in the window."""
    jobs: tuple[Job, ...] = ("client", "node")
    result = {}
    for job in jobs:
        counters = names.counters if job == names.job else ("process_start_time_seconds",)
        for target in samples.targets(job, counters):
            times = [float(target.times[index]) for index in target.restarts]
            if inside := [time for time in times if start <= time <= end]:
                result[f"{job} {target.name}"] = inside
    return result

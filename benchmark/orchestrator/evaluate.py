"""Turn the samples of a run into its summary: fetch, measure, judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.faults.record import FaultRecord
from benchmark.inventory import Host
from benchmark.measure.breakdown import measure_breakdown
from benchmark.measure.catch_up import with_catch_up
from benchmark.measure.client_logs import ClientLog
from benchmark.measure.fault_impact import FaultWindow, fault_impacts
from benchmark.measure.host_usage import by_machine, host_usage
from benchmark.measure.impact_counts import Criteria
from benchmark.measure.measurement import measure
from benchmark.measure.phases import PhaseWindow
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.validity import judge
from benchmark.measure.warm_up import WarmUp
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.samples import Series
from benchmark.metrics.targets import identities, identity_of
from benchmark.orchestrator.network import RunNetwork
from benchmark.orchestrator.supervisor import Clock
from benchmark.plan.placement import endpoints
from benchmark.protocols.base import Protocol
from benchmark.protocols.process import Plan, Process
from benchmark.results.log_findings import LogReport
from benchmark.results.summary import Identity, Summary, summarise
from benchmark.results.verification import Agreement, Progress, Verification
from benchmark.testbed.facts import Facts

_HOST_METRICS = (
    '{job="host",__name__=~"node_cpu_seconds_total|node_load1|node_memory_Mem(Total|Available)_bytes|'
    'node_network_(receive|transmit)_bytes_total|node_disk_(read|written)_bytes_total|wan_.*"}'
)

_NODE_SAMPLES = 1_000_000
"""Samples of nodes that are kept; beyond that, only the metrics that a measurement needs."""


@dataclass(frozen=True)
class RunData:
    """The samples of a run, its window (unix s), and the facts about hosts, clocks and logs."""

    samples: RunSamples
    start: float
    end: float
    scrape_interval: float
    clocks: Mapping[str, Clock]
    facts: Mapping[str, Facts]
    logs: LogReport
    warm_up: WarmUp | None
    warnings: Sequence[str] = ()
    """Of the installation."""
    hung: Sequence[str] = ()
    """Sentences about nodes that no longer answer."""
    network: RunNetwork | None = None
    """Round trips before and after the run; None if they were not measured."""
    began: float | None = None
    """When the first process started."""
    latencies: Sequence[ClientLog] = ()
    """The latency logs of all clients, or none."""
    phases: Sequence[PhaseWindow] = ()
    faults: Sequence[FaultRecord] = ()
    criteria: Criteria = Criteria()  # noqa: RUF009
    """By which requests are late, and the system counts as recovered or available."""
    verification: Verification | None = None
    """None without `--verify`."""
    agreement: Agreement | None = None
    """None if the nodes were not asked."""
    progress: Progress | None = None
    """None without faults and `--verify`."""


def fetch(
    prometheus: Prometheus,
    protocol: Protocol,
    hosts: Sequence[Host],
    processes: Sequence[Process],
    begin: float,
    end: float,
) -> list[Series]:
    """Return the raw samples of a run's hosts, nodes and clients between `begin` and `end` (unix s).

    Of nodes with very many metrics, only those that the summary needs are returned.
    Prometheus may still scrape the targets of an earlier run, on other hosts or at former addresses: they are left out.
    """
    ours = identities(hosts, endpoints(processes))

    def samples(selector: str) -> list[Series]:
        found = prometheus.samples(selector, begin - 1, end)
        return [one for one in found if identity_of(one.labels) in ours]

    nodes, scrapes = '{job="node"}', samples("up")
    # At the end of the load, as series are stale soon after their process has stopped.
    count = sum(answer.value[1] for answer in prometheus.query(f"count({nodes} @ {end:.3f})"))
    if count * max((len(one.times) for one in scrapes), default=0) > _NODE_SAMPLES:
        parts = [name for part in protocol.breakdown for name in part.exported]
        names = dict.fromkeys(
            ["process_.*", protocol.leader_metric, protocol.position_metric, *protocol.metrics.exported, *parts]
        )
        nodes = f'{{job="node",__name__=~"{"|".join(name for name in names if name)}"}}'
    return [*samples('{job="client"}'), *samples(_HOST_METRICS), *samples(nodes), *scrapes]


def evaluate(protocol: Protocol, plan: Plan, identity: Identity, data: RunData) -> Summary:
    """Measure the window, judge whether the numbers may be used, and summarise."""
    measurement = measure(
        data.samples,
        data.start,
        data.end,
        names=protocol.metrics,
        scrape_interval=data.scrape_interval,
        began=data.began,
        logs=data.latencies,
        phases=data.phases,
    )
    scheduled = measurement.total.scheduled_tps
    usage = host_usage(data.samples, data.start, data.end)
    machines = {name: facts.boot_id for name, facts in data.facts.items()}
    verdict = judge(
        measurement,
        # If the load changes over time, only the clients' schedules show what was due between two samples.
        requested_tps=scheduled if plan.rate_segments and scheduled is not None else float(plan.scheduled_tps),
        expected_clients=[host.name for host in (plan.clients if protocol.metrics.job == "client" else plan.nodes)],
        clock_offsets_s={host: clock.offset_s for host, clock in data.clocks.items()},
        usage=by_machine(usage, machines),
        faulty_hosts={host for fault in data.faults for host in fault.hosts},
        closed_loop=identity.closed_loop,
        random_arrivals=protocol.random_arrivals,
    )
    leaders = [
        entry.labels.get("host", "")
        for entry in data.samples.series
        if entry.metric == protocol.leader_metric and ((entry.values == 1) & (entry.times >= data.start)).any()
    ]
    if len(leaders) > 1:
        verdict.warnings.append(f"leadership changed within the window; {', '.join(leaders)} led")
    if data.warm_up and not data.warm_up.converged:
        verdict.warnings.append(f"warm-up {data.warm_up.seconds:.1f} s, {data.warm_up.method}")
    if data.faults:
        verdict.warnings.extend(f"{text}: it had not recovered from the faults" for text in data.hung)
    else:
        verdict.reasons.extend(data.hung)
    verdict.reasons.extend(f"fault {fault.name} {fault.problem}" for fault in data.faults if fault.problem)
    verdict.warnings.extend(data.warnings)
    if data.network:
        verdict.reasons.extend(data.network.reasons())
        verdict.warnings.extend(data.network.warnings())
    if plan.scheduled_tps != plan.load:
        verdict.warnings.append(
            f"{plan.scheduled_tps} tx/s were scheduled of {plan.load} requested: {protocol.name} takes multiples of "
            f"{protocol.load_step} tx/s per {protocol.load_from}"
        )
    verdict.warnings.extend(data.logs.warnings())
    for check, what in ((data.verification, "the system stayed linearizable"), (data.agreement, "the nodes agree")):
        if check and check.violation:
            verdict.reasons.insert(0, check.violation)
        elif check and check.verdict == "unknown":
            verdict.warnings.append(f"whether {what} is unknown: {check.reason}")
    if data.progress and data.progress.verdict == "no progress":
        verdict.reasons.append(f"no progress: {data.progress.reason}")
    identity = identity.model_copy(update={"leader": leaders[0] if len(leaders) == 1 else None})
    breakdown = measure_breakdown(
        protocol.breakdown, data.samples.series, data.start, data.end, protocol.label_values(plan)
    )
    windows = [
        # What is permanent is healed only when the run is over.
        FaultWindow(
            each.kind, each.target, each.injected, None if each.scheduled_end_s is None else each.healing, each.hosts
        )
        for each in data.faults
        if each.injected is not None
    ]
    impacts = fault_impacts(windows, data.latencies, data.start, data.end, data.criteria)
    if position := protocol.position_metric:
        nodes = data.samples.targets("node", (position,))
        impacts = with_catch_up(impacts, windows, nodes, position, data.end)
    return summarise(
        measurement,
        verdict,
        identity,
        usage,
        data.warm_up,
        data.logs.findings,
        breakdown,
        impacts,
        data.verification,
        data.agreement,
        data.progress,
    )

"""From the samples of a run to its summary: what is fetched, what is measured, what may be said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.inventory import Host
from benchmark.measure.host_usage import by_machine, host_usage
from benchmark.measure.measurement import Measurement, measure
from benchmark.measure.validity import Verdict, judge
from benchmark.measure.warm_up import WarmUp
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.samples import Series
from benchmark.metrics.targets import identities
from benchmark.orchestrator.supervisor import Clock
from benchmark.plan.placement import endpoints
from benchmark.protocols.base import Protocol
from benchmark.protocols.process import Plan, Process
from benchmark.results.log_findings import LogReport
from benchmark.results.summary import Identity, Summary, summarise
from benchmark.testbed.facts import Facts

_HOST_METRICS = (
    '{job="host",__name__=~"node_cpu_seconds_total|node_load1|node_memory_Mem(Total|Available)_bytes|'
    'node_network_(receive|transmit)_bytes_total|node_disk_(read|written)_bytes_total|wan_.*"}'
)


@dataclass(frozen=True)
class Evidence:
    """All that a run left: its samples, its window (unix s), and what is known of hosts, clocks and logs."""

    series: Sequence[Series]
    start: float
    end: float
    scrape_interval: float
    clocks: Mapping[str, Clock]
    facts: Mapping[str, Facts]
    logs: LogReport
    warm_up: WarmUp | None
    warnings: Sequence[str] = ()
    """What the installation has to say."""


def fetch(
    prometheus: Prometheus,
    protocol: Protocol,
    hosts: Sequence[Host],
    processes: Sequence[Process],
    begin: float,
    end: float,
) -> list[Series]:
    """Return the raw samples of a run's hosts, nodes and clients from its first load to its end (unix s).

    What is scraped of others is left out: of a run that ended a second ago, on other hosts or at former addresses.
    """
    names = ["process_.*", protocol.leader_metric, *protocol.metrics.names]
    nodes = f'{{job="node",__name__=~"{"|".join(name for name in names if name)}"}}'
    selectors = ['{job="client"}', _HOST_METRICS, nodes, "up"]
    found = [series for selector in selectors for series in prometheus.samples(selector, begin - 1, end)]
    ours = identities(hosts, endpoints(processes))
    return [s for s in found if (s.labels["job"], s.labels["host"], s.labels["instance"]) in ours]


def evaluate(protocol: Protocol, plan: Plan, identity: Identity, evidence: Evidence) -> Summary:
    """Measure the window, judge whether its numbers may be used, and sum up."""
    measurement = measure(
        evidence.series,
        evidence.start,
        evidence.end,
        metrics=protocol.metrics,
        scrape_interval=evidence.scrape_interval,
    )
    usage = host_usage(evidence.series, evidence.start, evidence.end)
    machines = {name: facts.boot_id for name, facts in evidence.facts.items()}
    verdict = judge(
        measurement,
        requested_tps=_due(plan, measurement),
        expected_clients=[host.name for host in (plan.clients if protocol.metrics.job == "client" else plan.nodes)],
        clock_offsets_s={host: clock.offset_s for host, clock in evidence.clocks.items()},
        usage=by_machine(usage, machines),
    )
    leader = _leader(protocol, evidence, verdict)
    verdict.warnings.extend(_remarks(protocol, plan, evidence))
    identity = identity.model_copy(update={"leader": leader})
    return summarise(measurement, verdict, identity, usage, evidence.warm_up, evidence.logs.findings)


def _due(plan: Plan, measurement: Measurement) -> float:
    """The load that must have been offered in the window, in tx/s.

    Where it changes it depends on when exactly the samples were taken, so it is what the clients' schedules say.
    """
    due = measurement.total.scheduled_tps
    return due if plan.rate_segments and due is not None else float(plan.scheduled_tps)


def _leader(protocol: Protocol, evidence: Evidence, verdict: Verdict) -> str | None:
    """The host that led in the window; a change is a warning."""
    leaders = [
        entry.labels["host"]
        for entry in evidence.series
        if entry.metric == protocol.leader_metric and ((entry.values == 1) & (entry.times >= evidence.start)).any()
    ]
    if len(leaders) > 1:
        verdict.warnings.append(f"leadership changed within the window; {', '.join(leaders)} led")
    return leaders[0] if len(leaders) == 1 else None


def _remarks(protocol: Protocol, plan: Plan, evidence: Evidence) -> list[str]:
    """What a reader of the numbers has to know besides them."""
    found = list(evidence.warnings)
    if evidence.warm_up and not evidence.warm_up.converged:
        found.insert(0, f"warm-up {evidence.warm_up.seconds:.1f} s, {evidence.warm_up.method}")
    if plan.scheduled_tps != plan.load:
        found.append(
            f"{plan.scheduled_tps} tx/s were scheduled of {plan.load} requested: {protocol.name} takes multiples of "
            f"{protocol.load_step} tx/s per {protocol.load_from}"
        )
    return found + evidence.logs.warnings()

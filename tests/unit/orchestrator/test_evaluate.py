"""The summary of a run, from samples of simulated clients."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import numpy as np
from factories.faults import fault_record
from factories.hosts import inventory
from factories.latency_logs import recorded
from factories.sample_factory import histogram, labels_of, series, steady

from benchmark.measure.impact_counts import Criteria
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.warm_up import WarmUp
from benchmark.metrics.prometheus import Answer, Prometheus
from benchmark.metrics.samples import Series
from benchmark.orchestrator.evaluate import RunData, evaluate, fetch
from benchmark.orchestrator.supervisor import Clock
from benchmark.plan.placement import place
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.results.log_findings import LogReport
from benchmark.results.summary import Identity, Summary, parse_summary
from benchmark.results.verification import Verification
from benchmark.testbed.facts import Facts

PLAN = place(inventory(a=3), Etcd, load=200)
HOSTS = [host.name for host in PLAN.clients]
IDENTITY = Identity(run_id="r", protocol="etcd", commit="3.4", nodes=2, clients=2, requested_tps=200.0)


def leads(host: str, *values: float) -> Series:
    times = np.linspace(1010.0, 1050.0, len(values))
    return series("etcd_server_is_leader", labels_of(host, job="node"), times, values)


def judged(*more: Series, without: str = "", identity: Identity = IDENTITY, **changes: object) -> Summary:
    clients = [each for host in HOSTS if host != without for each in steady(host, rate=100.0)]
    data = RunData(
        samples=RunSamples([*clients, *more]),
        start=1010.0,
        end=1050.0,
        scrape_interval=1.0,
        clocks={host: Clock(0.0, 0.001) for host in HOSTS},
        facts={host: Facts(boot_id="b") for host in HOSTS},
        logs=LogReport(),
        warm_up=WarmUp(seconds=5.0, method="as requested"),
    )
    changed = dataclasses.replace(data, **changes)  # type: ignore[arg-type]
    return evaluate(Etcd(EtcdNode(), EtcdClient()), PLAN, identity, changed)


class Storing(Prometheus):
    """A Prometheus with a number of series of nodes, and a target that it no longer scrapes."""

    def __init__(self, count: float) -> None:
        self.count = count
        self.asked: list[str] = []

    def query(self, query: str, timeout: timedelta | None = None) -> list[Answer]:
        assert query == 'count({job="node"} @ 1060.000)'
        return [Answer({}, (0.0, self.count))]

    def samples(self, selector: str, start: float, end: float) -> list[Series]:
        self.asked.append(selector)
        times = np.arange(start, end)
        labels = [{"job": "node", "host": "a-1", "instance": address} for address in ("198.18.0.3:2379", "1.2.3.4:1")]
        return [series("up", each, times, 1.0) for each in [*labels, {"job": "node"}]] if selector == "up" else []


def test_all_metrics_of_nodes_are_kept_unless_they_are_too_many() -> None:
    protocol = Etcd(EtcdNode(), EtcdClient())
    processes = protocol.nodes(PLAN)
    few, many = Storing(3000), Storing(30_000)
    for prometheus in (few, many):
        (own,) = fetch(prometheus, protocol, inventory(a=3).hosts, processes, 1000.0, 1060.0)
        assert own.labels["instance"] == "198.18.0.3:2379"
    assert '{job="node"}' in few.asked
    (selected,) = (selector for selector in many.asked if 'job="node"' in selector)
    assert "process_.*|etcd_server_is_leader|etcd_server_proposals_applied_total|latency_s_bucket|" in selected
    assert "|etcd_disk_wal_fsync_duration_seconds_bucket|etcd_disk_wal_fsync_duration_seconds_sum|" in selected


def test_parts_of_the_latency_are_those_of_the_nodes() -> None:
    scrapes, peers = np.arange(1000.0, 1061.0), Etcd(EtcdNode(), EtcdClient()).label_values(PLAN)["To"]
    labels = labels_of(HOSTS[0], job="node") | {"To": next(peer for peer, host in peers.items() if host == HOSTS[1])}
    metric, when = "etcd_network_peer_round_trip_time_seconds", np.arange(1010.5, 1050.0)
    trips = histogram(metric, labels, scrapes, when, np.full(len(when), 0.07))
    fsync, _, trip = judged(*trips).breakdown
    assert fsync.unknown == "no node exports `etcd_disk_wal_fsync_duration_seconds` as a histogram"
    assert {value: stats.count for value, stats in trip.values.items()} == {HOSTS[1]: 40.0}


def test_faults_that_were_injected_have_their_impact_in_the_summary() -> None:
    due = np.arange(1000.0, 1052.0, 0.01) + 0.0005
    latency = np.where((due >= 1020) & (due < 1022), 1022 - due, 0) + 0.02
    fault = fault_record(10.0, 12.0, 1010.0, kind="pause", target="leader")
    permanent = fault.model_copy(update={"kind": "crash", "scheduled_end_s": None, "healing": 1051.0})
    never = fault.model_copy(update={"injected": None})
    logs = [recorded(host, due + latency, latency) for host in HOSTS]
    for faults, kind, healed in (([fault, never], "pause", 1022.0), ([permanent], "crash", None)):
        summary = judged(latencies=logs, faults=faults)
        (impact,) = summary.faults
        assert (impact.kind, impact.target, impact.healed) == (kind, "leader", healed)
        assert impact.outage_s is not None
        assert abs(impact.outage_s - 2) <= 0.1
        assert (impact.after is None) is (healed is None)
        assert parse_summary(summary.to_json()) == summary
    (limited,) = judged(latencies=logs, faults=[fault], criteria=Criteria(slo_s=1.0)).faults
    assert limited.late_limit_s == 1.0
    assert limited.late is not None
    assert abs(limited.late - 200) <= 4, "those that were due in the first second"
    assert limited.availability is not None
    assert abs(limited.availability - (1 - limited.late / 6000)) < 1e-3
    (unknown,) = judged(faults=[fault]).faults
    assert unknown.outage_s is None
    assert unknown.unknown == {"all": "only latency logs of all clients show what a fault did"}


def test_a_valid_run_has_no_warnings() -> None:
    summary = judged(leads(HOSTS[0], 1, 1), leads(HOSTS[1], 0, 0))
    assert (summary.status, summary.saturated, summary.reasons, summary.warnings) == ("ok", False, [], [])
    assert summary.leader == HOSTS[0]
    assert summary.completed_tps is not None
    assert abs(summary.completed_tps - 200) < 4


def test_a_change_of_the_leader_is_a_warning() -> None:
    summary = judged(leads(HOSTS[0], 1, 0), leads(HOSTS[1], 0, 1))
    assert summary.leader is None
    assert summary.warnings == [f"leadership changed within the window; {HOSTS[0]}, {HOSTS[1]} led"]


def test_a_client_without_samples_makes_the_run_invalid() -> None:
    summary = judged(without=HOSTS[1])
    assert summary.status == "invalid"
    assert any(f"client {HOSTS[1]}: never sampled" in reason for reason in summary.reasons)


def test_a_node_that_hangs_makes_the_run_invalid() -> None:
    times = np.arange(1000.0, 1061.0)
    hung = series("up", labels_of(HOSTS[1], job="node"), times, np.where((times > 1020) & (times < 1025), 0, 1))
    summary = judged(hung, series("up", labels_of(HOSTS[1], job="host"), times, 1))
    assert summary.status == "invalid"
    assert summary.reasons[0].startswith(f"node {HOSTS[1]}: no answer to 4 scrape(s), for 4.0 s from 11.0 s")


def test_latency_in_another_unit_makes_the_run_invalid() -> None:
    scaled = [
        dataclasses.replace(one, values=one.values * 1e9) if one.metric == "latency_s_sum" else one
        for host in HOSTS
        for one in steady(host, rate=100.0)
    ]
    summary = judged(samples=RunSamples(scaled), began=995.0)
    assert summary.status == "invalid"
    assert any("longer than the process was up" in reason for reason in summary.reasons)


def test_large_clock_offset_makes_the_run_invalid() -> None:
    summary = judged(clocks={HOSTS[0]: Clock(0.5, 0.001)})
    assert summary.status == "invalid"
    assert any("clock is off by +500.0 ms" in reason for reason in summary.reasons)


def test_warnings_of_the_warm_up_and_the_installation_are_kept() -> None:
    found = WarmUp(seconds=5.0, method="never steady", converged=False)
    summary = judged(warm_up=found, warnings=["branch main moved"])
    assert summary.warnings == ["warm-up 5.0 s, never steady", "branch main moved"]


def test_the_summary_says_that_the_load_generator_is_a_closed_loop() -> None:
    assert not judged().closed_loop
    summary = judged(identity=IDENTITY.model_copy(update={"closed_loop": True}))
    assert (summary.closed_loop, summary.status) == (True, "ok")
    assert any("latencies leave out the time that requests would have waited" in text for text in summary.warnings)


def test_a_violation_makes_a_run_invalid_and_an_unknown_verdict_is_a_warning() -> None:
    stayed = judged(verification=Verification(verdict="ok", operations=9, timeouts=0, seconds=0.1))
    assert (stayed.status, stayed.verification and stayed.verification.verdict) == ("ok", "ok")
    broke = judged(
        verification=Verification(verdict="violation", reason="key 3", operations=9, timeouts=0, seconds=0.1)
    )
    assert (broke.status, broke.reasons) == ("invalid", ["linearizability violated: key 3"])
    assert broke.completed_tps is not None
    unknown = judged(verification=Verification(verdict="unknown", reason="no Go", seconds=0.0))
    assert unknown.status == "ok"
    assert "whether the system stayed linearizable is unknown: no Go" in unknown.warnings
    assert judged().verification is None

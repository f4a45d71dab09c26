"""The mean latency that the round trips of a run predict, for systems whose leader commits with a majority.

At low load a write takes the round trip from its client to the leader, plus the leader's round trip to the node that
completes its majority (Ongaro and Ousterhout, "In search of an understandable consensus algorithm", USENIX ATC 2014,
section 5.3). What is measured beyond that is work, disks and waiting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.measure.window_stats import WindowStats
from benchmark.results.manifest import Manifest
from benchmark.results.summary import Summary


@dataclass(frozen=True)
class PredictedLatency:
    """Means over the requests of some clients, in seconds."""

    load_tps: float
    """Their scheduled load."""
    propagation_s: float
    """From the clients to the leader and back."""
    quorum_s: float
    """From the leader to the node that completes its majority and back."""
    measured_s: float | None
    """Mean of the transactions that completed; None if it is unknown."""

    @property
    def predicted_s(self) -> float:
        """What the round trips explain."""
        return self.propagation_s + self.quorum_s

    @property
    def rest_s(self) -> float | None:
        """What they do not explain; negative if less was measured than predicted."""
        return None if self.measured_s is None else self.measured_s - self.predicted_s


def predict_by_region(manifest: Manifest, summary: Summary) -> dict[str, PredictedLatency]:
    """Return the prediction for the clients of each region; empty where a round trip or the leader is unknown."""
    regions = {host.name: host.region for host in manifest.inventory.hosts}
    members: dict[str, list[tuple[str, int]]] = {}
    for client, share in zip(manifest.placement.clients, manifest.parameters.shares_tps, strict=False):
        members.setdefault(regions.get(client, ""), []).append((client, share))
    found = {}
    for region, clients in sorted(members.items()):
        predicted = _predict(manifest, summary, clients, summary.by_region.get(region))
        if predicted is None:
            return {}
        found[region] = predicted
    return found


def over_all(found: Mapping[str, PredictedLatency], summary: Summary) -> PredictedLatency:
    """Return the prediction for all clients together; `found` must not be empty."""
    load = sum(each.load_tps for each in found.values())
    latency = summary.successful_latency_s
    return PredictedLatency(
        load,
        sum(each.propagation_s * each.load_tps for each in found.values()) / load,
        sum(each.quorum_s * each.load_tps for each in found.values()) / load,
        latency.mean if latency else None,
    )


def _predict(
    manifest: Manifest, summary: Summary, clients: list[tuple[str, int]], measured: WindowStats | None
) -> PredictedLatency | None:
    leader, nodes = summary.leader, manifest.placement.nodes
    load = sum(share for _, share in clients)
    if manifest.quorum != "majority" or leader not in nodes or not load:
        return None
    ways = [(_round_trip_s(manifest, client, leader), share) for client, share in clients]
    followers = [_round_trip_s(manifest, leader, node) for node in nodes if node != leader]
    known = sorted(each for each in followers if each is not None)
    if any(way is None for way, _ in ways) or len(known) < len(followers):
        return None
    latency = measured.successful_latency_s if measured else None
    return PredictedLatency(
        load,
        sum((way or 0.0) * share for way, share in ways) / load,
        known[len(nodes) // 2 - 1] if known else 0.0,
        latency.mean if latency else None,
    )


def _round_trip_s(manifest: Manifest, source: str, target: str) -> float | None:
    """Return the round trip between two hosts as measured for the run, else as known before; None if it is unknown."""
    if source == target:
        return 0.0
    regions = {host.name: host.region for host in manifest.inventory.hosts}
    pair = regions.get(source, ""), regions.get(target, "")
    name = "/".join(pair)
    measured, requested = manifest.network.get(name), manifest.inventory.round_trips.get(name)
    times = [measured.before_ms, measured.after_ms] if measured else []
    times += [manifest.round_trips.get(pair), requested.rtt_ms if requested else None]
    milliseconds = next((each for each in times if each is not None), None)
    return None if milliseconds is None else milliseconds / 1000

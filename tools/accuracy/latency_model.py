"""Compare the measured latency of an etcd run with the prediction from network round trips.

At low load a put takes the round trip from the client's member to the leader, plus the leader's round trip to the
member that completes its majority (Ongaro & Ousterhout 2014, section 5.3). Exits with 1 if the measured mean is more
than 10 % off.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from benchmark.results.manifest import Manifest, read_manifest
from benchmark.results.run_folder import read_summary
from stacks.local.wan.round_trips import WITHIN_REGION_MS
from tools.accuracy.stored_run import with_run

TOLERANCE = 0.10


def predict(manifest: Manifest, leader: str) -> dict[str, tuple[int, float]]:
    """Return the share of the load (tx/s) and the predicted latency (ms) of each client's host."""
    region = {host.name: host.region for host in manifest.inventory.hosts}
    emulated, measured = manifest.inventory.round_trips, manifest.round_trips

    def rtt(a: str, b: str) -> float:
        """Return what was emulated; else, in clouds and in runs of earlier versions, what was measured."""
        pair = region[a], region[b]
        if a == b:
            return 0.0
        return emulated["/".join(pair)].rtt_ms if emulated else measured.get(pair, WITHIN_REGION_MS)

    nodes = manifest.placement.nodes
    followers = sorted(rtt(leader, node) for node in nodes if node != leader)
    majority = followers[len(nodes) // 2 - 1] if followers else 0.0
    shares = zip(manifest.placement.clients, manifest.parameters.shares_tps, strict=True)
    return {client: (share, rtt(client, leader) + majority) for client, share in shares}


def main(folder: Path) -> int:
    """Print predicted and measured means; return the exit code."""
    summary = read_summary(folder)
    completed = summary.successful_latency_s if summary else None
    if summary is None or summary.leader is None or completed is None or completed.mean is None:
        print(f"{folder}: no leader or no latency in the summary; nothing to compare", file=sys.stderr)
        return 2
    found = predict(read_manifest(folder), summary.leader)
    print(f"leader {summary.leader}, {summary.nodes} nodes, {summary.requested_tps:g} tx/s")
    print(f"{'client':<20}{'predicted ms':>14}{'measured ms':>14}{'ratio':>8}")
    for client, (_, predicted) in found.items():
        latency = summary.by_client[client].successful_latency_s
        measured = latency.mean * 1000 if latency and latency.mean is not None else math.nan
        print(f"{client:<20}{predicted:>14.1f}{measured:>14.1f}{measured / predicted:>8.3f}")
    load = sum(share for share, _ in found.values())
    predicted = sum(share * latency for share, latency in found.values()) / load
    measured = completed.mean * 1000
    print(f"{'mean':<20}{predicted:>14.1f}{measured:>14.1f}{measured / predicted:>8.3f}")
    return 0 if abs(measured / predicted - 1) <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(with_run(main, __doc__))

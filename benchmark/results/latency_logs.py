"""Read the latency logs that a run stored."""

from __future__ import annotations

from pathlib import Path

from benchmark.measure.client_logs import ClientLog
from benchmark.metrics.latency_log import read_latency_logs
from benchmark.results.manifest import Manifest
from benchmark.results.run_folder import LATENCIES
from benchmark.results.summary import Summary


def stored_logs(folder: Path, summary: Summary, manifest: Manifest, *, processes: int = 1) -> list[ClientLog]:
    """Return the logs of all clients of the run in `folder`.

    None if its results do not come from logs, or if all logs were removed to save space. `processes` read them, which
    needs a program that other processes can import. UsageError if one is missing or damaged.
    """
    if "latency_log" not in summary.sources.values() or not (folder / LATENCIES).is_dir():
        return []
    clients = {name: made.host for name, made in manifest.placement.processes.items() if name.startswith("client-")}
    logs = read_latency_logs({name: folder / LATENCIES / f"{name}.hlog" for name in clients}, processes=processes)
    hosts = list(clients.values())
    regions = {host.name: host.region for host in manifest.inventory.hosts}
    return [
        ClientLog(
            name=host if hosts.count(host) == 1 else f"{host} {name}",
            host=host,
            region=regions.get(host, ""),
            log=logs[name],
            counts_errors=summary.errors is not None,
        )
        for name, host in clients.items()
    ]

"""Download the latency logs of a run's clients, and read them for the measurement."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.errors import StorageError, UsageError
from benchmark.measure.client_logs import ClientLog, on_grid
from benchmark.metrics.latency_log import SCHEDULING_DELAY, LatencyLog, Tag, read_latency_logs
from benchmark.orchestrator.context import RunContext, RunState
from benchmark.orchestrator.supervisor import Clock
from benchmark.plan.load_shape import scheduled_share
from benchmark.protocols.process import Plan, Process
from benchmark.results.events import WarningIssued
from benchmark.results.run_folder import LATENCIES

_DEADLINE_S = 300.0
_LARGEST = 2 << 30
"""Bytes of the log of one client: 30 minutes at 5,000 tx/s have about 50 MB."""


def has_latency_logs(clients: Collection[Process]) -> bool:
    """Return whether all clients of a run write a latency log, so that its results do not depend on Prometheus."""
    return bool(clients) and all(client.latency_log for client in clients)


def download(run: RunContext, lost: Collection[str] = ()) -> dict[str, Path]:
    """Download the latency logs into the run's folder; return their files by the name of the client.

    What goes wrong is a warning, except on hosts that are known to be `lost`.
    """
    wanted: list[dict[str, Process]] = []
    """Clients by host: files of one host have one name, so each of its clients is a download of its own."""
    for client in run.deployment.clients:
        if client.latency_log and client.host.name not in lost:
            batch = next((each for each in wanted if client.host.name not in each), None)
            if batch is None:
                wanted.append(batch := {})
            batch[client.host.name] = client
    found: dict[str, Path] = {}
    try:
        for batch in wanted:
            with run.folder.storing(LATENCIES) as folder:
                folder.mkdir(exist_ok=True)
                with TemporaryDirectory(dir=folder, prefix=".") as temporary:
                    paths = {
                        host: [f"{run.directory}/{client.name}/{client.latency_log}"] for host, client in batch.items()
                    }
                    copied = run.testbed.fleet.get(paths, Path(temporary), deadline=_DEADLINE_S, limit=_LARGEST)
                    for host, reason in copied.failed.items():
                        text = f"the latency log of {batch[host].name} on {host} is missing: {reason}"
                        run.events.emit(WarningIssued(text))
                    for host, path in copied.ok.items():
                        found[batch[host].name] = folder / f"{batch[host].name}.hlog"
                        (path / Path(batch[host].latency_log).name).replace(found[batch[host].name])
    except StorageError as error:
        run.events.emit(WarningIssued(f"the latency logs are missing: {error}"))
        return {}
    return found


def read(run: RunContext, state: RunState, files: Mapping[str, Path]) -> list[ClientLog]:
    """Read the latency logs of all clients; empty, with a warning, unless all are there and undamaged."""
    clients = run.deployment.clients
    if not has_latency_logs(clients) or state.times is None:
        return []
    begin, end = on_grid(state.times.start, state.times.end)
    if begin == end:  # not one whole interval
        return []
    try:
        if missing := [client.name for client in clients if client.name not in files]:
            raise UsageError(f"the latency logs of {len(missing)} of {len(clients)} clients are missing")
        # The command is `python -m benchmark`, which other processes can import.
        logs = read_latency_logs(files, processes=os.cpu_count() or 1)
    except UsageError as error:
        text = f"{error}; the results come from the histograms that Prometheus sampled, which are coarser"
        run.events.emit(WarningIssued(text))
        return []
    for note in (note for log in logs.values() for note in log.notes):
        run.events.emit(WarningIssued(note))
    clocks = state.supervisor.clocks | state.changed_clocks if state.supervisor else {}
    monitoring = run.testbed.inventory.monitoring
    reference = clocks[monitoring.name].offset_s if monitoring and monitoring.name in clocks else 0.0
    return client_logs(clients, run.deployment.plan, logs, state.times.load, clocks, reference)


def client_logs(
    clients: Collection[Process],
    plan: Plan,
    logs: Mapping[str, LatencyLog],
    begin: float,
    clocks: Mapping[str, Clock],
    reference_s: float = 0.0,
) -> list[ClientLog]:
    """Combine the logs with what is known of their clients.

    `begin` is that of the load (unix s), `reference_s` the offset of the clock that dates the samples.
    """
    hosts = [client.host.name for client in clients]

    def scheduled(share: int, start: float, end: float) -> float:
        return share * scheduled_share(plan.rate_segments, start - begin, end - begin)

    return [
        ClientLog(
            name=client.host.name if hosts.count(client.host.name) == 1 else f"{client.host.name} {client.name}",
            host=client.host.name,
            region=client.host.region,
            log=logs[client.name],
            # A log of another generator does not show when requests fell due.
            scheduled=partial(scheduled, share) if Tag(SCHEDULING_DELAY) in logs[client.name].tags else None,
            clock_offset_s=(clocks[client.host.name].offset_s if client.host.name in clocks else 0.0) - reference_s,
        )
        for client, share in zip(clients, plan.shares, strict=True)
    ]

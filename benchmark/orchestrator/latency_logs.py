"""Download the latency logs of a run's clients, and read them for the measurement."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.errors import StorageError, SystemFailure, UsageError
from benchmark.measure.client_logs import ClientLog, on_grid
from benchmark.metrics.foreign_logs import convert
from benchmark.metrics.latency_log import SCHEDULING_DELAY, LatencyLog, Tag, read_latency_logs
from benchmark.orchestrator.context import RunContext, RunState
from benchmark.orchestrator.supervisor import Clock
from benchmark.plan.load_shape import scheduled_share
from benchmark.protocols.base import Protocol
from benchmark.protocols.process import Plan, Process
from benchmark.remote.deadlines import ANSWER_S
from benchmark.results.events import WarningIssued
from benchmark.results.run_folder import LATENCIES
from benchmark.testbed.testbed import Testbed

_DEADLINE_S = 300.0
_MOST_FILES = 1000
_LARGEST = 2 << 30
"""Bytes of the log of one client: 30 minutes at 5,000 tx/s have about 50 MB."""


def has_latency_logs(clients: Collection[Process]) -> bool:
    """Return whether all clients of a run write a latency log, so that its results do not depend on Prometheus."""
    return bool(clients) and all(client.latency_log for client in clients)


def require_measurable(testbed: Testbed, protocol: Protocol, plan: Plan) -> None:
    """Raise UsageError if nothing would measure a run: without latency logs Prometheus must."""
    if testbed.inventory.monitoring is None and not has_latency_logs(protocol.clients(plan)):
        raise UsageError(
            f"testbed {testbed.inventory.testbed_id} has no monitoring host, and the clients of {protocol.name} write "
            "no latency logs: nothing would measure a run; set `monitoring: true` and run `pulumi up`"
        )


def download(run: RunContext, lost: Collection[str] = ()) -> tuple[dict[str, Path], dict[str, str]]:
    """Download the latency logs into the run's folder; return their files, and what went wrong, by the client's name.

    What other load generators wrote is converted, and kept in a folder named after the client if it is damaged. Hosts
    known to be `lost` are left out.
    """
    batches: list[dict[str, Process]] = []
    """Clients by host: files of one host may have one name, so each of its clients is a download of its own."""
    for client in run.deployment.clients:
        if client.latency_log and client.host.name not in lost:
            batch = next((each for each in batches if client.host.name not in each), None)
            if batch is None:
                batches.append(batch := {})
            batch[client.host.name] = client
    found: dict[str, Path] = {}
    problems: dict[str, str] = {}
    for batch in batches:
        try:
            with run.folder.storing(LATENCIES) as folder:
                folder.mkdir(exist_ok=True)
                with TemporaryDirectory(dir=folder, prefix=".") as temporary:
                    copied, failed = _copy(run, batch, Path(temporary))
                    problems |= {batch[host].name: f"{batch[host].name} on {host}: {failed[host]}" for host in failed}
                    for host, files in copied.items():
                        target = folder / f"{batch[host].name}.hlog"
                        try:
                            for note in _store(batch[host], files, target):
                                run.events.emit(WarningIssued(note))
                            found[batch[host].name] = target
                        except UsageError as error:
                            problems[batch[host].name] = f"{batch[host].name} on {host}: {error}"
        except StorageError as error:
            problems |= {client.name: str(error) for client in batch.values()}
    return found, problems


def _copy(run: RunContext, clients: Mapping[str, Process], into: Path) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Copy what each client wrote, by host; return the files and the problems."""
    fleet = run.testbed.fleet
    folders = {host: f"{run.directory}/{client.name}" for host, client in clients.items()}
    # Names are patterns of letters, digits, `-`, `_`, `.` and `*`, with which a shell does nothing else.
    commands = {
        host: f"cd {shlex.quote(folders[host])} && for file in {client.latency_log}; do "
        """[ ! -f "$file" ] || printf '%s\\n' "$file"; done"""
        for host, client in clients.items()
    }
    listed = fleet.run(commands, deadline=ANSWER_S)
    names = {host: answer.stdout.splitlines()[:_MOST_FILES] for host, answer in listed.ok.items()}
    paths = {host: [f"{folders[host]}/{name}" for name in found] for host, found in names.items() if found}
    copied = fleet.get(paths, into, deadline=_DEADLINE_S, limit=_LARGEST)
    problems = listed.failed | copied.failed
    for host, found in names.items():
        if not found:
            problems[host] = f"it wrote no file {clients[host].latency_log}"
        elif len({Path(name).name for name in found}) < len(found):
            problems[host] = f"files in several folders have one name: {', '.join(found[:8])}"
            copied.ok.pop(host, None)
    files = {host: [path / Path(name).name for name in names[host]] for host, path in copied.ok.items()}
    # Names come from the host: one that is no file in the folder is not followed.
    odd = {host for host, found in files.items() if not all(file.is_file() for file in found)}
    problems |= dict.fromkeys(odd, "its files were not all copied")
    return {host: found for host, found in files.items() if host not in odd}, problems


def _store(client: Process, files: Sequence[Path], target: Path) -> Sequence[str]:
    """Make the files of a client its latency log; return notes about them. UsageError if they are damaged."""
    if client.latency_source is None:
        files[0].replace(target)
        return ()
    kept = files[0].parent.rename(target.with_suffix(""))
    notes = convert([kept / file.name for file in files], client.latency_source, target)
    shutil.rmtree(kept)
    return notes


def read(run: RunContext, state: RunState, downloaded: tuple[Mapping[str, Path], Mapping[str, str]]) -> list[ClientLog]:
    """Read the downloaded latency logs of all clients; empty, with a note in `state`, unless all are complete.

    SystemFailure if they are not, and not every client exports metrics, which take their place.
    """
    clients, (files, problems) = run.deployment.clients, downloaded
    if not has_latency_logs(clients) or state.times is None:
        return []
    begin, end = on_grid(state.times.start, state.times.end)
    if begin == end:  # not one whole interval
        return []
    codes = {name: each.exit_code for name, each in state.supervisor.states.items()} if state.supervisor else {}
    problems = {
        client.name: f"{client.name} on {client.host.name}: it ended with exit code {codes[client.name]}, so its "
        "latency log may be incomplete"
        for client in clients
        if codes.get(client.name) and client.latency_source is None  # others may end in any way when they are stopped
    } | dict(problems)
    try:
        if problems:
            raise UsageError("; ".join(list(problems.values())[:8]) + "; …" * (len(problems) > 8))
        # The command is `python -m benchmark`, which other processes can import.
        logs = read_latency_logs(files, processes=os.cpu_count() or 1)
    except UsageError as error:
        if any(client.metrics_port is None for client in clients):
            raise SystemFailure(f"no latencies: {error}", process=next(iter(problems), "")) from None
        text = f"{error}; the results come from the histograms that Prometheus sampled, which are coarser"
        state.log_notes.append(text)
        return []
    state.log_notes += [note for log in logs.values() for note in log.notes]
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

    # A client begins the load by its own clock, which also dates its log.
    ahead = {host: clocks[host].offset_s if host in clocks else 0.0 for host in hosts}

    def scheduled(share: int, began: float, start: float, end: float) -> float:
        return share * scheduled_share(plan.rate_segments, start - began, end - began)

    return [
        ClientLog(
            name=client.host.name if hosts.count(client.host.name) == 1 else f"{client.host.name} {client.name}",
            host=client.host.name,
            region=client.host.region,
            log=logs[client.name],
            # A log of another generator does not show when requests fell due.
            scheduled=partial(scheduled, share, begin + ahead[client.host.name])
            if Tag(SCHEDULING_DELAY) in logs[client.name].tags
            else None,
            sampled=client.metrics_port is not None,
            clock_offset_s=ahead[client.host.name] - reference_s,
            counts_errors=client.latency_source is None
            or client.latency_source.counts_errors
            or any(tag.error for tag in logs[client.name].tags),
        )
        for client, share in zip(clients, plan.shares, strict=True)
    ]

"""Judge whether a system stayed correct and made progress, and keep the history of its probe workload."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.errors import StorageError
from benchmark.measure.client_logs import ClientLog
from benchmark.measure.scrapes import RunSamples
from benchmark.orchestrator.context import RunContext, RunState
from benchmark.protocols.probe import HISTORY
from benchmark.results.run_folder import HISTORY as KEPT
from benchmark.results.run_folder import VIOLATION
from benchmark.results.verification import Progress, Verification
from benchmark.verify.linearizability import check_history
from benchmark.verify.progress import (
    Witness,
    judge_progress,
    witnesses_of_history,
    witnesses_of_logs,
    witnesses_of_nodes,
)

_DEADLINE_S = 120.0
_LARGEST = 512 << 20
"""Bytes of a history: an hour has 60 MB."""


def verify(run: RunContext, lost: Collection[str] = ()) -> Verification | None:
    """Download the history, check it, and keep it and what shows a violation; None for a run without a probe.

    A history on a host that is known to be `lost` is lost as well.
    """
    probe = run.deployment.probe
    if probe is None:
        return None
    host = probe.host.name
    if host in lost:
        return Verification(verdict="unknown", reason=f"the history was lost with {host}", seconds=0.0)
    try:
        with run.folder.storing(KEPT) as kept, TemporaryDirectory(dir=kept.parent, prefix=".") as temporary:
            paths = {host: [f"{run.directory}/{probe.name}/{HISTORY}"]}
            copied = run.testbed.fleet.get(paths, Path(temporary), deadline=_DEADLINE_S, limit=_LARGEST)
            if host in copied.failed:
                reason = f"the history could not be copied from {host}: {copied.failed[host]}"
                return Verification(verdict="unknown", reason=reason, seconds=0.0)
            (copied.ok[host] / HISTORY).replace(kept)
            verification, window = check_history(kept)
        if window:
            run.folder.write(VIOLATION, window.model_dump_json(indent=1) + "\n")
    except (StorageError, OSError) as error:
        return Verification(verdict="unknown", reason=f"the history could not be stored: {error}", seconds=0.0)
    return verification


def progress(run: RunContext, state: RunState, samples: RunSamples, latencies: Sequence[ClientLog]) -> Progress | None:
    """Return whether the system made progress while faults were tolerated; None without faults and `--verify`.

    The probe workload shows it, else the nodes if they count transactions, else the load.
    """
    probe, protocol, plan = run.deployment.probe, run.request.protocol, run.deployment.plan
    if state.times is None or not (probe or run.request.faults):
        return None
    limit_s = protocol.progress_within_s(plan)
    found: list[Witness] = []
    if probe:
        offset_s = state.supervisor.offset(probe.host.name) if state.supervisor else 0.0
        try:
            found = witnesses_of_history(run.folder.path / KEPT, probe.host.name, offset_s)
        except (OSError, ValueError) as error:
            return Progress(verdict="unknown", reason=f"the history could not be read: {error}", limit_s=limit_s)
    elif protocol.metrics.job == "node":
        found = witnesses_of_nodes(samples, run.deployment.nodes, protocol.metrics.completed)
    else:
        found = witnesses_of_logs(latencies)
    window = state.times.load, state.times.end
    return judge_progress(found, state.faults, protocol.tolerated_faults(len(plan.nodes)), window, limit_s)

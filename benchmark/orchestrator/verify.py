"""Judge the history of a run's probe workload, and keep it with the results."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.errors import StorageError
from benchmark.orchestrator.context import RunContext
from benchmark.protocols.probe import HISTORY
from benchmark.results.run_folder import HISTORY as KEPT
from benchmark.results.run_folder import VIOLATION
from benchmark.results.verification import Verification
from benchmark.verify.linearizability import check_history

_DEADLINE_S = 120.0
_LARGEST = 512 << 20
"""Bytes of a history: an hour has 60 MB."""


def verify(run: RunContext) -> Verification | None:
    """Download the history, check it, and keep it and what shows a violation; None for a run without a probe."""
    probe = run.deployment.probe
    if probe is None:
        return None
    host = probe.host.name
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

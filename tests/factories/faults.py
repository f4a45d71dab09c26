"""Records of faults, and runs that had one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark.faults.record import FaultRecord
from benchmark.measure.fault_impact import FaultWindow, fault_impacts
from benchmark.results.latency_logs import stored_logs
from benchmark.results.layout import SUMMARY
from benchmark.results.manifest import read_manifest
from benchmark.results.run_folder import MANIFEST, read_summary


def fault_record(start: float, end: float | None, window: float, **changes: Any) -> FaultRecord:
    """A crash of us-east-1-0 from `start` to `end`, in s since the measured window began at `window` (unix s)."""
    record = FaultRecord(
        kind="crash",
        target="us-east-1-0",
        nodes=("node-0",),
        hosts=("us-east-1-0",),
        parameters={},
        seed=1,
        scheduled_start_s=start,
        scheduled_end_s=end,
        injected=window + start,
        in_force=window + start + 0.1,
        healing=None if end is None else window + end,
        healed=None if end is None else window + end + 0.3,
        proof="process group 4711 has ended",
        healed_proof="process 4800 is ready",
    )
    return record.model_copy(update=changes)


def use_fault(folder: Path, fault: FaultRecord) -> None:
    """Add a fault to a stored run with latency logs, and what it did to its summary."""
    manifest, summary = read_manifest(folder), read_summary(folder)
    assert summary is not None
    assert summary.window is not None
    assert fault.injected is not None
    logs = stored_logs(folder, summary, manifest)
    window = FaultWindow(fault.kind, fault.target, fault.injected, fault.healing)
    impacts = fault_impacts([window], logs, summary.window.start, summary.window.end)
    for name, model in ((MANIFEST, fault), (SUMMARY, impacts[0])):
        path = folder / name
        document = json.loads(path.read_text())
        path.write_text(json.dumps(document | {"faults": [*document["faults"], model.model_dump(mode="json")]}))

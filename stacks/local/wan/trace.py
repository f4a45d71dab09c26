"""Round trips that change over time: the part of a trace that a testbed replays, in the emulator's form."""

from __future__ import annotations

import contextlib
import hashlib
import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from benchmark.errors import InfrastructureError, SettingsError
from benchmark.settings import Trace, read_trace


@dataclass(frozen=True)
class TraceFile:
    """A trace of round trips, which the network replays."""

    path: str
    sha256: str


def find_trace(path: Path, regions: Iterable[str]) -> tuple[TraceFile, Trace]:
    """Read the part of a trace that is about a testbed's regions; a missing direction equals its opposite.

    SettingsError for a damaged file, or one about other regions only.
    """
    path = path.expanduser().absolute()
    names, trace = set(regions), read_trace(path)
    found = {pair: trace[pair] for pair in trace if names.issuperset(pair)}
    if not found:
        others = ", ".join(sorted({name for pair in trace for name in pair}))
        raise SettingsError(
            f"network.trace: {path} is about {others}; expected some of `regions`: {', '.join(sorted(names))}"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    opposite = {(target, source): values for (source, target), values in found.items()}
    return TraceFile(str(path), digest), opposite | found


def write_trace(trace: TraceFile, regions: Iterable[str], file: Path) -> None:
    """Write what the emulator replays to `file`, as `emulator.impairments.read_traces` reads it.

    It starts now, or goes on if `file` already has this trace. InfrastructureError if the trace has changed.
    """
    found, values = find_trace(Path(trace.path), regions)
    if found != trace:
        raise InfrastructureError(f"network.trace: {trace.path} has changed since it was read; run `pulumi up` again")
    start = monotonic()
    with contextlib.suppress(OSError, ValueError), file.open("rb") as former:
        head = json.loads(former.readline())
        if head["sha256"] == trace.sha256 and head["start"] < start:  # the clock begins with the machine
            start = head["start"]
    times = sorted({time for series in values.values() for time, _ in series})
    # The last value holds as long as the one before it.
    period = times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1.0)
    counts = {f"{source}->{target}": len(series) for (source, target), series in values.items()}
    partial = file.with_suffix(".partial")
    with partial.open("wb") as content:
        head = {"sha256": trace.sha256, "start": start, "period": period, "counts": counts}
        content.write(json.dumps(head).encode() + b"\n")
        for series in values.values():
            array("d", (time for time, _ in series)).tofile(content)
            array("d", (rtt_ms / 2e3 for _, rtt_ms in series)).tofile(content)
    partial.replace(file)

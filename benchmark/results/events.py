"""What happens during a benchmark, one class for each kind of event.

The runner emits events to observers; those of a run are also lines of its `events.jsonl`, which are read back with the
same classes. Times are unix seconds, durations seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json

from benchmark.errors import UsageError
from benchmark.measure.live_stats import LiveStats
from benchmark.results.upgrade import upgrade_event

Phase = Literal[
    "connect", "check", "install", "configure", "monitor", "start_nodes", "start_clients",
    "warm_up", "measure", "settle", "stop", "collect",
]  # fmt: skip


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class _Timed:
    """Common to all events: when it was emitted."""

    time: float = field(default_factory=time.time, kw_only=True)


@dataclass(frozen=True)
class AnnouncedLoad:
    """A load to be run; `scheduled_tps` differs where the protocol offers multiples of a step only."""

    requested_tps: int
    scheduled_tps: int


@dataclass(frozen=True)
class PlanAnnounced(_Timed):
    """The runs of a command have been placed on hosts; nothing was touched yet."""

    testbed_id: str
    protocol: str
    nodes_by_region: Mapping[str, int]
    clients: int
    """0 where the nodes generate the load."""
    dedicated_clients: bool
    """Whether the clients have hosts to themselves."""
    loads: tuple[AnnouncedLoad, ...]
    kind: Literal["plan_announced"] = "plan_announced"


@dataclass(frozen=True)
class Step(_Timed):
    """The runner begins something that may take long, as a sentence."""

    text: str
    kind: Literal["step"] = "step"


@dataclass(frozen=True)
class RunStarted(_Timed):
    """A run has its folder and begins."""

    run_id: str
    requested_tps: int
    folder: str
    number: int | None = None
    """Of the runs of its command, beginning with 1."""
    runs: int | None = None
    """Runs of the command; null if it is not known before, as in a search."""
    ends: float | None = None
    """Estimated end of the last run of the command; null if it is unknown."""
    kind: Literal["run_started"] = "run_started"


@dataclass(frozen=True)
class PhaseStarted(_Timed):
    """A phase begins; one may be entered several times."""

    name: Phase
    kind: Literal["phase_started"] = "phase_started"


@dataclass(frozen=True)
class PhaseEnded(_Timed):
    """A phase is over, whether it succeeded or not."""

    name: Phase
    seconds: float
    kind: Literal["phase_ended"] = "phase_ended"


@dataclass(frozen=True)
class Progress(LiveStats, _Timed):
    """Current rates and latencies of all clients together, for display."""

    left_s: float
    """Time until the end of the measured window."""
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True)
class WarningIssued(_Timed):
    """Something went wrong that does not end the run."""

    text: str
    kind: Literal["warning"] = "warning"


@dataclass(frozen=True)
class FaultInjected(_Timed):
    """A fault was proved to be in force."""

    fault: str
    """As in a schedule, such as `crash:leader@60s`."""
    nodes: tuple[str, ...]
    proof: str
    kind: Literal["fault_injected"] = "fault_injected"


@dataclass(frozen=True)
class FaultHealed(_Timed):
    """A fault was proved to be healed."""

    fault: str
    nodes: tuple[str, ...]
    proof: str
    kind: Literal["fault_healed"] = "fault_healed"


@dataclass(frozen=True)
class SummaryWritten(_Timed):
    """A run was measured and its summary is on disk."""

    run_id: str
    status: str
    folder: str
    timings_s: Mapping[str, float]
    """As in the manifest."""
    requested_tps: float | None = None
    completed_tps: float | None = None
    saturated: bool = False
    latencies_s: Mapping[str, float] = field(default_factory=dict)
    """Estimates by the name of the metric; those that are unknown are missing."""
    unbounded: tuple[str, ...] = ()
    """Those of them that are only known to be higher, as where requests failed without a known timeout."""
    kind: Literal["summary_written"] = "summary_written"


Event = (
    PlanAnnounced
    | Step
    | RunStarted
    | PhaseStarted
    | PhaseEnded
    | Progress
    | WarningIssued
    | FaultInjected
    | FaultHealed
    | SummaryWritten
)
Observer = Callable[[Event], None]

_EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


class Events:
    """Emits events to observers and adds up how long each phase took, in seconds."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = list(observers)
        self.phases: dict[str, float] = {}

    def emit(self, event: Event) -> None:
        """Pass an event to every observer, in order."""
        for observer in self.observers:
            observer(event)

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Time a phase; a phase entered again adds up."""
        self.emit(PhaseStarted(name))
        begin = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - begin
            self.phases[name] = self.phases.get(name, 0.0) + seconds
            self.emit(PhaseEnded(name, round(seconds, 6)))


def event_to_json(event: Event) -> str:
    """Return the line of an event in `events.jsonl`, without its line break."""
    return _EVENTS.dump_json(event, warnings="error").decode()


def parse_event(line: str | bytes) -> Event:
    """Read a line of `events.jsonl` of any schema; ValueError if it is none."""
    document = from_json(line)
    if isinstance(document, dict) and "data" in document:
        document = upgrade_event(document)
    return _EVENTS.validate_python(document)


def read_events(path: Path) -> list[Event]:
    """Read `events.jsonl`, without a last line that was cut short; UsageError for any other line that is no event."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return [_parse(line, number, path) for number, line in enumerate(lines, 1)]


def follow_events(path: Path, ended: Callable[[], bool], interval_s: float = 0.2) -> Iterator[Event]:
    """Yield the events of `events.jsonl` as they are written, until `ended` says that no more will come.

    The file need not exist yet. UsageError for a line that is no event.
    """
    number, rest, position = 0, b"", 0
    while True:
        last = ended()
        if path.exists():
            with path.open("rb") as file:
                file.seek(position)
                rest += file.read()
                position = file.tell()
        *lines, rest = rest.split(b"\n")
        for line in lines:
            number += 1
            yield _parse(line, number, path)
        if last:
            return
        time.sleep(interval_s)


def _parse(line: bytes, number: int, path: Path) -> Event:
    try:
        return parse_event(line)
    except ValidationError as error:
        raise UsageError(f"{path}, line {number} is not an event: {error.errors()[0]['msg']}") from None
    except ValueError as error:
        raise UsageError(f"{path}, line {number} is not an event: {error}") from None

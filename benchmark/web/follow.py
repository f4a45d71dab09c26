"""Follow the files of a run while it is written, and after its end or death."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from benchmark.errors import UsageError
from benchmark.report import REPORT
from benchmark.results.events import Event, Progress, event_to_json, parse_event
from benchmark.results.live_feed import FEED, LIVE, LineFollower, parse_sample
from benchmark.results.manifest import Manifest, read_manifest
from benchmark.results.run_folder import EVENTS, MANIFEST, is_running, read_summary
from benchmark.results.summary import Summary
from benchmark.settings import known_regions

MOST_POINTS = 4000
"""Progress events and samples that a page gets of one run; of longer ones, every other of the earlier."""
_STALE = "the runner was killed (or it runs on another machine, on a shared file system)"


@dataclass(frozen=True)
class Region:
    """A region with its location in degrees; null if it is unknown."""

    name: str
    hosts: int
    longitude: float | None
    latitude: float | None


@dataclass(frozen=True)
class Host:
    """A host; those that share a machine show the same processors."""

    name: str
    region: str
    machine: str


@dataclass(frozen=True)
class Process:
    """A process whose log can be shown."""

    name: str
    host: str


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a run is, from its manifest; empty until there is one."""

    run_id: str
    testbed: str = ""
    protocol: str = ""
    name: str | None = None
    nodes: int = 0
    clients: int = 0
    warm_up_s: float = 0.0
    duration_s: float = 0.0
    regions: Sequence[Region] = ()
    hosts: Sequence[Host] = ()
    processes: Sequence[Process] = ()
    round_trips_ms: Mapping[str, float] = field(default_factory=dict)
    """Between regions by `FROM/TO`, as measured before the run."""


@dataclass(frozen=True, kw_only=True)
class State:
    """Whether a run is in progress, and its result."""

    status: Literal["starting", "running", "ok", "invalid", "failed", "interrupted", "killed", "damaged"]
    reasons: Sequence[str] = ()
    saturated: bool = False
    requested_tps: float | None = None
    completed_tps: float | None = None
    p50_s: float | None = None
    p99_s: float | None = None
    unbounded: Sequence[str] = ()
    """Quantiles that are only known to be higher."""
    report: bool = False
    """Whether its report can be shown."""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of this run, but for its report."""
        return self.status not in ("starting", "running")


_HEADERS, _STATES = TypeAdapter(Header), TypeAdapter(State)


def header_of(run_id: str, manifest: Manifest | None) -> Header:
    """Return what a run is."""
    if manifest is None:
        return Header(run_id=run_id)
    placement, inventory, places = manifest.placement, manifest.inventory, known_regions()
    used = [host for host in inventory.hosts if host.name in {*placement.nodes, *placement.clients}]
    counts: dict[str, int] = {}
    for host in used:
        counts[host.region] = counts.get(host.region, 0) + 1
    located = {name: places.get(name) for name in counts}
    return Header(
        run_id=run_id,
        testbed=inventory.testbed_id,
        protocol=manifest.protocol,
        name=manifest.name,
        nodes=len(placement.nodes),
        clients=len(placement.clients),
        warm_up_s=manifest.parameters.warm_up_s,
        duration_s=manifest.parameters.duration_s,
        regions=[
            Region(name, counts[name], place and place.longitude, place and place.latitude)
            for name, place in located.items()
        ],
        hosts=[
            Host(host.name, host.region, "this machine" if host.provider == "local" else host.name) for host in used
        ],
        processes=[Process(name, each.host) for name, each in placement.processes.items()],
        round_trips_ms=manifest.rtt_ms,
    )


class RunFollower:
    """The files of one run, read as they grow; `poll` returns what is new as messages for viewers.

    A message is a line of JSON: `kind` is `events`, `samples`, `header` or `state`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.header, self.state = Header(run_id=folder.name), State(status="starting")
        self.began = False
        """Whether there was an event."""
        self._events, self._samples = LineFollower(folder / EVENTS), LineFollower(folder / LIVE / FEED)
        self._last_sample = 0.0
        self._known_events: list[tuple[bool, str]] = []
        """Whether it is of many, and its JSON."""
        self._known_samples: list[str] = []
        self._manifest: tuple[int, int] | None = None

    def poll(self) -> list[str]:
        """Read what is new."""
        header = self._read_header()
        events = [(isinstance(event, Progress), event_to_json(event)) for event in self._read_events()]
        samples = self._read_samples()
        self._known_events = thin(self._known_events + events)
        self._known_samples = [text for _, text in thin([(True, text) for text in self._known_samples + samples])]
        messages = [_message("header", _dump(header))] if header else []
        messages += [_message("events", f"[{','.join(text for _, text in events)}]")] if events else []
        messages += [_message("samples", f"[{','.join(samples)}]")] if samples else []
        state, self.state = self.state, self._read_state()
        return messages + ([_message("state", _dump_state(self.state))] if state != self.state else [])

    def snapshot(self) -> list[str]:
        """Return messages with everything so far."""
        events = ",".join(text for _, text in self._known_events)
        return [
            _message("header", _dump(self.header)),
            _message("events", f"[{events}]"),
            _message("samples", f"[{','.join(self._known_samples)}]"),
            _message("state", _dump_state(self.state)),
        ]

    def _read_header(self) -> Header | None:
        """Return the header if it has changed."""
        try:
            found = (self.folder / MANIFEST).stat()
        except OSError:
            return None
        if self._manifest == (found.st_mtime_ns, found.st_ino):
            return None
        self._manifest = found.st_mtime_ns, found.st_ino
        try:
            header = header_of(self.folder.name, read_manifest(self.folder))
        except UsageError:  # damaged: the page shows the rest
            return None
        changed, self.header = header != self.header, header
        return header if changed else None

    def _read_events(self) -> list[Event]:
        _, lines = self._events.read()
        found = []
        for line in lines:
            try:
                found.append(parse_event(line))
            except ValueError:  # of another version, or damaged
                continue
        self.began = self.began or bool(lines)
        return found

    def _read_samples(self) -> list[str]:
        """Return the samples after the last known one: a feed that became too long was replaced by a shorter one."""
        _, lines = self._samples.read()
        found = []
        for line in lines:
            try:
                sample = parse_sample(line)
            except ValueError:
                continue
            if sample.time > self._last_sample:
                self._last_sample = sample.time
                found.append(line.decode())
        return found

    def _read_state(self) -> State:
        if not self.began:  # before its first event, the runner may not have locked the file yet
            return State(status="starting")
        report = (self.folder / REPORT).exists()
        if self.state.ended and self.state.status != "killed":
            return self.state if self.state.report == report else state_of(self._summary(), report)
        running = is_running(self.folder)
        summary = self._summary()
        if summary is None and not running:
            return State(status="killed", reasons=(_STALE,), report=report)
        return state_of(summary, report)

    def _summary(self) -> Summary | UsageError | None:
        try:
            return read_summary(self.folder)
        except UsageError as error:
            return error


def state_of(summary: Summary | UsageError | None, report: bool) -> State:
    """Return the state of a run with this summary; one without a summary is running."""
    if isinstance(summary, UsageError):
        return State(status="damaged", reasons=(str(summary),), report=report)
    if summary is None:
        return State(status="running", report=report)
    latency = summary.latency_s
    quantiles = {name: each.estimate for name, each in latency.quantiles.items()} if latency else {}
    return State(
        status=summary.status,
        reasons=tuple(summary.reasons),
        saturated=summary.saturated,
        requested_tps=summary.requested_tps,
        completed_tps=summary.completed_tps,
        p50_s=quantiles.get("p50"),
        p99_s=quantiles.get("p99"),
        unbounded=tuple(f"{name}_s" for name, each in latency.quantiles.items() if each.upper is None)
        if latency
        else (),
        report=report,
    )


def thin(points: list[tuple[bool, str]], most: int = MOST_POINTS) -> list[tuple[bool, str]]:
    """Drop every other of the points that are of many, but the last ones, where there are more than `most`."""
    if sum(many for many, _ in points) <= most:
        return points
    kept, count = [], 0
    for many, text in points[: -most // 4]:
        count += many
        if not many or count % 2:
            kept.append((many, text))
    return kept + points[-most // 4 :]


def _message(kind: str, value: str) -> str:
    return f'{{"kind":{json.dumps(kind)},"value":{value}}}'


def _dump(header: Header) -> str:
    return _HEADERS.dump_json(header).decode()


def _dump_state(state: State) -> str:
    return _STATES.dump_json(state).decode()

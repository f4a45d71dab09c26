"""Options of `run`, and the request that settings and options make together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import to_jsonable_python

from benchmark.errors import UsageError
from benchmark.plan.load_shape import CONSTANT, rate_segments
from benchmark.plan.source import Binaries, describe, find_build, find_source
from benchmark.protocols.base import Protocol
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.process import Build
from benchmark.protocols.registry import find_protocol
from benchmark.settings import (
    Duration,
    FaultRequest,
    PhaseRequest,
    Repository,
    Settings,
    check_duration,
    explain_errors,
    format_duration,
    load_faults,
    parse_duration,
    parse_fault,
    parse_phase,
    place_in_phases,
    redacted,
    split_place,
    total_duration,
)
from benchmark.version import full_version

if TYPE_CHECKING:
    from benchmark.measure.impact_counts import Criteria

LEAST_WARM_UP_S = 15.0
"""Warm-up where none is set; more is cut where the run was not steady by then."""

LEAST_INTERVALS = 3
"""Scrape intervals that a run must last: a client is measured between two samples of the window."""

FEW_INTERVALS = 10
"""Scrape intervals below which a run is too short to be precise."""

PER_SIDE: dict[str, JsonValue] = {"per_side": True}
"""Marks the options that the sides of a comparison may set, besides the fields of the settings."""


class RunOptions(BaseModel):
    """The options that describe a run. They override the settings; None leaves a value to them.

    Each field is one option of `run`, `compare` and `search`: its docstring is the help text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    committee: int | None = Field(default=None, ge=1, json_schema_extra=PER_SIDE)
    """Number of nodes [default: as many as possible]."""
    duration: Duration | None = Field(default=None, json_schema_extra=PER_SIDE)
    """Duration of the measurement of each run [default: benchmark_duration in the settings, else 180 s]."""
    warm_up: Duration | None = None
    """Warm-up before measuring [default: warm_up in the settings, else detected, at least 15 s]."""
    load_shape: str | None = Field(default=None, json_schema_extra=PER_SIDE)
    """Load over time: constant, ramp[:SHARE], steps:NUMBER, or a CSV file of rates [default: load_shape in the
    settings, else constant]."""
    dedicated_clients: int | None = Field(default=None, ge=0, json_schema_extra=PER_SIDE)
    """Number of hosts that only generate load [default: dedicated_clients in the settings, else 0]."""
    protocol: str | None = Field(default=None, json_schema_extra=PER_SIDE)
    """System under test: a known protocol, or FILE.yaml [default: protocol in the settings, else etcd]."""
    commit: str | None = Field(default=None, json_schema_extra=PER_SIDE)
    """Branch, tag or hash to build, instead of the one in the settings."""
    repository: str | None = None
    """URL to build from, instead of the one in the settings; ${NAME} is read from the environment."""
    binaries: Path | None = None
    """Folder of prebuilt binaries; nothing is built."""
    faults: tuple[str, ...] = ()
    """Faults to inject, instead of those in the settings: crash:leader@60s partition:halves@30s-60s, or FILE.yaml."""
    phases: tuple[str, ...] = ()
    """Parts of the measured window with statistics of their own: "healthy 60s" "attack 60s"."""
    slo: str | None = None
    """Latency above which a request is late after a fault, or a quantile and its limit for availability, such as
    p99=500ms [default: 1.1 times the slowest before it]."""
    snapshot: bool = False
    """Save the Prometheus database with each run."""
    verify: bool | None = None
    """Check that the system stays linearizable, with a small probe workload [default: with faults, if supported]."""
    name: str | None = None
    """Name of these runs, stored in their manifests."""

    @classmethod
    def per_side(cls) -> tuple[str, ...]:
        """Return the names of the options that the sides of a comparison may set."""
        return tuple(name for name, field in cls.model_fields.items() if field.json_schema_extra == PER_SIDE)

    def override(self, name: str, text: str) -> Self:
        """Return these options with one of them read from `text`; UsageError if that is no value for it."""
        try:
            return self.model_validate(self.model_dump() | {name: text})
        except ValidationError as error:
            message = explain_errors(error, type(self), "option")[0].message.removeprefix(f"{name}: ")
            raise UsageError(f"{name}={text}: {message}") from None


@dataclass(frozen=True)
class Request:
    """One run for each of `loads` (tx/s); durations in seconds."""

    protocol: Protocol
    settings: Settings
    loads: Sequence[int]
    duration_s: float
    warm_up_s: float
    find_warm_up: bool = False
    """Whether more than `warm_up_s` is cut where the run was not steady by then."""
    committee: int | None = None
    dedicated_clients: int = 0
    load_shape: str = CONSTANT
    """As `load_shape.rate_segments` reads it."""
    phases: tuple[PhaseRequest, ...] = ()
    """They fill the measured window; none if it is one."""
    faults: tuple[FaultRequest, ...] = ()
    """Their times count from the start of the measured window."""
    slo_s: float | None = None
    """Latency above which a request is late after a fault; None to derive it from the time before the fault."""
    slo_quantile: float | None = None
    """Quantile that must be within `slo_s` for the system to count as available; None to count requests."""
    snapshot: bool = False
    """Whether the Prometheus database is saved with each run."""
    verify: bool = False
    """Whether a probe workload beside the load checks that the system stays linearizable."""
    name: str | None = None
    results_dir: Path = Path("results")
    source: Repository | Binaries | None = None
    """What the system is built from, or prebuilt binaries; None for a system that is installed from packages."""
    build: Build | None = None
    """How the system is built; None for a system that is installed from packages."""

    @property
    def load_s(self) -> float:
        """Duration of the load of each run, in seconds."""
        return self.warm_up_s + self.duration_s

    @property
    def criteria(self) -> Criteria:
        """By which requests are late, and the system counts as recovered or available."""
        from benchmark.measure.impact_counts import Criteria  # it imports numpy, which makes `--help` slow

        recovery = self.settings.recovery
        return Criteria(recovery.within, recovery.steady.total_seconds(), self.slo_s, self.slo_quantile)


def make_request(settings: Settings, options: RunOptions, loads: Sequence[int], results_dir: Path) -> Request:
    """Return the request that settings and options make; options override settings.

    Raises SettingsError for parameters that the protocol does not have, UsageError for options that exclude each other.
    """
    with _located(settings, "protocol", options.protocol):
        kind = find_protocol(settings.protocol if options.protocol is None else options.protocol)
    build = find_build(kind, settings.build)
    # A protocol that is named on the command line can be another one than that of the settings' repository.
    repository = settings.repository if build or options.protocol is None else None
    dedicated = options.dedicated_clients
    warm_up = settings.warm_up if options.warm_up is None else options.warm_up
    load_shape = settings.load_shape if options.load_shape is None else options.load_shape
    phases, faults, duration = _schedule(settings, options)
    with _located(settings, "benchmark_duration", (phases or None) if options.duration is None else options.duration):
        _require_intervals(duration, settings.scrape_interval)
    warm_up_s = LEAST_WARM_UP_S if warm_up is None else warm_up.total_seconds()
    with _located(settings, "load_shape", options.load_shape):
        rate_segments(load_shape, warm_up_s, duration.total_seconds())
    if options.slo is not None and not faults:
        raise UsageError("--slo is the limit for requests after a fault; schedule one with --faults, or leave it out")
    slo_s, slo_quantile = (None, None) if options.slo is None else _read_slo(options.slo)
    protocol = make_protocol(kind, settings)
    with _located(settings, "repository", options.repository or options.commit or options.binaries):
        source = find_source(
            kind, build, repository, url=options.repository, commit=options.commit, binaries=options.binaries
        )
    supported = bool(protocol.checks)
    return Request(
        protocol=protocol,
        settings=settings,
        loads=loads,
        duration_s=duration.total_seconds(),
        warm_up_s=warm_up_s,
        # A load that changes by design never becomes steady.
        find_warm_up=warm_up is None and load_shape == CONSTANT,
        committee=options.committee,
        dedicated_clients=settings.dedicated_clients if dedicated is None else dedicated,
        load_shape=load_shape,
        phases=phases,
        faults=faults,
        slo_s=slo_s,
        slo_quantile=slo_quantile,
        snapshot=options.snapshot,
        verify=bool(faults) and supported if options.verify is None else options.verify,
        name=options.name,
        results_dir=results_dir,
        build=build,
        source=source,
    )


@contextmanager
def _located(settings: Settings, field: str, option: object) -> Iterator[None]:
    """Add where the settings have a field to an error about it, unless an option replaces the field."""
    try:
        yield
    except UsageError as error:
        if option is not None or split_place(str(error))[0]:
            raise
        raise type(error)(settings.located(str(error), field)) from None


def _require_intervals(duration: timedelta, scrape_interval: timedelta) -> None:
    if duration < LEAST_INTERVALS * scrape_interval:
        least = format_duration(LEAST_INTERVALS * scrape_interval)
        raise UsageError(
            f"a duration of {format_duration(duration)} is too short to be measured; use at least {least}, "
            f"{LEAST_INTERVALS} scrape intervals of {format_duration(scrape_interval)}"
        )


def _schedule(
    settings: Settings, options: RunOptions
) -> tuple[tuple[PhaseRequest, ...], tuple[FaultRequest, ...], timedelta]:
    """Return phases, faults and the duration of the measured window; UsageError if they contradict each other."""
    duration, phases, faults = options.duration, settings.phases, settings.faults
    files = [load_faults(Path(text)) for text in options.faults if _is_file(text)]
    try:
        inline = [parse_fault(text) for text in options.faults if not _is_file(text)]
    except ValueError as error:
        raise UsageError(f"--faults: {error}") from None
    try:
        given = [tuple(map(parse_phase, options.phases)), *(file.phases for file in files)]
        if found := next(filter(None, given), None):
            phases = found
            duration = total_duration(phases) if duration is None else duration
        duration = settings.benchmark_duration if duration is None else duration
        check_duration(phases, duration, "--duration")
    except ValueError as error:
        raise UsageError(f"--phases: {error}") from None
    try:
        faults = (*inline, *(fault for file in files for fault in file.faults)) if options.faults else faults
        return phases, place_in_phases(faults, phases), duration
    except ValueError as error:
        raise UsageError(str(error)) from None


def _is_file(text: str) -> bool:
    return text.endswith((".yaml", ".yml"))


def _read_slo(text: str) -> tuple[float, float | None]:
    """Read `500ms`, or `p99=500ms`: a latency in s, and the quantile that it limits; UsageError otherwise."""
    quantile, equals, limit = text.rpartition("=")
    try:
        share = float(quantile.removeprefix("p")) / 100 if re.fullmatch(r"p\d{1,2}(\.\d{1,3})?", quantile) else 0.0
        if equals and not share:
            raise ValueError("expected a latency such as 500ms, or a quantile and its limit such as p99=500ms")
        if not (limit_s := parse_duration(limit).total_seconds()):
            raise ValueError("no request takes 0 s; expected a longer duration")
        return limit_s, share or None
    except ValueError as error:
        raise UsageError(f"--slo {text}: {error}") from None


def request_to_dict(request: Request) -> dict[str, JsonValue]:
    """Return a request as JSON values without credentials, to compare it with that of a sweep that is resumed."""
    system, left_out = request.protocol, ("protocol", "results_dir", "settings", "source")
    plain = {
        field.name: getattr(request, field.name) for field in dataclasses.fields(request) if field.name not in left_out
    }
    document: dict[str, JsonValue] = to_jsonable_python(
        {
            **plain,
            "source": describe(request.source),
            "parameters": {
                "settings": redacted(request.settings.model_dump(mode="json", exclude={"token_file", "repository"}))
            },
            "geobench": full_version(),
            "protocol": system.name,
            "definition": system.definition(),
            "node_parameters": redacted(system.node_parameters.model_dump(mode="json")),
            "client_parameters": redacted(system.client_parameters.model_dump(mode="json")),
        }
    )
    return document

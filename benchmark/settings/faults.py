"""A fault as users write it: as text (`crash:leader@60s`) or as fields."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from benchmark.settings.base import SettingsModel
from benchmark.settings.durations import Duration, format_duration
from benchmark.settings.phases import PhaseRequest, require_steps, starts
from benchmark.settings.shares import Share
from benchmark.settings.validation import explain_errors
from benchmark.settings.yaml_files import parse_value

_SPAN = r"(?P<{0}start>[\d.]+\w*)(?:-(?P<{0}end>[\d.]+\w*))?"
_TEXT = re.compile(
    r"(?P<kind>[^:@,]+):(?P<target>[^:@,]+)(?P<more>(?:,[^,@=]+=[^,@]+)*)"
    rf"@(?:{_SPAN.format('')}|(?P<phase>[A-Za-z][\w-]*)(?:\+{_SPAN.format('phase_')})?)"
    r"(?:\s+every\s+(?P<every>\S+))?"
)
_EXPECTED = (
    "KIND:TARGET@START, KIND:TARGET@START-END, KIND:TARGET,NAME=VALUE@START-END every PERIOD, KIND:TARGET@PHASE or "
    "KIND:TARGET@PHASE+START-END"
)


class FaultRequest(SettingsModel):
    """A fault to inject. Times count from the start of the measured window, or of a phase."""

    kind: str
    """Kind of the fault, such as `crash`; docs/faults.md lists all."""
    target: str
    """Nodes that it affects: `one`, `minority`, `majority`, `max_faulty`, `all`, `leader`, `followers`, a number of
    nodes, or regions and names of nodes or hosts joined by `+`. Partitions also accept `halves` and `bridge`."""
    phase: str | None = None
    """Phase from whose start times count; there is a fault in each phase of this name. Without times, the fault lasts
    as long as the phase."""
    start: Duration = timedelta(0)
    """When it begins; required without a phase."""
    end: Duration | None = None
    """When it is healed; without one, it stays until the end of the run."""
    every: Duration | None = None
    """Period after which it is repeated, as often as it ends within the measured window."""
    spare: tuple[str, ...] = ()
    """Regions whose nodes are not chosen."""
    seed: int | None = Field(default=None, ge=0, lt=2**32)
    """Seed of the choice of nodes; by default a random one. The results record it."""
    parameters: dict[str, str | int | float | bool] = {}
    """Parameters of the kind, such as `share` of `loss`."""

    @model_validator(mode="after")
    def _goes_on(self) -> FaultRequest:
        if self.phase is None and "start" not in self.model_fields_set:
            raise ValueError(f"{self.kind}:{self.target} has no start; write a time, or a phase")
        if self.phase is not None and self.every is not None:
            raise ValueError(f"{self.kind}:{self.target} is in a phase, so it cannot be repeated; omit `every`")
        if self.every is not None and not self.every:
            raise ValueError(f"{self.kind}:{self.target} is repeated every 0s; write a longer period")
        if self.end is not None and self.end <= self.start:
            raise ValueError(
                f"{self.kind}:{self.target} begins at {format_duration(self.start)} and ends at "
                f"{format_duration(self.end)}; write an end after the start"
            )
        return self


class Recovery(SettingsModel):
    """When a system counts as recovered from a fault: for a while, it must be as before the fault."""

    within: Share = 0.1
    """By which share the completed rate and the p99 may differ from those before the fault: `10%` or 0.1."""
    steady: Duration = Field(default=timedelta(seconds=2), ge=timedelta(milliseconds=100), le=timedelta(hours=1))
    """For how long they must not differ by more, in steps of 100 ms."""

    @field_validator("steady")
    @classmethod
    def _on_grid(cls, value: timedelta) -> timedelta:
        return require_steps(value)


def _read(value: object) -> object:
    return parse_fault(value) if isinstance(value, str) else value


Fault = Annotated[FaultRequest, BeforeValidator(_read, json_schema_input_type=str | FaultRequest)]
"""A fault as text or as fields."""


def parse_fault(text: str) -> FaultRequest:
    """Read a fault from a text; ValueError if it is none.

    `NAME=VALUE` sets `seed`, `spare` (regions joined by `+`) or a parameter of the kind.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"found {text!r}, expected {_EXPECTED}")
    pairs = [pair.partition("=")[::2] for pair in found["more"].split(",")[1:]]
    named = {name.strip(): value.strip() for name, value in pairs}
    groups = {name: text.strip() for name, text in found.groupdict().items() if text and name != "more"}
    fields: dict[str, object] = {name.removeprefix("phase_"): text for name, text in groups.items()}
    if spare := named.pop("spare", None):
        fields["spare"] = spare.split("+")
    if seed := named.pop("seed", None):
        fields["seed"] = seed
    fields["parameters"] = {name: parse_value(value, f"{text}: {name}") for name, value in named.items()}
    try:
        return FaultRequest.model_validate(fields)
    except ValidationError as error:
        raise ValueError(f"{text}: {explain_errors(error, FaultRequest)[0].message}") from None


def place_in_phases(faults: Sequence[FaultRequest], phases: Sequence[PhaseRequest]) -> tuple[FaultRequest, ...]:
    """Return faults whose times all count from the start of the measured window, one for each phase that one names.

    ValueError if there is no such phase, or a fault begins or ends after it.
    """
    placed = []
    for fault in faults:
        if fault.phase is None:
            placed.append(fault)
            continue
        name, found = f"fault {fault.kind}:{fault.target}", False
        for begins, phase in zip(starts(phases), phases, strict=True):
            if phase.name != fault.phase:
                continue
            found, end = True, phase.duration if fault.end is None and not fault.start else fault.end
            if fault.start >= phase.duration or (end is not None and end > phase.duration):
                late = fault.start if fault.start >= phase.duration else end
                raise ValueError(
                    f"{name}: {format_duration(late or fault.start)} after its start the phase {phase} is over; write "
                    "an earlier time"
                )
            times = {"phase": None, "start": begins + fault.start, "end": None if end is None else begins + end}
            placed.append(fault.model_copy(update=times))
        if not found:
            known = ", ".join(dict.fromkeys(phase.name for phase in phases)) or "none; write `phases`"
            raise ValueError(f"{name}: there is no phase {fault.phase!r}; known are: {known}")
    return tuple(placed)

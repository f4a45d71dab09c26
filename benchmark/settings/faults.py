"""A fault as users write it: as text (`crash:leader@60s`) or as fields."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from benchmark.settings.base import SettingsModel
from benchmark.settings.durations import Duration, format_duration
from benchmark.settings.validation import explain_errors
from benchmark.settings.yaml_files import parse_value

_TEXT = re.compile(
    r"(?P<kind>[^:@,]+):(?P<target>[^:@,]+)(?P<more>(?:,[^,@=]+=[^,@]+)*)"
    r"@(?P<start>[\d.]+\w*)(?:-(?P<end>[\d.]+\w*))?(?:\s+every\s+(?P<every>\S+))?"
)
_EXPECTED = "KIND:TARGET@START, KIND:TARGET@START-END or KIND:TARGET,NAME=VALUE@START-END every PERIOD"


class FaultRequest(SettingsModel):
    """A fault to inject. Times count from the start of the measured window."""

    kind: str
    """Kind of the fault, such as `crash`; docs/faults.md lists all."""
    target: str
    """Nodes that it affects: `one`, `minority`, `majority`, `max_faulty`, `all`, `leader`, `followers`, a number of
    nodes, or regions and names of nodes or hosts joined by `+`. Partitions also accept `halves`."""
    start: Duration
    """When it begins."""
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
        if self.every is not None and not self.every:
            raise ValueError(f"{self.kind}:{self.target} is repeated every 0s; write a longer period")
        if self.end is not None and self.end <= self.start:
            raise ValueError(
                f"{self.kind}:{self.target} begins at {format_duration(self.start)} and ends at "
                f"{format_duration(self.end)}; write an end after the start"
            )
        return self


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
    fields: dict[str, object] = {
        name: found[name].strip() for name in ("kind", "target", "start", "end", "every") if found[name]
    }
    if spare := named.pop("spare", None):
        fields["spare"] = spare.split("+")
    if seed := named.pop("seed", None):
        fields["seed"] = seed
    fields["parameters"] = {name: parse_value(value, f"{text}: {name}") for name, value in named.items()}
    try:
        return FaultRequest.model_validate(fields)
    except ValidationError as error:
        raise ValueError(f"{text}: {explain_errors(error, FaultRequest)[0].message}") from None

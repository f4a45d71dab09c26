"""Phases of a run as users write them: as text (`attack 60s`) or as fields."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from benchmark.settings.base import SettingsModel
from benchmark.settings.durations import Duration, format_duration
from benchmark.settings.validation import explain_errors, pattern

_TEXT = re.compile(r"(?P<name>[^\s:]+)(?:\s*:\s*|\s+)(?P<duration>[\d.]+\s*\w*)")
_EXPECTED = "NAME DURATION, such as `attack 60s`"
_NAME = pattern(r"^[A-Za-z][\w-]{0,30}$", "a name of letters, digits, '_' and '-' that begins with a letter")
_STEP_S = 0.1


def require_steps(value: timedelta) -> timedelta:
    """Return a duration that is a multiple of the intervals in which requests are counted; ValueError for others."""
    steps = value.total_seconds() / _STEP_S
    if abs(steps - round(steps)) > 1e-6:
        raise ValueError(f"{format_duration(value)} is no multiple of 100ms, in which requests are counted")
    return value


class PhaseRequest(SettingsModel):
    """A part of the measured window that has statistics of its own."""

    name: str = Field(pattern=_NAME)
    """Name of your choice; several phases can have the same."""
    duration: Duration = Field(ge=timedelta(seconds=1))
    """How long it lasts, in steps of 100 ms; the phases together fill the measured window."""

    @field_validator("duration")
    @classmethod
    def _on_grid(cls, value: timedelta) -> timedelta:
        return require_steps(value)

    def __str__(self) -> str:
        return f"{self.name} {format_duration(self.duration)}"


def parse_phase(text: str) -> PhaseRequest:
    """Read a phase from a text such as `attack 60s` or `attack:60s`; ValueError if it is none."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"found {text!r}, expected {_EXPECTED}")
    try:
        return PhaseRequest.model_validate(found.groupdict())
    except ValidationError as error:
        raise ValueError(f"{text}: {explain_errors(error, PhaseRequest)[0].message}") from None


def _read(value: object) -> object:
    return parse_phase(value) if isinstance(value, str) else value


Phase = Annotated[PhaseRequest, BeforeValidator(_read, json_schema_input_type=str | PhaseRequest)]
"""A phase as text or as fields."""


def total_duration(phases: Sequence[PhaseRequest]) -> timedelta:
    """Return how long phases last together."""
    return sum((phase.duration for phase in phases), timedelta(0))


def check_duration(phases: Sequence[PhaseRequest], duration: timedelta, name: str) -> None:
    """Raise ValueError unless the phases fill a window of this duration; `name` is what users call that."""
    total = total_duration(phases)
    if phases and not math.isclose(total.total_seconds(), duration.total_seconds(), abs_tol=1e-6):
        raise ValueError(
            f"the phases last {format_duration(total)} together ({', '.join(map(str, phases))}), but {name} is "
            f"{format_duration(duration)}; change one of them, or omit {name}"
        )


def starts(phases: Sequence[PhaseRequest]) -> list[timedelta]:
    """Return when each phase begins, since the start of the measured window."""
    return [total_duration(phases[:index]) for index in range(len(phases))]

"""Parse and format durations such as `90s` or `3m`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S = 36500 * 86400.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")


def parse_duration(value: object) -> timedelta:
    """Parse `90`, `90s`, `3m`, `12h`, `250ms`; a bare number is in seconds; ValueError otherwise."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, dict) and value.keys() == {"secs", "nanos"} and all(type(v) is int for v in value.values()):
        value = value["secs"] + value["nanos"] / 1e9  # as serde writes durations
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        found = _DURATION.fullmatch(str(value).strip())
        if found:
            seconds = float(found[1]) * _UNITS[found[2] or "s"]
            if seconds > _LONGEST_S:
                raise ValueError(f"{str(value)[:40]!r} is longer than {_LONGEST_S / 86400:.0f} days")
            return timedelta(seconds=seconds)
    raise ValueError(f"{value!r} is not a duration; write seconds or a unit: 90, 90s, 3m, 12h, 250ms")


def format_duration(value: timedelta) -> str:
    """Format a duration in the largest unit that gives a whole number, such as `3m`."""
    seconds = value.total_seconds()
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str | float),
    PlainSerializer(format_duration, return_type=str),
    Field(ge=timedelta(0)),
]

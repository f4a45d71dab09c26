"""Types of option values: numbers, durations, loads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

MOST_LOADS = 1000
"""Loads of one command, at most."""
_LOADS = "loads in tx/s, such as 200, 100,200 or FIRST:LAST:STEP"


class NumberType(click.ParamType[int]):
    """A whole number from `minimum` to `maximum`."""

    name = "number"

    def __init__(self, minimum: int | None = None, maximum: int | None = None) -> None:
        self._minimum, self._maximum = minimum, maximum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a number; click's usage error states what is accepted."""
        try:
            found = int(value)
        except ValueError:
            self.fail(f"found {value!r}, expected a whole number", param, ctx)
        if self._minimum is not None and found < self._minimum:
            self.fail(f"found {found}, expected at least {self._minimum}", param, ctx)
        if self._maximum is not None and found > self._maximum:
            self.fail(f"found {found}, expected at most {self._maximum}", param, ctx)
        return found


class DurationType(click.ParamType[timedelta]):
    """A duration such as 90, 90s, 3m or 12h."""

    name = "duration"

    def __init__(self, minimum: timedelta = timedelta(0)) -> None:
        self._minimum = minimum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Parse a duration; click's usage error lists the accepted values."""
        from benchmark.settings import format_duration, parse_duration  # commands without a duration start sooner

        try:
            found = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if found < self._minimum:
            self.fail(f"found {value}, expected at least {format_duration(self._minimum)}", param, ctx)
        return found


class LoadsType(click.ParamType[tuple[int, ...]]):
    """Loads in tx/s: one, several joined by commas, or a range."""

    name = "loads"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Parse loads; click's usage error states what is accepted."""
        try:
            return parse_loads(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_loads(text: str) -> tuple[int, ...]:
    """Read `200`, `100,200` or `100:1000:100`, whose last load is included; ValueError states what is accepted."""
    found: list[int] = []
    for part in text.split(","):
        words = [word.strip() for word in part.split(":")]
        if len(words) not in (1, 3) or not all(word.isascii() and word.isdecimal() for word in words):
            raise ValueError(f"found {text!r}, expected {_LOADS}")
        first, last, step = map(int, words) if len(words) == 3 else (int(words[0]), int(words[0]), 1)
        if first < 1 or step < 1:
            raise ValueError(f"found {part.strip()!r}, expected at least 1")
        if last < first:
            raise ValueError(f"found {part.strip()!r}, whose last load is lower than its first")
        if len(found) + (last - first) // step >= MOST_LOADS:
            raise ValueError(f"found {text!r}, expected at most {MOST_LOADS} loads")
        found += range(first, last + 1, step)
    return tuple(found)

"""Numbers and texts as a report writes them: three significant digits and units."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # lists of results format numbers, and need no pydantic
    from benchmark.measure.run_metrics import Quantile

NONE = "\N{EN DASH}"
_FACTOR = 2.0
"""Relative difference from which it is written as a factor."""
_EXACT = 0.002
"""Width of a bucket, as a share of its bound, up to which a quantile is written without its bounds."""


def rate(value: float | None) -> str:
    """Return tx/s: `50.0`, `1234`."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}".replace(",", "\N{THIN SPACE}")


def duration(seconds: float | None) -> str:
    """Return a latency with its unit: `135 ms`, `1.53 s`, `82 µs`."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    scale, unit = _unit(seconds)
    return f"{_digits(seconds / scale)}\N{NO-BREAK SPACE}{unit}"


def error(half: float | None, value: float) -> str:
    """Return half of the interval of a latency in the unit of its `value`: two significant digits."""
    if half is None or not math.isfinite(half):
        return NONE
    scale, unit = _unit(value)
    return f"{_digits(half / scale, 2)}\N{NO-BREAK SPACE}{unit}"


def with_error(value: float, half: float) -> tuple[str, str]:
    """Return a latency and half of its interval to the digit that the interval allows: `150.2 ms`, `0.7 ms`."""
    scale, unit = _unit(value)
    if not half or not math.isfinite(half):
        return duration(value), error(half, value)
    width = half / scale
    power = math.floor(math.log10(width))
    places = max(0, -power + (width / 10.0**power < 2))  # `1.2`, but `3`
    shown, error_shown = (f"{each / scale:.{places}f}\N{NO-BREAK SPACE}{unit}" for each in (value, half))
    return shown, error_shown


def bounds(quantile: Quantile | None) -> str:
    """Return the interval that holds a quantile, in one unit if possible: `125–160 ms`, `135 ms`, `more than 10 s`."""  # noqa: RUF002
    if quantile is None:
        return "unknown"
    if quantile.upper is None:
        return f"more than {duration(quantile.lower)}"
    low, low_unit = duration(quantile.lower).split("\N{NO-BREAK SPACE}")
    high, high_unit = duration(quantile.upper).split("\N{NO-BREAK SPACE}")
    shared = low_unit == high_unit
    if shared and low == high:
        return f"{high}\N{NO-BREAK SPACE}{high_unit}"
    return f"{low if shared else duration(quantile.lower)}\N{EN DASH}{high}\N{NO-BREAK SPACE}{high_unit}"


def quantile(found: Quantile | None) -> str:
    """Return the estimate of a quantile, or the bound it exceeds: `135 ms`, `> 5 s`; a dash if that is 0."""
    if found is None or (found.upper is None and not found.lower):
        return NONE
    return duration(found.estimate) if found.upper is not None else f">\N{NO-BREAK SPACE}{duration(found.lower)}"


def remark(found: Quantile | None) -> str:
    """Return the bounds of a quantile as a remark beside it; empty where they differ by less than the digits show."""
    exact = found is not None and found.upper is not None and found.upper - found.lower <= _EXACT * found.upper
    return "" if exact else bounds(found)


def interval(lower: float, upper: float | None, value: float) -> str:
    """Return bounds of a latency in the unit in which `duration` writes its `value`: `125–160` beside `135 ms`."""  # noqa: RUF002
    scale, _ = _unit(value)
    return f"{_digits(lower / scale)}\N{EN DASH}{'∞' if upper is None else _digits(upper / scale)}"


def size(count: float | None) -> str:
    """Return bytes with a decimal unit: `1.2 MB`."""
    if count is None:
        return NONE
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(count) >= scale:
            return f"{_digits(count / scale)}\N{NO-BREAK SPACE}{unit}"
    return f"{count:.0f}\N{NO-BREAK SPACE}B"


def share(value: float | None) -> str:
    """Return a share as a percentage."""
    return NONE if value is None else f"{value * 100:.0f}\N{NO-BREAK SPACE}%"


def change(relative: float) -> str:
    """Return a relative difference as a percentage with its sign, or as a factor if it is large."""
    if relative >= _FACTOR:
        return f"{1 + relative:.3g}\N{NO-BREAK SPACE}times"
    return f"{relative * 100:+.1f}\N{NO-BREAK SPACE}%"


def change_interval(lower: float, upper: float) -> str:
    """Return the bounds of a relative difference with one unit if they share it: `+8.1 to +10.7 %`."""
    return f"{f'{lower * 100:+.1f}' if upper < _FACTOR else change(lower)} to {change(upper)}"


def tenths(value: float) -> str:
    """Return a share as a percentage to a tenth, rounded down: a value below a limit is never shown as meeting it."""
    return f"{math.floor(round(value * 1000, 6)) / 10:g}\N{NO-BREAK SPACE}%"


def moment(unix: float | None) -> str:
    """Return a time in UTC, to the second."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if unix else NONE


def plain(text: str) -> str:
    """Return a number in ASCII, for terminals: other programs read and people copy it."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{THIN SPACE}", "").replace("\N{EN DASH}", "-")


def version(commit: str) -> str:
    """Return a commit as it is read aloud: a hash by its first 12 characters, a version whole."""
    return commit[:12] if re.fullmatch(r"[0-9a-f]{16,64}", commit) else commit


def _unit(seconds: float) -> tuple[float, str]:
    units = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
    return next((each for each in units if abs(seconds) >= each[0]), units[-1] if seconds else units[0])


def _digits(value: float, count: int = 3) -> str:
    """Write `count` significant digits without an exponent, no zeros at the end."""
    if value == 0:
        return "0"
    places = max(0, count - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

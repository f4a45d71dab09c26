"""Format numbers as reports do, in ASCII."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.report import formatting

if TYPE_CHECKING:  # it imports numpy, which would make `results` slow
    from benchmark.compare.statistics import Interval

NONE = "-"
"""An unknown value; never 0."""


def rate(value: float | None) -> str:
    """Format tx/s: `50.0`, `1234`."""
    return formatting.plain(formatting.rate(value))


def latency(seconds: float | None) -> str:
    """Format a latency: `135 ms`, `1.53 s`."""
    return formatting.plain(formatting.duration(seconds))


def latency_interval(value: float, lower: float, upper: float | None) -> str:
    """Format a latency and below it its bounds, in the same unit: `135 ms`, `(125-160)`."""
    return f"{latency(value)}\n({formatting.plain(formatting.interval(lower, upper, value))})"


def share(value: float) -> str:
    """Format a share: `98 %`."""
    return formatting.plain(formatting.share(value))


def tenths(value: float) -> str:
    """Format a share to a tenth of a percent, rounded down: `99.9 %`."""
    return formatting.plain(formatting.tenths(value))


def change(relative: float) -> str:
    """Format a relative difference: `+2.1 %`, `3.2 times`."""
    return formatting.plain(formatting.change(relative))


def estimate(interval: Interval, unit: str) -> str:
    """Format an estimate in tx/s or s, and below it its confidence interval if there is one."""
    value, low, high = interval.estimate, interval.lower, interval.upper
    if low is None or high is None:
        return latency(value) if unit == "s" else rate(value)
    return latency_interval(value, low, high) if unit == "s" else f"{rate(value)}\n({rate(low)}-{rate(high)})"


def relative_estimate(interval: Interval | None) -> str:
    """Format a relative difference, and below it its confidence interval if there is one."""
    if interval is None:
        return NONE
    text = change(interval.estimate)
    if interval.lower is None or interval.upper is None or interval.confidence == 0:
        return text
    return f"{text}\n({formatting.plain(formatting.change_interval(interval.lower, interval.upper))})"

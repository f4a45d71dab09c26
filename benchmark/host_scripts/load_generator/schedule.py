"""Compute when requests are due."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from math import inf, sqrt


class Schedule:
    """Due times of requests for a rate that is constant or changes linearly within each segment.

    A segment is (start in s, rate there in 1/s, rate at its end); the first starts at 0, the last never ends. The load
    until t is the integral of the rate, and request n is due when it reaches n + phase. The phase is what the mean rate
    of the first segment with any load delivers in `offset_s`. It is the same in all segments, so clients with equal
    segments and offsets i / (sum of rates) stay interleaved. Nothing is added up per request, so nothing drifts.
    """

    def __init__(self, segments: list[tuple[float, float, float]], offset_s: float) -> None:
        self._starts = [start for start, _, _ in segments]
        lengths = [end - start for start, end in pairwise([*self._starts, inf])]
        loads = [(low + high) / 2 * length for (_, low, high), length in zip(segments[:-1], lengths, strict=False)]
        self._before = list(accumulate(loads, initial=0.0))
        self._rates = [(low, (high - low) / length) for (_, low, high), length in zip(segments, lengths, strict=True)]
        self._phase = offset_s * next(((low + high) / 2 for _, low, high in segments if low + high), 0.0)

    def due(self, n: int) -> float:
        """Return when request n, counted from 0, is due, in seconds after the start; inf if never."""
        load = n + self._phase
        segment = bisect_right(self._before, load) - 1
        rate, slope = self._rates[segment]
        # The root of load = rate t + slope t^2 / 2, in the form that is accurate for any slope and valid for slope 0.
        load -= self._before[segment]
        speed = rate + sqrt(max(0.0, rate * rate + 2 * slope * load))
        return self._starts[segment] + 2 * load / speed if speed else (inf if not slope else self._starts[segment])

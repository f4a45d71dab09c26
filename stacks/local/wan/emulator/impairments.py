"""What a link does to packets beside a fixed delay: jitter, loss, a limited rate, delays that change over time."""

from __future__ import annotations

import json
import math
import random
from array import array
from bisect import bisect_right
from pathlib import Path

SHAPE = 5.0
"""Shape of the Pareto distribution: the smallest whole number for which the deviation of a sample converges fast, as
the fourth moment is finite."""
JITTER_HOLD = 10.0
"""A link draws new jitter after this many standard deviations. Drawn for every packet, jitter that keeps packets in
order would turn into the running maximum of the draws; with this, a dense stream is delayed by 5 % of them longer."""
QUEUE_S = 0.1
"""Buffer before a limited rate, in seconds of the rate."""
SEGMENT = 65536
"""Bytes of the largest TCP segment, which must fit any buffer."""

_PARETO_MEAN = SHAPE / (SHAPE - 1)
_PARETO_STDEV = math.sqrt(SHAPE / (SHAPE - 2)) / (SHAPE - 1)


class Jitter:
    """Random changes of a delay with mean 0 and standard deviation `stdev` (s)."""

    def __init__(self, stdev: float, distribution: str, reorder: bool) -> None:
        self.stdev, self.pareto, self.reorder = stdev, distribution == "pareto", reorder
        self._hold = JITTER_HOLD * stdev
        self._shift = self._until = 0.0

    def draw(self) -> float:
        """Return a new value in s."""
        if self.pareto:
            return (random.paretovariate(SHAPE) - _PARETO_MEAN) / _PARETO_STDEV * self.stdev
        return random.gauss(0.0, self.stdev)

    def held(self, sent: float) -> float:
        """Return the value at time `sent`, which stays long enough for packets to keep their order."""
        if sent >= self._until:
            self._shift = self.draw()
            self._until = sent + self._hold
        return self._shift


class Loss:
    """Loses `share` of the packets in bursts of `mean_burst` packets (Gilbert 1960), or independently if that is 1."""

    def __init__(self, share: float, mean_burst: float) -> None:
        self.share, self.bursts = share, mean_burst != 1.0
        self._ends, self._begins = 1 / mean_burst, share / (mean_burst * (1 - share))
        self._lost = random.random() < share

    def loses(self) -> bool:
        """Return whether the next packet is lost."""
        if not self.bursts:
            return random.random() < self.share
        if self._lost:
            self._lost = random.random() >= self._ends
        else:
            self._lost = random.random() < self._begins
        return self._lost


class Pacer:
    """Sends packets one after the other at `rate` bytes/s."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._longest = max(QUEUE_S, SEGMENT / rate)
        self._free_at = 0.0

    def departure(self, now: float, size: int) -> float | None:
        """Return when the last byte of a packet that arrives at `now` has left; None if the buffer is full."""
        start = max(self._free_at, now)
        if start - now > self._longest:
            return None
        self._free_at = start + size / self.rate
        return self._free_at


class Trace:
    """Delays (s) that apply from `times` (s) on, repeated every `period` seconds since `start` on the monotonic clock.

    The first delay also applies before its time.
    """

    def __init__(self, start: float, period: float, times: array[float], delays: array[float]) -> None:
        self._start, self._period, self._times, self._delays = start, period, times, delays

    def at(self, now: float) -> tuple[float, float]:
        """Return the delay at `now`, and until when it applies."""
        rounds, position = divmod(now - self._start, self._period)
        after = bisect_right(self._times, position)
        until = self._times[after] if after < len(self._times) else self._period
        return self._delays[max(after - 1, 0)], self._start + rounds * self._period + until


def read_traces(file: Path) -> dict[str, Trace]:
    """Read the trace of each direction from a file of `WideAreaNetwork`.

    Its first line is JSON with `start`, `period` and the number of values of each direction, `counts`. Doubles follow
    as the machine stores them: for each direction its times, then its delays.
    """
    traces = {}
    with file.open("rb") as content:
        head = json.loads(content.readline())
        for direction, count in head["counts"].items():
            times, delays = array("d"), array("d")
            times.frombytes(content.read(8 * count))
            delays.frombytes(content.read(8 * count))
            traces[direction] = Trace(head["start"], head["period"], times, delays)
    return traces

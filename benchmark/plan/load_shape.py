"""How the load changes over a run, as shares of the requested load.

The requested load is the peak of every shape. A shape begins with the measured window; the warm-up before it has the
load that the shape begins with.
"""

from __future__ import annotations

import csv
import math
import re
from itertools import pairwise
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.protocols.process import RateSegments

CONSTANT = "constant"
_ACCEPTED = f"{CONSTANT}, ramp, ramp:SHARE, steps:NUMBER or a CSV file of rates"
_RAMP_START = 0.1


def rate_segments(shape: str, warm_up_s: float, duration_s: float) -> RateSegments:
    """Return the segments of a load shape for a window of `duration_s`; none if it is constant.

    `ramp` increases evenly from a tenth of the load (`ramp:SHARE`: from that share) to all of it; `steps:N` goes up in
    N equal steps of equal length; a CSV file has lines `SECONDS,RATE`, and each rate holds until the next line. Its
    rates are scaled so that the highest is the requested load. UsageError for anything else.
    """
    if shape == CONSTANT:
        return ()
    if found := re.fullmatch(r"ramp(?::(0(?:\.\d+)?))?", shape):
        begin = float(found[1]) if found[1] else _RAMP_START
        segments = [(0.0, begin, 1.0), (duration_s, 1.0, 1.0)]
    elif found := re.fullmatch(r"steps:([1-9]\d{0,3})", shape):
        count = int(found[1])
        shares = [(index + 1) / count for index in range(count)]
        segments = [(index * duration_s / count, share, share) for index, share in enumerate(shares)]
    elif shape.endswith(".csv"):
        segments = _read_rates(Path(shape))
    else:
        raise UsageError(f"load shape: found {shape!r}, expected {_ACCEPTED}")
    first = segments[0][1]
    warm_up = [(0.0, first, first)] if warm_up_s > 0 else []
    return (*warm_up, *((start + warm_up_s, low, high) for start, low, high in segments))


def scheduled_share(segments: RateSegments, start: float, end: float) -> float:
    """Return the seconds at full load that are scheduled between two times, in s since the load began.

    That times the rate at full load is the number of requests that fall due; without segments, the load is constant.
    """
    if not segments:
        return end - start
    total = 0.0
    for (begin, low, high), after in zip(segments, [*(each[0] for each in segments[1:]), math.inf], strict=True):
        first, last = max(begin, start), min(after, end)
        if last > first:
            slope = (high - low) / (after - begin)
            total += (last - first) * (low + slope * ((first + last) / 2 - begin))
    return total


def _read_rates(path: Path) -> list[tuple[float, float, float]]:
    """Read lines of seconds and rate; the first line may be a heading, `#` begins a comment."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # spreadsheets write a byte order mark
    except OSError as error:
        raise UsageError(f"cannot read the load shape {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"cannot read the load shape {path}: it is not a text file in UTF-8") from None
    rates: list[tuple[float, float]] = []
    for number, words in enumerate(csv.reader(lines), 1):
        if not words or words[0].lstrip().startswith("#"):
            continue
        try:
            seconds, rate = map(float, words)
        except ValueError:
            if number == 1:
                continue
            raise UsageError(f"{path}, line {number}: found {','.join(words)!r}, expected SECONDS,RATE") from None
        if not (0 <= seconds < float("inf") and 0 <= rate < float("inf")):
            raise UsageError(f"{path}, line {number}: seconds and rates must be finite and not negative")
        rates.append((seconds, rate))
    highest = max((rate for _, rate in rates), default=0.0)
    if not highest or rates[0][0] != 0 or any(a >= b for (a, _), (b, _) in pairwise(rates)):
        raise UsageError(f"{path}: expected lines SECONDS,RATE with seconds that increase from 0, and a rate above 0")
    return [(seconds, rate / highest, rate / highest) for seconds, rate in rates]

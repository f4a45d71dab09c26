"""How the offered load changes over a run: its shape, as shares of the load that was asked for.

The load asked for is always the highest that a profile reaches. A profile begins with the measured window; during the
warm-up before it the load is what it begins with.
"""

from __future__ import annotations

import csv
import re
from itertools import pairwise
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.protocols.process import Pieces

ACCEPTED = "constant, ramp, ramp:SHARE, steps:NUMBER or a CSV file of rates"
_RAMP_FROM = 0.1


def load_profile(text: str, warm_up_s: float, duration_s: float) -> Pieces:
    """Return the pieces of the profile that `text` describes, for a window of `duration_s`; none if it is constant.

    `ramp` grows evenly from a tenth of the load (`ramp:SHARE`: from that share) to all of it; `steps:N` goes up in N
    equal steps of equal length; a file has lines `SECONDS,RATE`, and each rate holds until the next line. Its rates
    are scaled so that the highest is the load asked for. UsageError says what was found and what is accepted.
    """
    if text == "constant":
        return ()
    if found := re.fullmatch(r"ramp(?::(0(?:\.\d+)?))?", text):
        begin = float(found[1]) if found[1] else _RAMP_FROM
        return _after(warm_up_s, [(0.0, begin, 1.0), (duration_s, 1.0, 1.0)])
    if found := re.fullmatch(r"steps:([1-9]\d{0,3})", text):
        count = int(found[1])
        steps = [((index + 1) / count, index * duration_s / count) for index in range(count)]
        return _after(warm_up_s, [(start, share, share) for share, start in steps])
    if text.endswith(".csv"):
        return _after(warm_up_s, _replayed(Path(text)))
    raise UsageError(f"profile: found {text!r}, expected {ACCEPTED}")


def _after(warm_up_s: float, pieces: list[tuple[float, float, float]]) -> Pieces:
    """Begin `pieces` after the warm-up, which has the load they begin with."""
    moved = [(start + warm_up_s, low, high) for start, low, high in pieces]
    return tuple([(0.0, pieces[0][1], pieces[0][1])] * (warm_up_s > 0) + moved)


def _replayed(path: Path) -> list[tuple[float, float, float]]:
    """Read lines of seconds and rate; a first line that is no numbers is a heading, `#` begins a comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the profile {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"cannot read the profile {path}: it is not a text file in UTF-8") from None
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
            raise UsageError(f"{path}, line {number}: seconds and rates are finite and not below 0")
        rates.append((seconds, rate))
    highest = max((rate for _, rate in rates), default=0.0)
    if not highest or rates[0][0] != 0 or any(a >= b for (a, _), (b, _) in pairwise(rates)):
        raise UsageError(f"{path}: expected lines SECONDS,RATE that begin at second 0 and grow, and a rate above 0")
    return [(seconds, rate / highest, rate / highest) for seconds, rate in rates]

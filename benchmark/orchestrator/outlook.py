"""Which run of a command comes next, and when the last one is expected to end: for display."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

OVERHEAD_S = 10.0
"""Expected time of a run beyond its load, until one has been measured."""


@dataclass(frozen=True)
class Position:
    """A run among those of its command."""

    number: int = 1
    runs: int | None = 1
    """Null if it is not known before, as in a search."""
    later_s: tuple[float, ...] = ()
    """Duration of the load of each later run."""


def estimated_end(now: float, load_s: float, position: Position, overheads_s: list[float]) -> float | None:
    """Return when the last run will have ended, unix s; None if the number of runs is unknown.

    `load_s` is the duration of the load of the current run, `overheads_s` are what earlier runs took beyond theirs.
    """
    if position.runs is None:
        return None
    overhead = fmean(overheads_s) if overheads_s else OVERHEAD_S
    return now + sum(each + overhead for each in (load_s, *position.later_s))

"""How precise the mean of one run is: batch means.

The window is cut into ten batches of equal length, whose means are nearly independent where a batch is long against
the time for which the system remembers; Student's t over them gives the interval (Schmeiser, "Batch size effects in
the analysis of simulation output", Operations Research 30(3), 1982, who advises 10 to 30 batches).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmark.measure.histogram import Array
from benchmark.measure.timeline import Timeline

BATCHES = 10
# Quantile 0.975 of Student's t with BATCHES - 1 degrees of freedom.
STUDENT_T = 2.262


@dataclass(frozen=True)
class Precision:
    """Half of the 95 % confidence interval of a run's throughput (tx/s) and mean latency (s); None: not known."""

    completed_tps: float | None = None
    mean_s: float | None = None


def precision(window: Timeline | None) -> Precision:
    """Return how precise the means of a measured window are; nothing is known from fewer than ten intervals."""
    if window is None or len(window.completed_tps) < BATCHES:
        return Precision()
    width = np.diff(window.edges)
    batch = np.arange(len(width)) * BATCHES // len(width)
    seconds = np.bincount(batch, weights=width)
    completed = np.bincount(batch, weights=window.completed_tps * width)
    # The mean latency is over all requests, also those that failed.
    counts = (window.completed_tps + np.nan_to_num(window.errors_tps)) * width
    per_batch = np.bincount(batch, weights=counts)
    sums = np.bincount(batch, weights=np.where(counts > 0, window.mean_s, 0.0) * counts)
    means = sums / per_batch if (per_batch > 0).all() and np.isfinite(sums).all() else None
    return Precision(_half_width(completed / seconds), None if means is None else _half_width(means))


def _half_width(values: Array) -> float:
    return STUDENT_T * float(np.std(values, ddof=1)) / math.sqrt(len(values))

"""Detect the steady part of a run with MSER-5, for runs without a given warm-up.

K. P. White, "An effective truncation heuristic for bias reduction in simulation output", Simulation 69(6), 1997;
W. W. Franklin and K. P. White, "Stationarity tests and MSER-5", Winter Simulation Conference, 2008;
K. Hoad, S. Robinson and R. Davies, "Automating warm-up length estimation", J. Oper. Res. Soc. 61(9), 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.measure.client_logs import ClientLog, log_timeline
from benchmark.measure.histogram import Array
from benchmark.measure.scrapes import RunSamples
from benchmark.measure.timeline import Timeline, make_timeline
from benchmark.metrics.names import LOAD_GENERATOR, MetricNames
from benchmark.model import Finite, StrictModel

BATCH = 5
# Below this many observations, batches of five leave too few means to choose from: MSER of single ones then.
FEW = 100
# Hoad et al.: the error of the last few means is small by chance, so no truncation may leave fewer.
LEAST_LEFT = 5


class WarmUp(StrictModel):
    """What was cut from the beginning of a run."""

    seconds: Finite
    """Time under load before the measured window."""
    method: str
    """How the window's start was chosen."""
    converged: bool = True
    """False where no steady state was detected."""


@dataclass(frozen=True)
class Steady:
    """The part of a run without warm-up and cool-down, unix s."""

    start: float
    end: float
    converged: bool
    """False if the first half has no end of the warm-up: the run was too short or never steady."""
    method: str
    """How it was detected, for the report."""


def truncation(values: Array) -> int | None:
    """Return how many leading observations of `values` belong to the warm-up; None if the rest is not steady.

    MSER-5 chooses the number d, a multiple of 5, that minimises the squared standard error of the mean of the rest,
    sum((Y - mean(Y))²) / (n - d)² over the means Y of batches of 5 (of 1 below 100 observations). A d beyond half of
    the observations means that no steady state was reached.
    """
    size = BATCH if len(values) >= FEW else 1
    batches = len(values) // size
    if batches < 2 * LEAST_LEFT:
        return None
    # Observations at the end that do not fill a batch are left out.
    means = values[: batches * size].reshape(batches, size).mean(axis=1)
    left = np.arange(batches, 0, -1, dtype=np.float64)
    centred = means - means.mean()
    sums = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    errors = np.maximum(squares - sums**2 / left, 0.0) / left**2
    best = int(np.argmin(errors[: batches - LEAST_LEFT]))
    return best * size if best <= batches // 2 else None


def steady_window(timeline: Timeline) -> Steady:
    """Return the steady part of a run, given the timeline of all of it.

    The cool-down begins where the load falls below half of its median for good. The window then starts at the later
    of the two ends of the warm-up, in throughput and in mean latency. Without convergence it is the second half.
    """
    edges = timeline.edges
    load = timeline.sent_tps if (timeline.sent_tps > 0).any() else timeline.completed_tps  # it may be NaN
    active = load[load > 0]
    last = int(np.flatnonzero(load >= np.median(active) / 2)[-1]) + 1 if active.size else len(load)
    latency = timeline.successful_mean_s[:last]  # a single timeout would hide the trend
    seen = np.flatnonzero(np.isfinite(latency))
    cuts = [truncation(timeline.completed_tps[:last])]
    if seen.size:
        # Where nothing completed, the latency is interpolated between the intervals around it.
        filled = np.interp(np.arange(seen[0], last), seen, latency[seen])
        cut = truncation(filled)
        cuts.append(None if cut is None else int(seen[0]) + cut)
    found = [cut for cut in cuts if cut is not None]
    converged = len(found) == len(cuts) and bool(timeline.completed_tps[:last].any())
    first = max(found) if converged else last // 2
    size = BATCH if last >= FEW else 1
    method = f"MSER-{size} on throughput and mean latency, {last} intervals of {float(edges[1] - edges[0]):.3g} s"
    return Steady(float(edges[first]), float(edges[last]), converged, method)


def find_window(
    samples: RunSamples,
    begin: float,
    start: float,
    end: float,
    *,
    scrape_interval: float,
    names: MetricNames = LOAD_GENERATOR,
    logs: Sequence[ClientLog] = (),
) -> tuple[float, float, WarmUp]:
    """Return the window to measure of a run under load since `begin`, and how it was chosen (unix s).

    The planned window from `start` to `end` begins later where the run was not steady by then, and ends earlier where
    the load did. Fewer than 10 intervals between samples are too few to detect anything: the window stays as planned.
    Latency logs, where there are any, are used instead of samples, with intervals of the same length; the window then
    begins and ends with an interval of the logs.
    """
    clients = samples.targets(names.job, names.counters)
    timeline = make_timeline(clients, begin, end, step=scrape_interval, names=names)
    if logs:
        timeline = log_timeline(logs, begin, end, scrape_interval, quantiles=False)
    intervals = 0 if timeline is None else len(timeline.completed_tps)
    if timeline is None or intervals < 2 * LEAST_LEFT:
        method = f"fixed: {intervals} intervals between samples are too few to detect it, {2 * LEAST_LEFT} are needed"
        return start, end, WarmUp(seconds=start - begin, method=method, converged=False)
    steady = steady_window(timeline)
    first = max(start, steady.start)
    last = steady.end if steady.end < end - 2 * scrape_interval else end
    method = f"{steady.method}: no steady state in the first half, so that half is cut"
    if steady.converged:
        method = f"{steady.method}: steady after {steady.start - begin:.1f} s, at least {start - begin:.1f} s are cut"
    return first, last, WarmUp(seconds=first - begin, method=method, converged=steady.converged)

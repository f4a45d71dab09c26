"""Describe a measured network: statistics of each link, and the files with which a local testbed replays it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from benchmark.settings import Jitter, Link, Loss, Matrix, RoundTrip
from benchmark.testbed.round_trips import RoundTrips, Sample

_LEAST_JITTER_MS = 0.05
"""Standard deviation that hosts add themselves; smaller ones are taken for it."""
_SKEWED = 1.0
"""Skewness above which the long tail of late answers makes jitter a Pareto distribution."""


@dataclass(frozen=True)
class LinkStats:
    """Round trips from one region to another in ms."""

    source: str
    target: str
    sent: int
    lost: int
    min_ms: float
    median_ms: float
    mean_ms: float
    stdev_ms: float
    skewness: float

    def to_link(self) -> Link:
        """Return the link for `network.links`, with half of the round trip's delay, variance and loss.

        Jitter with a long tail has a mean above the median, so the delay is half the mean there.
        """
        one_way_ms = self.stdev_ms / math.sqrt(2)
        skewed = self.skewness > _SKEWED
        jitter = None
        if one_way_ms >= _LEAST_JITTER_MS:
            jitter = Jitter(stdev_ms=round(one_way_ms, 3), distribution="pareto" if skewed else "normal")
        return Link(
            source=self.source,
            destination=self.target,
            rtt_ms=round(self.mean_ms if jitter and skewed else self.median_ms, 3),
            jitter=jitter,
            loss=Loss(share=round(1 - math.sqrt(1 - self.lost / self.sent), 5)) if self.lost else None,
        )


def link_stats(trips: RoundTrips) -> list[LinkStats]:
    """Return the statistics of every pair of regions that answered, in the order of their names."""
    return [
        _stats(source, target, times, len(samples))
        for (source, target), samples in sorted(trips.samples.items())
        if (times := [sample.rtt_ms for sample in samples if sample.rtt_ms is not None])
    ]


def _stats(source: str, target: str, times: Sequence[float], sent: int) -> LinkStats:
    mean, stdev = statistics.fmean(times), statistics.pstdev(times)
    skewness = statistics.fmean(((each - mean) / stdev) ** 3 for each in times) if stdev else 0.0
    return LinkStats(
        source, target, sent, sent - len(times), min(times), statistics.median(times), mean, stdev, skewness
    )


def matrix(stats: Sequence[LinkStats], testbed_id: str, measured_at: datetime) -> Matrix:
    """Return the matrix of links, for `network.links`."""
    probes = max((each.sent for each in stats), default=0)
    links = tuple(each.to_link() for each in stats)
    return Matrix(testbed_id=testbed_id, measured_at=measured_at, probes=probes, links=links)


def trace(samples: Mapping[tuple[str, str], Sequence[Sample]]) -> list[RoundTrip]:
    """Return the answered round trips in the order of time, for `network.trace`."""
    return sorted(
        RoundTrip(sample.time_s, source, target, sample.rtt_ms)
        for (source, target), each in samples.items()
        for sample in each
        if sample.rtt_ms is not None
    )

"""Name the metrics that systems and load generators export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, with_config

SUBMITTED, DUE, ERRORS, SCHEDULING_DELAY, IN_FLIGHT = "submitted", "due", "errors", "lateness_s", "inflight"
"""Further metrics of the project's load generator; other systems may export them, too."""
WAN_DELAY = "wan_lateness_seconds"
"""Histogram of how far behind schedule an emulated network delivers packets."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class MetricNames:
    """Names of the metrics from which the latency and throughput of a protocol are computed."""

    latency: str = "latency_s"
    """Histogram of the latency of completed transactions in seconds."""
    squared: str | None = "latency_squared_s"
    """Counter of squared latencies in s²; without it the standard deviation is unknown."""
    job: Literal["client", "node"] = "client"
    """Which processes export them."""
    aggregation: Literal["sum", "median"] = "sum"
    """How to aggregate the rates of processes: `median` if each replica counts every transaction."""
    throughput: str | None = None
    """Counter of completed transactions; by default the count of `latency`."""

    @property
    def completed(self) -> str:
        """Counter whose rate is the throughput."""
        return self.throughput or f"{self.latency}_count"

    @property
    def counters(self) -> tuple[str, ...]:
        """Counters whose samples define the time axis of a target."""
        names = (f"{self.latency}_count", self.throughput, self.squared, SUBMITTED, DUE, f"{SCHEDULING_DELAY}_count")
        return tuple(name for name in names if name)

    @property
    def names(self) -> tuple[str, ...]:
        """All metrics that a measurement needs, as alternatives of a regular expression."""
        return (f"{self.latency}_(bucket|sum|count)", *self.counters, "start_time_s", ERRORS)


LOAD_GENERATOR = MetricNames()
"""The metrics of the project's load generator."""

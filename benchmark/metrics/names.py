"""Names of the metrics that systems and load generators export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, with_config

SUBMITTED, DUE, ERRORS, SCHEDULING_DELAY, IN_FLIGHT = "submitted", "due", "errors", "lateness_s", "inflight"
"""What the project's load generator exports besides latencies; other systems may, too."""
WAN_DELAY = "wan_lateness_seconds"
"""Histogram of how far behind schedule an emulated network delivers packets."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class MetricNames:
    """Which metrics of a protocol mean latency and throughput."""

    latency: str = "latency_s"
    """Histogram of the latency of every completed transaction, s."""
    squared: str | None = "latency_squared_s"
    """Counter of the squared latencies, s²; None leaves the standard deviation unknown."""
    job: Literal["client", "node"] = "client"
    """Which processes export them."""
    aggregation: Literal["sum", "median"] = "sum"
    """How the rates of processes make the throughput: `median` where each replica counts every transaction."""
    throughput: str | None = None
    """Counter of completed transactions; by default what `latency` counts."""

    @property
    def completed(self) -> str:
        """The counter whose increase is the throughput."""
        return self.throughput or f"{self.latency}_count"

    @property
    def counters(self) -> tuple[str, ...]:
        """The counters that make the time axis of a scraped target."""
        names = (f"{self.latency}_count", self.throughput, self.squared, SUBMITTED, DUE, f"{SCHEDULING_DELAY}_count")
        return tuple(name for name in names if name)

    @property
    def names(self) -> tuple[str, ...]:
        """All metrics that a measurement needs, as parts of a regular expression."""
        return (f"{self.latency}_(bucket|sum|count)", *self.counters, "start_time_s", ERRORS)


LOAD_GENERATOR = MetricNames()
"""The metrics of the project's load generator."""

"""Which metrics of a system mean latency and throughput."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, with_config

SUBMITTED, DUE, ERRORS, LATENESS, IN_FLIGHT = "submitted", "due", "errors", "lateness_s", "inflight"
"""What the project's own load generators export besides latencies; other systems may, too."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Metrics:
    """Which metrics of a protocol mean latency and throughput."""

    latency: str = "latency_s"
    """Histogram of the latency of every completed transaction, s."""
    squared: str | None = "latency_squared_s"
    """Counter of the squared latencies, s²; without it there is no standard deviation."""
    job: Literal["client", "node"] = "client"
    """Which processes export them."""
    counted_by: Literal["one", "every"] = "one"
    """`every`: each replica counts every transaction, so throughput is the median of the replicas, never the sum."""
    throughput: str | None = None
    """Counter of completed transactions; by default what `latency` counts."""

    @property
    def completed(self) -> str:
        """The counter whose growth is the throughput."""
        return self.throughput or f"{self.latency}_count"

    @property
    def counters(self) -> tuple[str, ...]:
        """The counters that make the time axis of a process."""
        names = (f"{self.latency}_count", self.throughput, self.squared, SUBMITTED, DUE, f"{LATENESS}_count")
        return tuple(name for name in names if name)

    @property
    def names(self) -> tuple[str, ...]:
        """All metrics that are measured from, as parts of a regular expression."""
        return (f"{self.latency}_(bucket|sum|count)", *self.counters, "start_time_s", ERRORS)


LOAD_GENERATOR = Metrics()
"""The metrics of the project's own load generators."""

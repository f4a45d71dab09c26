"""Name the metrics that systems and load generators export."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, with_config

from benchmark.metrics.samples import Series
from benchmark.metrics.selectors import Selector, parse_selector

SUBMITTED, DUE, SCHEDULING_DELAY, IN_FLIGHT = "submitted", "due", "lateness_s", "inflight"
"""Further metrics of the project's load generator; other systems may export them, too."""
TIMEOUT = "timeout_s"
"""Gauge of the load generator: seconds after which a request fails, counted from when it was due."""
OLDEST = "oldest_inflight_s"
"""Gauge of the load generator: age of the oldest request that has neither completed nor failed, s."""
WAN_DELAY = "wan_lateness_seconds"
"""Histogram of how far behind schedule an emulated network delivers packets."""
WAN_UNCHANGED_SINCE = "wan_unchanged_since_seconds"
"""When an emulated network got its present links or its emulator was restarted, unix s."""

Unit = Literal["ns", "us", "ms", "s"]
PER_SECOND: dict[Unit, float] = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class MetricNames:
    """The metrics from which the latency and throughput of a protocol are computed.

    Each is a name, or a name with label matchers such as `rpc_latency{method="Put"}`.
    """

    latency: str = "latency_s"
    """Histogram of the latency of completed transactions."""
    squared: str | None = "latency_squared_s"
    """Counter of squared latencies; without it the standard deviation is unknown."""
    job: Literal["client", "node"] = "client"
    """Which processes export them."""
    aggregation: Literal["sum", "median"] = "sum"
    """How to aggregate the rates of processes: `median` if each replica counts every transaction."""
    throughput: str | None = None
    """Counter of completed transactions; by default the count of `latency`."""
    unit: Unit = "s"
    """Unit of the latencies."""
    errors: str | None = "errors"
    """Counter of failed transactions; their number is unknown without it, and while no process exports it."""
    error_label: str = "error_type"
    """Label of `errors` that holds the type."""

    def __post_init__(self) -> None:
        self._sources()  # ValueError for a text that selects nothing

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
    def per_second(self) -> float:
        """How many of their unit are a second."""
        return PER_SECOND[self.unit]

    @property
    def exported(self) -> tuple[str, ...]:
        """Names of all series that a measurement needs, as the processes export them."""
        others = (SUBMITTED, DUE, f"{SCHEDULING_DELAY}_count", "start_time_s")
        return tuple(dict.fromkeys([*(source.name for source in self._sources().values()), *others]))

    def _sources(self) -> dict[str, Selector]:
        """Return where each metric comes from, by the name under which a measurement reads it."""
        latency = parse_selector(self.latency)
        sources = {
            f"{self.latency}_{part}": Selector(f"{latency.name}_{part}", latency.matchers)
            for part in ("bucket", "sum", "count")
        }
        return sources | {name: parse_selector(name) for name in (self.throughput, self.squared, self.errors) if name}

    def select(self, series: Iterable[Series]) -> list[Series]:
        """Return the series as a measurement reads them: the matching ones under the names above, in seconds.

        A name with label matchers becomes a metric of its own; the other series are passed on as they are.
        """
        sources = self._sources()
        if self.unit == "s" and all(name == source.name for name, source in sources.items()):
            return list(series)
        selected = []
        for one in series:
            candidates = [
                (name, source) for name, source in sources.items() if source.name == one.metric
            ] if one.labels.get("job") == self.job else []  # fmt: skip
            selected += [self._in_seconds(one, name) for name, source in candidates if source.matches(one.labels)]
            if not any(name == one.metric for name, _ in candidates):
                selected.append(one)
        return selected

    def _in_seconds(self, one: Series, name: str) -> Series:
        """Rename a series, and convert the latencies that it holds."""
        labels, divisor = one.labels, 1.0
        if name == f"{self.latency}_bucket":
            with suppress(KeyError, ValueError):  # a malformed bucket stays one
                labels = labels | {"le": repr(float(labels["le"]) / self.per_second)}
        elif name == f"{self.latency}_sum":
            divisor = self.per_second
        elif name == self.squared:
            divisor = self.per_second**2
        return dataclasses.replace(one, metric=name, labels=labels, values=one.values / divisor)


LOAD_GENERATOR = MetricNames()
"""The metrics of the project's load generator."""

"""The metrics of a run: one table of what is computed, compared and shown.

A new metric is one entry in `METRICS`. A quantile needs nothing else: it is computed wherever the others are, written
to `summary.json` and to data frames, and shown as its flags specify.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import ConfigDict, Field

from benchmark.model import Finite, StrictModel


class Quantile(StrictModel):
    """A quantile known to its bucket: the true value lies in (lower, upper]."""

    estimate: Finite
    """Interpolated within the bucket; its lower bound where the bucket has no upper one."""
    lower: Finite
    upper: Finite | None
    """Null where the value is above the histogram's last finite bound."""


class Latency(StrictModel):
    """Latency of transactions in s: moments, and each quantile of `METRICS` under its short name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Quantile | None] = Field(init=False)

    mean: Finite | None
    """Null where transactions failed and their timeout is unknown, and where the sum of latencies is."""
    stdev: Finite | None
    """Null where the protocol counts no squared latency, or the mean is null."""

    @property
    def quantiles(self) -> dict[str, Quantile]:
        """The known quantiles by name, such as `p99`; a summary that another version wrote may have others."""
        return {name: quantile for name, quantile in self.__pydantic_extra__.items() if quantile is not None}

    @property
    def p99(self) -> Quantile | None:
        """The quantile that limits are set on; None where it is unknown."""
        return self.quantiles.get("p99")


class Measured(Protocol):
    """The source of metrics: the summary of a run, or the statistics of some of its clients."""

    @property
    def latency_s(self) -> Latency | None: ...


@dataclass(frozen=True)
class Metric:
    """One number of a measured run."""

    name: str
    """Its name in JSON, CSV and data frames; it ends in the unit."""
    short: str
    """Its name among metrics of the same quantity."""
    label: str
    """Its name on its own."""
    unit: Literal["tx/s", "s"]
    better: Literal["higher", "lower"] | None = None
    """None where neither is: what was requested of a system does not judge it."""
    quantile: float | None = None
    """The share of transactions whose latency does not exceed it; None for what is no quantile."""
    compared: bool = False
    """Shown over the repeats of a load, and compared. Each one makes it harder to show any difference (Holm)."""
    over_time: bool = False
    """Computed for each interval of a run as well, and shown while a run is in progress."""
    brief: bool = False
    """Shown where there is room for few."""

    @property
    def key(self) -> str:
        """Its name without the unit: that of its field in `Latency`."""
        return self.name.rpartition("_")[0]

    def of(self, measured: Measured) -> float | None:
        """Return its value; None where it was not measured."""
        if self.unit == "tx/s":
            rate: float | None = getattr(measured, self.name)
            return rate
        latency = measured.latency_s
        if latency is None or self.quantile is None:
            moment: float | None = getattr(latency, self.key, None)
            return moment
        quantile = latency.quantiles.get(self.key)
        return quantile.estimate if quantile else None

    def exceeds(self, measured: Measured) -> bool:
        """Return whether its value is only known to be higher than what `of` returns."""
        quantile = measured.latency_s.quantiles.get(self.key) if measured.latency_s else None
        return quantile is not None and quantile.upper is None


def _quantile(q: float, *, compared: bool = False, over_time: bool = False, brief: bool = False) -> Metric:
    short = f"p{q * 100:.10g}"
    name = f"{short.replace('.', '')}_s"
    return Metric(name, short, f"{short} latency", "s", "lower", q, compared, over_time, brief)


METRICS = (
    Metric("scheduled_tps", "scheduled", "scheduled load", "tx/s"),
    Metric("sent_tps", "sent", "sent load", "tx/s", over_time=True),
    Metric("completed_tps", "completed", "throughput", "tx/s", "higher", compared=True, over_time=True),
    Metric("mean_s", "mean", "mean latency", "s", "lower", compared=True, over_time=True, brief=True),
    Metric("stdev_s", "stdev", "standard deviation of the latency", "s", "lower"),
    _quantile(0.5, compared=True, over_time=True, brief=True),
    _quantile(0.9, brief=True),
    _quantile(0.99, compared=True, over_time=True, brief=True),
    _quantile(0.999),
    Metric("max_s", "max", "maximum latency", "s", "lower", 1.0),
)

LATENCIES = tuple(metric for metric in METRICS if metric.unit == "s")
QUANTILES = {metric: metric.quantile for metric in METRICS if metric.quantile is not None}
COMPARED = tuple(metric for metric in METRICS if metric.compared)

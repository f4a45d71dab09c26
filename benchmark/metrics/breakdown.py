"""Describe the metrics of nodes that split the latency of a system into parts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from benchmark.metrics.names import MetricNames, Unit
from benchmark.metrics.selectors import TARGET_LABELS, parse_selector
from benchmark.model import StrictModel


class LatencyPart(StrictModel):
    """One part of the latency breakdown of a system, measured at its nodes."""

    name: str = Field(min_length=1, max_length=60)
    meaning: str = ""
    """What it measures: from which event to which, and how often."""
    metric: str
    """Histogram, or a counter if `kind` is `counter`: a name, or a name with label matchers."""
    label: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Label whose values are shown separately; the series of other labels are added up."""
    unit: Unit = "s"
    """Unit of the values of a histogram."""
    kind: Literal["histogram", "counter"] = "histogram"
    """`counter`: how often each value of `label` occurred, without a latency."""
    stage: bool = False
    """Whether each transaction passes through it once, before or after all other stages: the means of stages add up."""

    @field_validator("metric")
    @classmethod
    def _check_metric(cls, text: str) -> str:
        parse_selector(text)
        return text

    @property
    def names(self) -> MetricNames:
        """Return how a measurement reads it."""
        throughput = self.metric if self.kind == "counter" else None
        return MetricNames(
            latency=self.metric, throughput=throughput, squared=None, job="node", unit=self.unit, errors=None
        )

    @property
    def exported(self) -> tuple[str, ...]:
        """Names of its series, as nodes export them."""
        name = parse_selector(self.metric).name
        return (name,) if self.kind == "counter" else (f"{name}_bucket", f"{name}_sum", f"{name}_count")

    @property
    def scraped_label(self) -> str | None:
        """The label as Prometheus stores it: those of targets go before those that a process exports."""
        return f"exported_{self.label}" if self.label in TARGET_LABELS else self.label

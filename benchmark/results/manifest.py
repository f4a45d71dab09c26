"""The manifest of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmark.metrics.names import Metrics
from benchmark.settings import parse_duration

if TYPE_CHECKING:
    pass


def metrics(document: Mapping[str, Any]) -> Metrics:
    """Return which metrics of a run mean latency and throughput, and who exports them, from its manifest."""
    return Metrics(**document.get("metrics", {}))


def scrape_interval(document: Mapping[str, Any]) -> float:
    """Return the seconds between two samples, as set, from a run's manifest."""
    settings = document.get("parameters", {}).get("settings", {})
    return parse_duration(settings.get("scrape_interval", "5s")).total_seconds()

"""Statistics of the current run, as Prometheus computes them: for display, not for results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from benchmark.measure.run_metrics import LATENCIES, QUANTILES
from benchmark.metrics.names import DUE, ERRORS, IN_FLIGHT, LOAD_GENERATOR, SUBMITTED, MetricNames
from benchmark.metrics.prometheus import Prometheus


@dataclass(frozen=True, kw_only=True)
class LiveStats:
    """Rates in tx/s and latencies in s of all clients together; null where nothing was sampled."""

    scheduled_tps: float | None = None
    sent_tps: float | None = None
    completed_tps: float | None = None
    errors_tps: float | None = None
    inflight: float | None = None
    latencies_s: Mapping[str, float] = field(default_factory=dict)
    """By the name of the metric, such as `p99_s`."""
    nodes: float | None = None
    """Nodes that are scraped; null where they export no metrics. Of them, `nodes_up` answered the last scrape."""
    nodes_up: float | None = None
    clients: float | None = None
    clients_up: float | None = None


def read_live_stats(prometheus: Prometheus, window: timedelta, names: MetricNames = LOAD_GENERATOR) -> LiveStats:
    """Return the statistics over the last `window`, in one request.

    The rates are Prometheus' own extrapolations; `window` should span four scrapes.
    """
    answer = prometheus.query(live_query(window, names))
    values = {entry["metric"]["quantity"]: float(entry["value"][1]) for entry in answer}
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    latencies = {metric.name: known.pop(metric.name) for metric in LATENCIES if metric.name in known}
    return LiveStats(latencies_s=latencies, **known)


def live_query(window: timedelta, names: MetricNames) -> str:
    """Return the query for every field of `LiveStats`; the label `quantity` of an answer names its field."""
    clients = f'{{job="{names.job}"}}'
    within = f"{clients}[{round(window.total_seconds() * 1000)}ms]"
    latency, completed = names.latency, f"rate({names.completed}{within})"
    queries = {
        "scheduled_tps": f"sum(rate({DUE}{within}))",
        "sent_tps": f"sum(rate({SUBMITTED}{within}))",
        # Where every replica counts every transaction, the median of the replicas is their number.
        "completed_tps": f"quantile(0.5, {completed})" if names.aggregation == "median" else f"sum({completed})",
        "errors_tps": f"sum(rate({ERRORS}{within}))",
        "inflight": f"sum({IN_FLIGHT}{clients})",
        "mean_s": f"sum(rate({latency}_sum{within})) / sum(rate({latency}_count{within}))",
    }
    buckets = f"sum by (le) (rate({latency}_bucket{within}))"
    for metric, q in QUANTILES.items():
        if metric.over_time:
            queries[metric.name] = f"histogram_quantile({q:g}, {buckets})"
    for job in ("node", "client"):
        queries |= {f"{job}s": f'count(up{{job="{job}"}})', f"{job}s_up": f'sum(up{{job="{job}"}})'}
    return " or ".join(f'label_replace({query}, "quantity", "{name}", "", "")' for name, query in queries.items())

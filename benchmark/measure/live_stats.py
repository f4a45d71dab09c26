"""Statistics of the current run, as Prometheus computes them: for display, not for results."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from benchmark.measure.run_metrics import LATENCIES, QUANTILES
from benchmark.metrics.names import DUE, IN_FLIGHT, LOAD_GENERATOR, SUBMITTED, TIMEOUT, MetricNames
from benchmark.metrics.prometheus import Prometheus
from benchmark.metrics.selectors import parse_selector

_TIMEOUT = timedelta(seconds=1)
"""Short, as the processes of a run are not checked in the meantime."""


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
    answer = prometheus.query(live_query(window, names), timeout=_TIMEOUT)
    values = {entry.metric.get("quantity", ""): entry.value[1] for entry in answer}
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    latencies = {metric.name: known[metric.name] for metric in LATENCIES if metric.name in known}
    rates = {field.name: known[field.name] for field in dataclasses.fields(LiveStats) if field.name in known}
    return LiveStats(latencies_s=latencies, **rates)


def live_query(window: timedelta, names: MetricNames) -> str:
    """Return the query for every field of `LiveStats`; the label `quantity` of an answer names its field."""

    def rate(metric: str, suffix: str = "") -> str:
        """Return the query of a rate per series."""
        selector = parse_selector(metric).promql(suffix, names.job)
        return f"rate({selector}[{round(window.total_seconds() * 1000)}ms])"

    latency = names.latency
    completed = rate(names.throughput) if names.throughput else rate(latency, "_count")
    to_seconds = f" / {names.per_second:g}" if names.per_second != 1 else ""
    queries = {
        "scheduled_tps": f"sum({rate(DUE)})",
        "sent_tps": f"sum({rate(SUBMITTED)})",
        # Where every replica counts every transaction, the median of the replicas is their number.
        "completed_tps": f"quantile(0.5, {completed})" if names.aggregation == "median" else f"sum({completed})",
        "inflight": f'sum({IN_FLIGHT}{{job="{names.job}"}})',
    }
    total, count = f"sum({rate(latency, '_sum')}){to_seconds}", f"sum({rate(latency, '_count')})"
    buckets, slowest = f"sum by (le) ({rate(latency, '_bucket')})", ""
    if names.errors:
        # As in results, a failed request counts as its timeout; where that is unknown, as slower than all others.
        queries["errors_tps"] = f"sum({rate(names.errors)})"
        failed, timeout = f"({queries['errors_tps']} or vector(0))", f'max({TIMEOUT}{{job="{names.job}"}})'
        total = f"({total} + ({failed} * {timeout} or vector(0)))"
        count = f"({count} + ({failed} * ({timeout} > bool 0) or vector(0)))"
        buckets = f'{buckets} + on (le) label_replace({failed}, "le", "+Inf", "", "") or {buckets}'
        slowest = f"scalar({timeout} or vector(Inf))"
    queries["mean_s"] = f"{total} / {count}"
    for metric, q in QUANTILES.items():
        if metric.over_time:
            quantile = f"histogram_quantile({q:g}, {buckets}){to_seconds}"
            queries[metric.name] = f"clamp_max({quantile}, {slowest})" if slowest else quantile
    for job in ("node", "client"):
        queries |= {f"{job}s": f'count(up{{job="{job}"}})', f"{job}s_up": f'sum(up{{job="{job}"}})'}
    return " or ".join(f'label_replace({query}, "quantity", "{name}", "", "")' for name, query in queries.items())

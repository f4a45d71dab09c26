"""Statistics of the current run, of all clients, by region and by host, as Prometheus computes them.

They are for display, not for results.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from benchmark.measure.host_usage import CPU, IDLE_MODES, RECEIVED, SENT, VIRTUAL_DEVICES
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


@dataclass(frozen=True, kw_only=True)
class HostStats:
    """Resource usage of one host; null where it is unknown."""

    cpu_busy: float | None = None
    """Share of all processors' time, 0 to 1."""
    received_bytes_per_s: float | None = None
    sent_bytes_per_s: float | None = None


def read_live_stats(prometheus: Prometheus, window: timedelta, names: MetricNames = LOAD_GENERATOR) -> LiveStats:
    """Return the statistics over the last `window`, in one request.

    The rates are Prometheus' own extrapolations; `window` should span four scrapes.
    """
    return _live_stats(_finite(prometheus, live_query(window, names), "").get("", {}))


def read_details(
    prometheus: Prometheus, window: timedelta, names: MetricNames = LOAD_GENERATOR
) -> tuple[dict[str, LiveStats], dict[str, HostStats]]:
    """Return the same by region, and the resource usage by host; one request each."""
    regions = _finite(prometheus, live_query(window, names, by="region"), "region")
    hosts = _finite(prometheus, host_query(window), "host")
    return (
        {region: _live_stats(known) for region, known in sorted(regions.items()) if region},
        {host: _host_stats(known) for host, known in sorted(hosts.items()) if host},
    )


def _finite(prometheus: Prometheus, query: str, by: str) -> dict[str, dict[str, float]]:
    """Return the finite values of a query by the label `by` and by quantity."""
    found: dict[str, dict[str, float]] = {}
    for entry in prometheus.query(query, timeout=_TIMEOUT):
        if math.isfinite(entry.value[1]):
            found.setdefault(entry.metric.get(by, ""), {})[entry.metric.get("quantity", "")] = entry.value[1]
    return found


def _live_stats(known: Mapping[str, float]) -> LiveStats:
    latencies = {metric.name: known[metric.name] for metric in LATENCIES if metric.name in known}
    rates = {field.name: known[field.name] for field in dataclasses.fields(LiveStats) if field.name in known}
    return LiveStats(latencies_s=latencies, **rates)


def _host_stats(known: Mapping[str, float]) -> HostStats:
    return HostStats(
        **{field.name: known[field.name] for field in dataclasses.fields(HostStats) if field.name in known}
    )


def host_query(window: timedelta) -> str:
    """Return the query for every field of `HostStats` by host, with the labels `host` and `quantity`."""
    over = f"[{round(window.total_seconds() * 1000)}ms]"
    cpu, idle = f'{CPU}{{job="host"}}{over}', f'{CPU}{{job="host",mode=~"{"|".join(IDLE_MODES)}"}}{over}'
    queries = {"cpu_busy": f"clamp_min(1 - sum by (host) (rate({idle})) / sum by (host) (rate({cpu})), 0)"}
    for name, metric in (("received_bytes_per_s", RECEIVED), ("sent_bytes_per_s", SENT)):
        queries[name] = f'sum by (host) (rate({metric}{{job="host",device!~`{VIRTUAL_DEVICES}`}}{over}))'
    return _labelled(queries)


def _labelled(queries: Mapping[str, str]) -> str:
    return " or ".join(f'label_replace({query}, "quantity", "{name}", "", "")' for name, query in queries.items())


def live_query(window: timedelta, names: MetricNames, by: str = "") -> str:
    """Return the query for every field of `LiveStats`; the label `quantity` of an answer names its field.

    With `by`, the name of a label, there is an answer for each of its values.
    """
    group, each = (f" by ({by})", f"{by}, le") if by else ("", "le")

    def rate(metric: str, suffix: str = "") -> str:
        """Return the query of a rate per series."""
        selector = parse_selector(metric).promql(suffix, names.job)
        return f"rate({selector}[{round(window.total_seconds() * 1000)}ms])"

    latency = names.latency
    completed = rate(names.throughput) if names.throughput else rate(latency, "_count")
    to_seconds = f" / {names.per_second:g}" if names.per_second != 1 else ""
    queries = {
        "scheduled_tps": f"sum{group}({rate(DUE)})",
        "sent_tps": f"sum{group}({rate(SUBMITTED)})",
        # Where every replica counts every transaction, the median of the replicas is their number.
        "completed_tps": (
            f"quantile{group}(0.5, {completed})" if names.aggregation == "median" else f"sum{group}({completed})"
        ),
        "inflight": f'sum{group}({IN_FLIGHT}{{job="{names.job}"}})',
    }
    count = f"sum{group}({rate(latency, '_count')})"
    total = f"sum{group}({rate(latency, '_sum')}){to_seconds}"
    buckets, slowest = f"sum by ({each}) ({rate(latency, '_bucket')})", ""
    if names.errors:
        # As in results, a failed request counts as its timeout; where that is unknown, as slower than all others.
        queries["errors_tps"] = f"sum{group}({rate(names.errors)})"
        failed = f"({queries['errors_tps']} or {f'0 * {count}' if by else 'vector(0)'})"
        known = f'max({TIMEOUT}{{job="{names.job}"}})'
        timeout, slowest = f"scalar({known} or vector(0))", f"scalar({known} or vector(Inf))"
        total = f"({total} + {failed} * {timeout})"
        count = f"({count} + {failed} * ({timeout} > bool 0))"
        buckets = f'{buckets} + on ({each}) label_replace({failed}, "le", "+Inf", "", "") or {buckets}'
    queries["mean_s"] = f"{total} / {count}"
    for metric, q in QUANTILES.items():
        if metric.over_time:
            quantile = f"histogram_quantile({q:g}, {buckets}){to_seconds}"
            queries[metric.name] = f"clamp_max({quantile}, {slowest})" if slowest else quantile
    for job in ("node", "client"):
        queries |= {f"{job}s": f'count{group}(up{{job="{job}"}})', f"{job}s_up": f'sum{group}(up{{job="{job}"}})'}
    return _labelled(queries)

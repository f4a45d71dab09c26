"""What a run used of its hosts, from the samples of their node exporters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmark.measure.histogram import Array
from benchmark.measure.scrapes import Process, Span, processes
from benchmark.metrics.samples import Series
from benchmark.model import Finite, StrictModel

CPU = "node_cpu_seconds_total"
MEMORY_FREE, MEMORY = "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"
RECEIVED, SENT = "node_network_receive_bytes_total", "node_network_transmit_bytes_total"
READ, WRITTEN = "node_disk_read_bytes_total", "node_disk_written_bytes_total"
COUNTERS = (CPU, RECEIVED, SENT, READ, WRITTEN)
"""What only grows, unless the exporter was restarted."""

IDLE_MODES = ("idle", "iowait")
# Bytes through these are counted at a device below them, too, or never leave the host.
VIRTUAL_DEVICES = ("lo", "docker", "br-", "virbr", "dm-", "md", "loop")


class HostUsage(StrictModel):
    """What was used of one host in the measured window; null where its node exporter does not tell."""

    cpu_busy: Finite | None = None
    """Share of all processors' time, 0 to 1; time stolen by a hypervisor counts as busy, waiting for disks not."""
    cpu_busy_peak: Finite | None = None
    """The same between the two samples where it was greatest."""
    memory_used_bytes: Finite | None = None
    """The most in any sample."""
    memory_bytes: Finite | None = None
    received_bytes_per_s: Finite | None = None
    sent_bytes_per_s: Finite | None = None
    read_bytes_per_s: Finite | None = None
    written_bytes_per_s: Finite | None = None


def host_usage(series: Sequence[Series], start: float, end: float) -> dict[str, HostUsage]:
    """Return what each host used between its first and last sample in the window from `start` to `end` (unix s)."""
    result = {}
    for process in processes(series, "host", COUNTERS):
        span = process.span(start, end)
        if span is not None:
            result[process.name] = _usage(process, span)
    return result


def saturated_hosts(usage: Mapping[str, HostUsage], limit: float) -> list[str]:
    """Return a warning for each host whose processors were busier than `limit` (share) over the whole window."""
    return [
        f"{host}: CPU {used.cpu_busy:.0%} busy, more than {limit:.0%}: the host may be what limits the throughput"
        for host, used in usage.items()
        if used.cpu_busy is not None and used.cpu_busy > limit
    ]


def by_machine(usage: Mapping[str, HostUsage], machines: Mapping[str, str]) -> dict[str, HostUsage]:
    """Return the usage once for each machine: hosts of one machine (`machines`, by host) show the same processors."""
    groups: dict[str, list[str]] = {}
    for host in usage:
        groups.setdefault(machines.get(host) or host, []).append(host)
    shown = {
        f"{hosts[0]} and {len(hosts) - 1} more on one machine" if hosts[1:] else hosts[0]: hosts[0]
        for hosts in groups.values()
    }
    return {name: usage[host] for name, host in shown.items()}


def _usage(process: Process, span: Span) -> HostUsage:
    busy = _cpu_busy(process, span)
    inside = slice(span.first, span.last + 1)
    total = process.gauge(MEMORY)[inside] if process.has(MEMORY) else None
    used = total - process.gauge(MEMORY_FREE)[inside] if total is not None and process.has(MEMORY_FREE) else None
    return HostUsage(
        cpu_busy=None if busy is None else float(busy[-1]),
        cpu_busy_peak=None if busy is None else float(busy.max()),
        memory_used_bytes=None if used is None else float(used.max()),
        memory_bytes=None if total is None else float(total[-1]),
        received_bytes_per_s=_device_rate(process, RECEIVED, span),
        sent_bytes_per_s=_device_rate(process, SENT, span),
        read_bytes_per_s=_device_rate(process, READ, span),
        written_bytes_per_s=_device_rate(process, WRITTEN, span),
    )


def _cpu_busy(process: Process, span: Span) -> Array | None:
    """Return the busy share between each two samples of `span`, and as last element that over all of it."""
    if not process.has(CPU):
        return None
    total = grown_where(process, CPU, lambda labels: True)
    idle = grown_where(process, CPU, lambda labels: labels.get("mode") in IDLE_MODES)

    def steps(values: Array) -> Array:
        inside = values[span.first : span.last + 1]
        return np.append(np.diff(inside), inside[-1] - inside[0])

    spent = steps(total)
    return np.asarray(1 - np.divide(steps(idle), spent, out=np.ones_like(spent), where=spent > 0), dtype=np.float64)


def _device_rate(process: Process, metric: str, span: Span) -> float | None:
    """Return the growth by time of a counter, summed over the real devices."""
    if not process.has(metric):
        return None
    grown = grown_where(process, metric, lambda labels: not labels.get("device", "").startswith(VIRTUAL_DEVICES))
    return float(grown[span.last] - grown[span.first]) / process.seconds(span)


def grown_where(process: Process, metric: str, wanted: Callable[[Mapping[str, str]], bool]) -> Array:
    """Return the growth of the series of `metric` whose labels are `wanted`, summed: shape (times,)."""
    chosen = [wanted(series.labels) for series in process.series[metric]]
    return np.asarray(process.grown(metric)[chosen].sum(axis=0), dtype=np.float64)

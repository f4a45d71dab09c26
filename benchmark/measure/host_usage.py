"""Measure the resource usage of hosts during a run, from the samples of their node exporters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from benchmark.measure.histogram import Array
from benchmark.measure.scrapes import RunSamples, SampleRange, ScrapedTarget
from benchmark.model import Finite, StrictModel

CPU = "node_cpu_seconds_total"
MEMORY_FREE, MEMORY = "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"
RECEIVED, SENT = "node_network_receive_bytes_total", "node_network_transmit_bytes_total"
READ, WRITTEN = "node_disk_read_bytes_total", "node_disk_written_bytes_total"
COUNTERS = (CPU, RECEIVED, SENT, READ, WRITTEN)
"""Metrics that never fall unless the exporter restarted."""

IDLE_MODES = ("idle", "iowait")
# Bytes through these are counted at a device below them, too, or never leave the host: bonds, teams, bridges, VLANs
# (eth0.100), tunnels, and disks made of other disks.
VIRTUAL_DEVICES = (
    r"lo|br[-q\d].*|.+\.\d+|(bond|team|docker|podman|cni|flannel|cali|lxc|lxd|virbr|vlan|vxlan|geneve|macv|ipvl|veth"
    r"|vnet|tun|tap|wg|tailscale|zt|gre|sit|ip6tnl|ifb|dummy|nlmon|ovs|kube|dm-|md|loop|ram|zram|bcache|drbd).*"
)


class HostUsage(StrictModel):
    """Resource usage of one host in the measured window; null where its node exporter does not export it."""

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


def host_usage(samples: RunSamples, start: float, end: float) -> dict[str, HostUsage]:
    """Return the usage of each host between its first and last sample in the window from `start` to `end` (unix s)."""
    result = {}
    for host in samples.targets("host", COUNTERS):
        inside = host.sample_range(start, end)
        if inside is not None:
            result[host.name] = _usage(host, inside)
    return result


def saturated_hosts(usage: Mapping[str, HostUsage], limit: float) -> list[str]:
    """Return a warning for each host whose processors were busier than `limit` (share) over the whole window."""
    return [
        f"{host} was {used.cpu_busy * 100:.0f} % busy: it, not the system, may limit throughput"
        for host, used in usage.items()
        if used.cpu_busy is not None and used.cpu_busy > limit
    ]


def by_machine(usage: Mapping[str, HostUsage], machines: Mapping[str, str]) -> dict[str, HostUsage]:
    """Return the usage once for each machine: hosts of one machine (`machines`, by host) show the same processors."""
    groups: dict[str, list[str]] = {}
    for host in usage:
        groups.setdefault(machines.get(host) or host, []).append(host)
    result = {}
    for hosts in groups.values():
        name = hosts[0]
        if len(hosts) > 1:
            others = f"all {len(hosts)} hosts" if len(groups) == 1 else f"{name} and {len(hosts) - 1} more"
            name = f"the machine of {others}"
        result[name] = usage[hosts[0]]
    return result


def counts_once(labels: Mapping[str, str]) -> bool:
    """Return whether the bytes of a device with these labels are counted at no other device."""
    return not re.fullmatch(VIRTUAL_DEVICES, labels.get("device", ""))


def increase_where(host: ScrapedTarget, metric: str, wanted: Callable[[Mapping[str, str]], bool]) -> Array:
    """Return the increase of the series of `metric` whose labels are `wanted`, summed: shape (times,)."""
    chosen = [wanted(series.labels) for series in host.series[metric]]
    return np.asarray(host.increases(metric)[chosen].sum(axis=0), dtype=np.float64)


def _usage(host: ScrapedTarget, samples: SampleRange) -> HostUsage:
    inside = slice(samples.first, samples.last + 1)
    busy = None if host.unknown(CPU, samples) else _cpu_busy(host, samples)
    total = None if host.unknown(MEMORY, samples) else host.gauge(MEMORY)[inside]
    used = None if total is None or host.unknown(MEMORY_FREE, samples) else total - host.gauge(MEMORY_FREE)[inside]
    return HostUsage(
        cpu_busy=None if busy is None else float(busy[-1]),
        cpu_busy_peak=None if busy is None else float(busy.max()),
        memory_used_bytes=None if used is None else float(used.max()),
        memory_bytes=None if total is None else float(total[-1]),
        received_bytes_per_s=_device_rate(host, RECEIVED, samples),
        sent_bytes_per_s=_device_rate(host, SENT, samples),
        read_bytes_per_s=_device_rate(host, READ, samples),
        written_bytes_per_s=_device_rate(host, WRITTEN, samples),
    )


def _cpu_busy(host: ScrapedTarget, samples: SampleRange) -> Array:
    """Return the busy share between each two samples of the range, and as last element that over all of it."""

    def steps(wanted: Callable[[Mapping[str, str]], bool]) -> Array:
        inside = increase_where(host, CPU, wanted)[samples.first : samples.last + 1]
        return np.append(np.diff(inside), inside[-1] - inside[0])

    spent = steps(lambda labels: True)
    idle = steps(lambda labels: labels.get("mode") in IDLE_MODES)
    return np.asarray(1 - np.divide(idle, spent, out=np.ones_like(spent), where=spent > 0), dtype=np.float64)


def _device_rate(host: ScrapedTarget, metric: str, samples: SampleRange) -> float | None:
    """Return the increase of a counter per second, summed over the real devices; None if it is unknown."""
    if host.unknown(metric, samples):
        return None
    total = increase_where(host, metric, counts_once)
    return float(total[samples.last] - total[samples.first]) / host.seconds(samples)

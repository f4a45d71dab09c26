from __future__ import annotations

import numpy as np
import pytest
from factories.sample_factory import labels_of, series

from benchmark.measure.host_usage import HostUsage, by_machine, host_usage, saturated_hosts
from benchmark.measure.scrapes import RunSamples
from benchmark.metrics.samples import Series

TIMES = np.arange(1000.0, 1061.0, 5)


def exporter(host: str, busy: float = 0.25, cpus: int = 2) -> list[Series]:
    """A host that is `busy` (share) all the time, and fully from 1030 to 1035."""
    labels = labels_of(host, job="host")
    spent = np.where(TIMES >= 1035, (TIMES - 1005) * busy + 5, (np.minimum(TIMES, 1030) - 1000) * busy)
    made = []
    for cpu in map(str, range(cpus)):
        for mode, share in (("user", 0.7), ("steal", 0.3)):
            made.append(series("node_cpu_seconds_total", {**labels, "cpu": cpu, "mode": mode}, TIMES, spent * share))
        for mode, share in (("idle", 0.9), ("iowait", 0.1)):
            rest = (TIMES - 1000 - spent) * share
            made.append(series("node_cpu_seconds_total", {**labels, "cpu": cpu, "mode": mode}, TIMES, rest))
    return made


def test_the_busy_share_is_over_all_processors() -> None:
    (usage,) = host_usage(RunSamples(exporter("a")), 1000, 1060).values()
    assert usage.cpu_busy == pytest.approx((55 * 0.25 + 5) / 60)
    assert usage.cpu_busy_peak == pytest.approx(1.0)


def test_samples_outside_the_window_are_ignored() -> None:
    usage = host_usage(RunSamples(exporter("a")), 1036, 1060)["a"]
    assert usage.cpu_busy == pytest.approx(0.25)
    assert usage.cpu_busy_peak == pytest.approx(0.25)


def test_memory_is_the_maximum_over_the_window() -> None:
    labels = labels_of("a", job="host")
    free = np.where(TIMES == 1000, 1.0, np.where(TIMES == 1040, 3e9, 6e9))
    made = [
        *exporter("a"),
        series("node_memory_MemTotal_bytes", labels, TIMES, 8e9),
        series("node_memory_MemAvailable_bytes", labels, TIMES, free),
    ]
    usage = host_usage(RunSamples(made), 1010, 1060)["a"]
    assert (usage.memory_used_bytes, usage.memory_bytes) == (5e9, 8e9)


def test_decreasing_free_memory_is_no_restart() -> None:
    """Otherwise all counters would restart there, and a host would seem to have used years of CPU time."""
    labels = labels_of("a", job="host")
    free = series("node_memory_MemAvailable_bytes", labels, TIMES, 8e9 - (TIMES - 1000) * 1e6)
    usage = host_usage(RunSamples([*exporter("a"), free]), 1000, 1060)["a"]
    assert usage.cpu_busy == pytest.approx((55 * 0.25 + 5) / 60)


def test_devices_that_count_the_same_bytes_twice_are_excluded() -> None:
    labels = labels_of("a", job="host")
    made = []
    for metric, devices in [
        ("node_network_receive_bytes_total", {"eth0": 100.0, "eth1": 10.0, "lo": 9999.0, "docker0": 9999.0}),
        ("node_network_transmit_bytes_total", {"eth0": 50.0, "lo": 9999.0}),
        ("node_disk_read_bytes_total", {"nvme0n1": 7.0, "dm-0": 7.0}),
        ("node_disk_written_bytes_total", {"sda": 3.0, "md0": 3.0}),
    ]:
        for device, rate in devices.items():
            made.append(series(metric, {**labels, "device": device}, TIMES, (TIMES - 1000) * rate))
    usage = host_usage(RunSamples(made), 1000, 1060)["a"]
    assert usage.received_bytes_per_s == pytest.approx(110)
    assert usage.sent_bytes_per_s == pytest.approx(50)
    assert usage.read_bytes_per_s == pytest.approx(7)
    assert usage.written_bytes_per_s == pytest.approx(3)
    assert (usage.cpu_busy, usage.memory_used_bytes) == (None, None)


@pytest.mark.parametrize(
    "device",
    ["bond0", "team0", "br0", "br-5f3a", "eth0.100", "enp3s0.7", "vlan12", "veth1a2b", "wg0", "docker_gwbridge"],
)
def test_devices_stacked_on_others_are_not_added(device: str) -> None:
    made = [
        series(
            "node_network_transmit_bytes_total",
            {**labels_of("a", job="host"), "device": name},
            TIMES,
            (TIMES - 1000) * rate,
        )
        for name, rate in {"eth0": 1e6, "eth1": 1e6, device: 2e6}.items()
    ]
    assert host_usage(RunSamples(made), 1000, 1060)["a"].sent_bytes_per_s == pytest.approx(2e6)


@pytest.mark.parametrize(
    "device", ["eth0", "ens5", "enp0s31f6", "enX0", "em1", "p2p1", "ib0", "wan0", "local0", "hsn0"]
)
def test_devices_of_any_other_name_are_counted(device: str) -> None:
    labels = {**labels_of("a", job="host"), "device": device}
    made = [series("node_network_receive_bytes_total", labels, TIMES, (TIMES - 1000) * 5)]
    assert host_usage(RunSamples(made), 1000, 1060)["a"].received_bytes_per_s == pytest.approx(5)


def test_a_counter_of_the_kernel_that_falls_a_little_changes_nothing_else() -> None:
    made = exporter("a")
    received = series("node_network_receive_bytes_total", {**labels_of("a", job="host"), "device": "eth0"}, TIMES, 1e12)
    sent = series(
        "node_network_transmit_bytes_total",
        {**labels_of("a", job="host"), "device": "eth0"},
        TIMES,
        1e12 + (TIMES - 1000) * 1e6,
    )
    for one in made:
        if one.labels["mode"] == "iowait":
            one.values[6:] -= 0.01 + np.diff(one.values)[5]
    usage = host_usage(RunSamples([*made, received, sent]), 1000, 1060)["a"]
    assert usage.cpu_busy == pytest.approx((55 * 0.25 + 5) / 60, abs=0.01)
    assert (usage.received_bytes_per_s, usage.sent_bytes_per_s) == (0, pytest.approx(1e6))


def test_usage_from_unusable_samples_is_unknown() -> None:
    labels = labels_of("a", job="host")
    made = exporter("a")
    made[0].values[5] = np.nan
    memory = series("node_memory_MemTotal_bytes", labels, TIMES, np.inf)
    usage = host_usage(RunSamples([*made, memory]), 1000, 1060)["a"]
    assert usage == HostUsage()


def test_hosts_are_distinguished_and_other_jobs_ignored() -> None:
    node = series("node_cpu_seconds_total", {**labels_of("c", job="node"), "mode": "user"}, TIMES, TIMES)
    usage = host_usage(RunSamples([*exporter("a"), *exporter("b", busy=0.95), node]), 1000, 1060)
    assert set(usage) == {"a", "b"}
    assert host_usage(RunSamples(exporter("a")), 1001, 1004) == {}


def test_saturated_hosts_are_named_with_the_numbers() -> None:
    usage = {"a": HostUsage(cpu_busy=0.94), "b": HostUsage(cpu_busy=0.9), "c": HostUsage()}
    assert saturated_hosts(usage, 0.9) == ["a was 94 % busy: it, not the system, may limit throughput"]
    assert len(saturated_hosts(usage, 0.5)) == 2


def test_hosts_on_one_machine_are_reported_once() -> None:
    usage = {name: HostUsage(cpu_busy=0.95) for name in ("a", "b", "c", "d")}
    shown = by_machine(usage, {"a": "boot-1", "b": "boot-2", "c": "boot-1", "d": ""})
    assert list(shown) == ["the machine of a and 1 more", "b", "d"]
    assert len(saturated_hosts(shown, 0.9)) == 3


def test_machine_of_all_hosts_is_named_this_machine() -> None:
    usage = {name: HostUsage(cpu_busy=0.976) for name in ("a", "b", "c")}
    warnings = saturated_hosts(by_machine(usage, dict.fromkeys(usage, "boot-1")), 0.9)
    assert warnings == ["the machine of all 3 hosts was 98 % busy: it, not the system, may limit throughput"]

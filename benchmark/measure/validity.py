"""Whether a measurement may be published: what makes it invalid, what only needs saying."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmark.measure.host_usage import HostUsage, saturated_hosts
from benchmark.measure.measurement import Measurement


@dataclass(frozen=True)
class Thresholds:
    """Beyond what a run warns or is invalid."""

    tolerance: float = 0.02
    """Share of the scheduled load by which throughput may differ from it."""
    client_lateness_s: float = 0.010
    """p99 lateness of a client above which the run warns."""
    client_lateness_share: float = 0.10
    """Share of the mean latency that the p99 lateness of a client must also reach to make the run invalid."""
    wan_lateness_s: float = 0.001
    """p99 lateness of the emulated network above which the run warns."""
    cpu_busy: float = 0.9
    """Share of a host's processors above which the run warns."""
    clock_offset_warn_s: float = 0.010
    """Clock offset of a host above which the run warns."""
    clock_offset_invalid_s: float = 0.100
    """Clock offset of a host above which the run is invalid."""


THRESHOLDS = Thresholds()


@dataclass
class Verdict:
    """What may be said about a run."""

    saturated: bool = False
    """The system completed less than was scheduled."""
    reasons: list[str] = field(default_factory=list)
    """Why the run is invalid."""
    warnings: list[str] = field(default_factory=list)

    @property
    def status(self) -> Literal["ok", "invalid"]:
        """Whether the numbers may be used."""
        return "invalid" if self.reasons else "ok"


def judge(
    measurement: Measurement,
    *,
    requested_tps: float,
    expected_clients: Collection[str] = (),
    clock_offsets_s: Mapping[str, float] | None = None,
    usage: Mapping[str, HostUsage] | None = None,
    faulty_hosts: Collection[str] = (),
    thresholds: Thresholds = THRESHOLDS,
) -> Verdict:
    """Judge whether the measurement of a run of `requested_tps` may be used.

    `expected_clients` are the hosts that must have been measured; `clock_offsets_s` are by host; restarts and gaps
    of `faulty_hosts`, where faults were injected, only warn. Every message names the host and the numbers.
    """
    verdict = Verdict()
    _judge_samples(measurement, verdict, expected_clients, faulty_hosts)
    _judge_restarts(measurement, verdict, faulty_hosts)
    _judge_clocks(clock_offsets_s or {}, verdict, thresholds)
    if measurement.clients:
        _judge_load(measurement, verdict, requested_tps, thresholds)
        _judge_lateness(measurement, verdict, thresholds)
        _judge_quantiles(measurement, verdict)
    verdict.warnings += saturated_hosts(usage or {}, thresholds.cpu_busy)
    return verdict


def _judge_samples(
    measurement: Measurement, verdict: Verdict, expected: Collection[str], faulty: Collection[str]
) -> None:
    job = measurement.metrics.job
    for host in sorted(set(expected) - set(measurement.hosts.values())):
        _blame(verdict, host in faulty, f"{job} {host}: never sampled; is its metrics port reachable?")
    for name, host in measurement.hosts.items():
        if name not in measurement.clients:
            text = f"{job} {name}: fewer than 2 samples in the window of {measurement.end - measurement.start:.1f} s"
            _blame(verdict, host in faulty, text)
    if not measurement.hosts:
        verdict.reasons.append(f"no {job} was sampled: there is nothing to measure")
    for name, gaps in measurement.gaps.items():
        longest = max(end - start for start, end in gaps)
        text = (
            f"{job} {name}: no sample for {longest:.1f} s, {len(gaps)} gap(s) in all; "
            f"one every {measurement.scrape_interval:g} s is expected"
        )
        if name in measurement.clients:
            _blame(verdict, measurement.hosts[name] in faulty, text)
    for name, seconds in measurement.late_starts.items():
        verdict.warnings.append(f"{job} {name}: first completed transaction seen {seconds:.1f} s into the window")


def _judge_restarts(measurement: Measurement, verdict: Verdict, faulty: Collection[str]) -> None:
    for name, times in measurement.restarts.items():
        host = name.split()[1]
        when = ", ".join(f"{time - measurement.start:.1f} s" for time in times)
        _blame(verdict, host in faulty, f"{name}: restarted within the window, seen at {when}")


def _judge_clocks(offsets: Mapping[str, float], verdict: Verdict, thresholds: Thresholds) -> None:
    for host, offset in sorted(offsets.items()):
        text = f"{host}: its clock is off by {offset * 1000:+.1f} ms"
        if abs(offset) > thresholds.clock_offset_invalid_s:
            verdict.reasons.append(f"{text}, more than {thresholds.clock_offset_invalid_s * 1000:g} ms")
        elif abs(offset) > thresholds.clock_offset_warn_s:
            verdict.warnings.append(f"{text}, more than {thresholds.clock_offset_warn_s * 1000:g} ms")


def _judge_load(measurement: Measurement, verdict: Verdict, requested: float, thresholds: Thresholds) -> None:
    """Compare the four rates and what became of each transaction; one per client may lie at the window's edges."""
    total = measurement.total
    slack = max(thresholds.tolerance * requested, len(measurement.clients) / total.sampled_seconds)
    completed, sent = total.completed_tps, total.sent_tps
    scheduled = next((rate for rate in (total.scheduled_tps, sent) if rate is not None), requested)
    verdict.saturated = completed < scheduled - slack
    if abs(scheduled - requested) > slack:
        verdict.reasons.append(f"clients scheduled {scheduled:.1f} tx/s, not the requested {requested:g}")
    if sent is not None and sent < scheduled - slack:
        behind = ", ".join(_behind(measurement, thresholds))
        cannot = f"; these cannot keep up: {behind}" if behind else ""
        verdict.warnings.append(f"clients sent {sent:.1f} of {scheduled:.1f} scheduled tx/s{cannot}")
    if completed > scheduled + slack:
        verdict.reasons.append(
            f"completed more than scheduled ({completed:.1f} of {scheduled:.1f} tx/s): backlog from warm-up, or "
            "double counting"
        )
    failed = sum(total.errors.values()) / total.sampled_seconds
    if failed > slack:
        counts = ", ".join(f"{count} {name or 'untyped'}" for name, count in total.errors.items())
        verdict.warnings.append(f"{failed:.1f} tx/s failed: {counts}")
    if sent is not None and total.backlog_tps is not None:
        lost = sent - completed - failed - total.backlog_tps
        if lost > slack:
            verdict.reasons.append(f"{lost:.1f} of {sent:.1f} sent tx/s neither completed, nor failed, nor in flight")


def _behind(measurement: Measurement, thresholds: Thresholds) -> list[str]:
    """Name the clients that sent less than was scheduled, the worst first, with what they sent."""
    missing = {}
    for name, stats in measurement.clients.items():
        scheduled, sent = stats.scheduled_tps, stats.sent_tps
        if scheduled is None or sent is None:
            continue
        if scheduled - sent > max(thresholds.tolerance * scheduled, 1 / stats.sampled_seconds):
            missing[f"{name} ({sent:.1f} of {scheduled:.1f})"] = scheduled - sent
    return sorted(missing, key=lambda text: -missing[text])[:8]


def _judge_lateness(measurement: Measurement, verdict: Verdict, thresholds: Thresholds) -> None:
    latency = measurement.total.latency_s
    for name, p99 in measurement.lateness_s.items():
        if p99.estimate <= thresholds.client_lateness_s:
            continue
        text = f"client {name}: sent requests {p99.estimate * 1000:.1f} ms after they were due (p99)"
        # Where the system does not keep up, requests that wait for a connection are sent late by its fault; a client
        # that is too slow itself shows in what it offered.
        if latency and not verdict.saturated and p99.estimate > thresholds.client_lateness_share * latency.mean:
            share = p99.estimate / latency.mean
            verdict.reasons.append(f"{text}, {share:.0%} of the mean latency of {latency.mean * 1000:.1f} ms")
        else:
            verdict.warnings.append(text)
    for name, p99 in measurement.wan_lateness_s.items():
        if p99.estimate > thresholds.wan_lateness_s:
            verdict.warnings.append(f"{name}: the emulated network was {p99.estimate * 1000:.1f} ms late (p99)")


def _judge_quantiles(measurement: Measurement, verdict: Verdict) -> None:
    latency = measurement.total.latency_s
    if latency is None:
        verdict.reasons.append("no transaction completed in the window")
    elif latency.p99.upper is None:
        verdict.warnings.append(f"p99 lies above the histogram's last bound, {latency.p99.lower:g} s")


def _blame(verdict: Verdict, expected: bool, text: str) -> None:
    """Add a reason, or where a fault explains it a warning."""
    if expected:
        verdict.warnings.append(f"{text} (a fault was injected there)")
    else:
        verdict.reasons.append(text)

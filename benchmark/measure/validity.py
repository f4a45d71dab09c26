"""Judge whether a measurement may be published: what makes it invalid, and what deserves a warning."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from benchmark.measure.host_usage import HostUsage, saturated_hosts
from benchmark.measure.measurement import Measurement
from benchmark.measure.run_metrics import METRICS
from benchmark.measure.window_stats import WindowStats


@dataclass(frozen=True)
class Thresholds:
    """Limits beyond which a run gets a warning or is invalid."""

    tolerance: float = 0.02
    """Share of the scheduled load by which throughput may differ from it."""
    backlog: float = 0.1
    """Share of the scheduled load by which requests that fell due before the window may raise the throughput."""
    client_delay_s: float = 0.010
    """p99 scheduling delay of a client above which the run gets a warning."""
    client_delay_share: float = 0.10
    """Share of the mean latency that the p99 scheduling delay must also exceed to make the run invalid."""
    wan_delay_s: float = 0.001
    """p99 delay behind schedule of the emulated network above which the run gets a warning."""
    cpu_busy: float = 0.9
    """Share of a host's processors above which the run gets a warning."""
    clock_offset_warn_s: float = 0.010
    """Clock offset of a host above which the run gets a warning."""
    clock_offset_invalid_s: float = 0.100
    """Clock offset of a host above which the run is invalid."""


THRESHOLDS = Thresholds()
CLOSED_LOOP = (
    "closed-loop load generator: it sends more only after responses, so latencies leave out the time that requests "
    "would have waited"
)
_POISSON_SIGMAS = 3
"""Standard deviations of a count within which it is taken to have varied by chance."""
_HANG_SCRAPES, _HANG_S = 2, 2.5
"""Failed scrapes in a row, and their duration, that a busy node does not explain."""


@dataclass
class Verdict:
    """What `judge` concluded about a run."""

    saturated: bool = False
    """The system completed less than was scheduled."""
    reasons: list[str] = field(default_factory=list)
    """Why the run is invalid."""
    warnings: list[str] = field(default_factory=list)

    @property
    def status(self) -> Literal["ok", "invalid"]:
        """Whether the numbers may be used."""
        return "invalid" if self.reasons else "ok"

    def add_issue(self, text: str, *, expected: bool) -> None:
        """Add a reason, or a warning where an injected fault explains the issue."""
        if expected:
            self.warnings.append(f"{text} (a fault was injected there)")
        else:
            self.reasons.append(text)


def judge(
    measurement: Measurement,
    *,
    requested_tps: float,
    expected_clients: Collection[str] = (),
    clock_offsets_s: Mapping[str, float] | None = None,
    usage: Mapping[str, HostUsage] | None = None,
    faulty_hosts: Collection[str] = (),
    closed_loop: bool = False,
    random_arrivals: bool = False,
    thresholds: Thresholds = THRESHOLDS,
) -> Verdict:
    """Judge whether the measurement of a run of `requested_tps` may be used.

    A `closed_loop` load generator waits for responses, so it may offer another load than was requested; one with
    `random_arrivals` sends at random times, so that counts vary as those of a Poisson process.
    `expected_clients` are the hosts that must have been measured; `clock_offsets_s` are by host. Restarts and gaps of
    `faulty_hosts`, where faults were injected, only lead to warnings. Every message names the host and the numbers.
    """
    verdict = Verdict(
        reasons=[*measurement.impossible, *measurement.contradictions], warnings=[CLOSED_LOOP] if closed_loop else []
    )
    _judge_samples(measurement, verdict, expected_clients, faulty_hosts)
    for name, times in measurement.restarts.items():
        when = ", ".join(f"{time - measurement.start:.1f} s" for time in times)
        text = f"{name}: restarted within the window, seen at {when}"
        verdict.add_issue(text, expected=name.split()[1] in faulty_hosts)
    for name, time in measurement.wan_changes.items():
        when = f"{datetime.fromtimestamp(time, UTC):%H:%M:%S} UTC"
        verdict.reasons.append(
            f"{name}: the emulated network changed during the run, at {when}: `pulumi up` applied other settings, or "
            "its emulator was restarted"
        )
    for host, offset in sorted((clock_offsets_s or {}).items()):
        for limit, found in (
            (thresholds.clock_offset_invalid_s, verdict.reasons),
            (thresholds.clock_offset_warn_s, verdict.warnings),
        ):
            if abs(offset) > limit:
                found.append(f"{host}: its clock is off by {offset * 1000:+.1f} ms, more than {limit * 1000:g} ms")
                break
    if measurement.clients:
        chance = (
            _POISSON_SIGMAS * math.sqrt(requested_tps / measurement.total.sampled_seconds) if random_arrivals else 0.0
        )
        _judge_load(measurement, verdict, requested_tps, thresholds, closed_loop=closed_loop, chance_tps=chance)
        _judge_delays(measurement, verdict, thresholds)
        latency = measurement.total.successful_latency_s
        if latency is None:
            verdict.reasons.append("no transaction completed in the window")
        elif latency.p99 and latency.p99.upper is None:
            verdict.warnings.append(f"p99 is above the histogram's last bound, {latency.p99.lower:g} s")
    verdict.warnings += [f"{text}; quantiles are computed without it" for text in measurement.left_out]
    verdict.warnings += saturated_hosts(usage or {}, thresholds.cpu_busy)
    return verdict


def _judge_samples(
    measurement: Measurement, verdict: Verdict, expected: Collection[str], faulty: Collection[str]
) -> None:
    job = measurement.names.job
    for host in sorted(set(expected) - set(measurement.hosts.values())):
        text = "it has no latency log" if measurement.logged else "never sampled; is its metrics port reachable?"
        verdict.add_issue(f"{job} {host}: {text}", expected=host in faulty)
    for name, host in measurement.hosts.items():
        if name not in measurement.clients:
            text = f"{job} {name}: fewer than 2 samples in the window of {measurement.end - measurement.start:.1f} s"
            verdict.add_issue(text, expected=host in faulty)
    if not measurement.hosts:
        verdict.reasons.append(f"no {job} was sampled: there is nothing to measure")
    for name, gaps in measurement.gaps.items():
        if name in measurement.clients:
            longest = max(end - start for start, end in gaps)
            text = f"{job} {name}: no sample for {longest:.1f} s (gaps: {len(gaps)}); expected one every "
            text += f"{measurement.scrape_interval:g} s"
            # Counters go on without being sampled: only at its edges a gap hides a part of the window.
            inner = all(start > measurement.start and end < measurement.end for start, end in gaps)
            if measurement.logged or inner:
                verdict.warnings.append(f"{text}; totals are complete")
            else:
                verdict.add_issue(
                    f"{text}; a part of the window is missing", expected=measurement.hosts[name] in faulty
                )
    if measurement.unverified:
        names = ", ".join(measurement.unverified[:8]) + ", …" * (len(measurement.unverified) > 8)
        whose = f"any {job}" if len(measurement.unverified) == len(measurement.clients) else names
        verdict.warnings.append(
            f"fewer than 2 samples of {whose} in the window: only the latency log counts, no second measurement "
            "confirms it"
        )
    for outage in measurement.outages:
        seconds, when = outage.end - outage.start, outage.start - measurement.start
        text = f"{outage.who}: no answer to {outage.scrapes} scrape(s), for {seconds:.1f} s from {when:.1f} s"
        if outage.cut_off:
            verdict.warnings.append(f"{text}: the host was cut off, or paused")
        elif outage.scrapes < _HANG_SCRAPES or seconds < _HANG_S:
            verdict.warnings.append(f"{text}: the node was slow to answer")
        else:
            verdict.add_issue(
                f"{text}, while its host answered: it hung, or its port was blocked", expected=outage.host in faulty
            )
    for name, seconds in measurement.late_starts.items():
        verdict.warnings.append(f"{job} {name}: first completed transaction seen {seconds:.1f} s into the window")


def _judge_load(
    measurement: Measurement,
    verdict: Verdict,
    requested: float,
    thresholds: Thresholds,
    *,
    closed_loop: bool,
    chance_tps: float,
) -> None:
    """Compare the four rates and the outcomes of transactions; one per client may be at the window's edges.

    Load generators that send at random may differ by `chance_tps` from what was requested.
    """
    total = measurement.total
    for reason in dict.fromkeys(total.unknown.values()):
        names = [name for name, why in total.unknown.items() if why == reason]
        labels = [metric.label for metric in METRICS if metric.name in names] or names
        found = verdict.reasons if "completed_tps" in names else verdict.warnings
        found.append(f"{', '.join(labels)} unknown: {reason}")
    if total.completed_tps is None or total.completed is None:
        return
    slack = max(thresholds.tolerance * requested, len(measurement.clients) / total.sampled_seconds, chance_tps)
    completed, sent = total.completed_tps, total.sent_tps
    scheduled = next((rate for rate in (total.scheduled_tps, sent) if rate is not None), requested)
    verdict.saturated = completed < scheduled - slack
    if abs(scheduled - requested) > slack:
        verdict.reasons.append(f"clients scheduled {scheduled:.1f} tx/s, not the requested {requested:g}")
    if sent is not None and sent < scheduled - slack:
        behind = ", ".join(_behind(measurement, thresholds))
        cannot = f"; these cannot keep up: {behind}" if behind else ""
        verdict.warnings.append(f"clients sent {sent:.1f} of {scheduled:.1f} scheduled tx/s{cannot}")
    if completed > scheduled + slack and closed_loop:
        verdict.warnings.append(f"completed {completed:.1f} tx/s, more than the requested {requested:g}")
    elif completed > scheduled + slack:
        _judge_excess(total, verdict, scheduled, slack, thresholds)
    failed = (total.failed or 0) / total.sampled_seconds
    if total.errors:
        counts = ", ".join(f"{count} {name or 'untyped'}" for name, count in total.errors.items())
        every = total.completed + (total.failed or 0)
        timeout = total.latency_s is not None and total.latency_s.mean is not None
        verdict.warnings.append(
            f"{total.failed} of {every:.0f} requests failed ({counts}); latencies count them as "
            f"{'their timeout' if timeout else 'slower than all others'}"
        )
    if total.unanswered:
        verdict.warnings.append(
            f"{total.unanswered} requests hung when the window ended: quantiles count them as slower than all others; "
            "use a longer warm-up, or a shorter timeout, to see them fail"
        )
    if sent is not None and total.backlog_tps is not None:
        lost = sent - completed - failed - total.backlog_tps
        if completed > sent - total.backlog_tps + slack:
            left = f"{sent - total.backlog_tps:.1f} tx/s were sent and are no longer in flight"
            verdict.reasons.append(f"completed {completed:.1f} tx/s, but {left}: counted twice?")
        if lost > slack:
            verdict.reasons.append(f"{lost:.1f} of {sent:.1f} sent tx/s neither completed, nor failed, nor in flight")


def _judge_excess(total: WindowStats, verdict: Verdict, scheduled: float, slack: float, thresholds: Thresholds) -> None:
    """Judge a throughput above the scheduled load: requests that fell due before the window may explain it."""
    completed, carried = total.completed_tps or 0.0, total.carried_over
    text = f"completed more than scheduled ({completed:.1f} of {scheduled:.1f} tx/s)"
    if carried is None:
        verdict.reasons.append(f"{text}: backlog from warm-up, or double counting")
        return
    explained = f"{carried} requests that fell due before the window completed in it"
    if completed - carried / total.sampled_seconds > scheduled + slack:
        verdict.reasons.append(f"{text}, although only {explained}: counted twice?")
    elif completed > scheduled * (1 + thresholds.backlog):
        verdict.reasons.append(f"{text}: {explained}; use a longer warm-up")
    else:
        verdict.warnings.append(f"{text}: {explained}")


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


def _judge_delays(measurement: Measurement, verdict: Verdict, thresholds: Thresholds) -> None:
    latency = measurement.total.successful_latency_s
    mean = latency.mean if latency else None
    for name, p99 in measurement.client_delay_s.items():
        if p99.estimate <= thresholds.client_delay_s:
            continue
        text = f"client {name}: scheduling delay {p99.estimate * 1000:.1f} ms (p99)"
        # Where the system does not keep up, requests that wait for a connection are sent behind schedule by its fault;
        # a client that is too slow itself sends less than is scheduled.
        if mean and not verdict.saturated and p99.estimate > thresholds.client_delay_share * mean:
            share = p99.estimate / mean * 100
            verdict.reasons.append(f"{text}, {share:.0f} % of the mean latency of {mean * 1000:.1f} ms")
        else:
            verdict.warnings.append(text)
    for name, p99 in measurement.wan_delay_s.items():
        if p99.estimate > thresholds.wan_delay_s:
            delay = f"{p99.estimate * 1000:.1f} ms (p99)"
            verdict.warnings.append(f"{name}: the emulated network was {delay} behind schedule")

"""Measure what faults did to throughput, latency and errors, from the latency logs of the clients.

Everything is known to an interval of the logs, 0.1 s, in which requests count when they ended. What differs from before
the fault by no more than windows before it differed among themselves is no effect of the fault.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmark.measure.client_logs import ClientLog, edges_of, incomplete, increase_of_log, middles_of, on_grid
from benchmark.measure.histogram import Array
from benchmark.measure.window_stats import WindowStats, window_stats
from benchmark.metrics.latency_log import INTERVAL_MS, SCHEDULING_DELAY, UNANSWERED
from benchmark.metrics.names import LOAD_GENERATOR
from benchmark.model import Finite, StrictModel

STEADY_S = 2.0
"""Requests must be as before the fault for so long until the system has recovered."""
TOLERANCE = 0.1
"""By which rate and p99 may differ from those before the fault, as a share."""
_SLOW_SHARE = 0.01
"""Of all requests: what may exceed a p99."""
_CHANCE = 0.01
"""Stretches without a success that chance makes as long with this probability are no outage."""
_STEADY = round(STEADY_S * 1000 / INTERVAL_MS)
_SLICES = 20
"""Parts of the window in which the load must be the same."""


@dataclass(frozen=True)
class FaultWindow:
    """A fault and when it was in force, unix s."""

    kind: str
    target: str
    injected: float
    healed: float | None
    """When healing began; None if the fault is permanent."""


class FaultImpact(StrictModel):
    """What a fault did; null is unknown, with the reason in `unknown`, unless it says otherwise.

    Faults that overlap share what was before and after all of them.
    """

    kind: str
    target: str
    injected: Finite
    """Unix s."""
    healed: Finite | None
    """When healing began, unix s; null if the fault was permanent."""
    before: WindowStats | None = None
    """From the start of the measured window, or the recovery from faults before."""
    during: WindowStats | None = None
    """Until healing began, or to the end of the window."""
    after: WindowStats | None = None
    """Until the next fault or the end of the window; null also if the fault was permanent."""
    first_error_s: Finite | None = None
    """Time from the injection until a request failed; null also if none did until the end of `after`."""
    outage_s: Finite | None = None
    """Time without any success from the injection to the end of `after`, each stretch to 0.1 s."""
    longest_outage_s: Finite | None = None
    """The longest stretch of it."""
    least_outage_s: Finite | None = None
    """Shorter stretches without a success also occur by chance or without a fault, and are not counted."""
    recovery_s: Finite | None = None
    """Time from when healing began, or from the injection of a permanent fault, until for 2 s the completed rate
    and the p99 were within 10 % of those before the fault, or of windows of 2 s there."""
    late: int | None = None
    """Requests that completed from the injection to the end of `after`, but took longer than `late_limit_s`."""
    late_limit_s: Finite | None = None
    """The limit of `--slo`; otherwise the slowest request that completed before the fault, and 10 % more."""
    waited_s: Finite | None = None
    """By how much all late requests together took longer than the mean before, in s: the area between both curves."""
    lost: int | None = None
    """Requests that failed or never got an outcome, from the injection to the end of `after`."""
    availability: Finite | None = None
    """Share of all requests in that time that were neither late nor lost."""
    unknown: dict[str, str] = {}
    """Why figures are null."""


@dataclass(frozen=True)
class _Counts:
    """Requests of all clients by the interval in which they ended; slow ones completed at or above a limit."""

    completed: Array
    failed: Array
    slow: Array
    slow_sum: float
    """Sum of the latencies of slow requests, s."""

    @classmethod
    def create(cls, clients: Sequence[ClientLog], start_ms: int, end_ms: int, limit_s: float) -> _Counts:
        """Count between two times on the grid; whether a request is slow depends on where its bucket begins."""
        number = (end_ms - start_ms) // INTERVAL_MS
        completed, failed, slow, slow_sum = np.zeros(number), np.zeros(number), np.zeros(number), 0.0
        for client in clients:
            log = client.log.rows(start_ms, end_ms)
            at, totals = (log.starts_ms - start_ms) // INTERVAL_MS, log.totals()
            good = log.rows_of(lambda tag: not tag.error and tag.workload != SCHEDULING_DELAY)
            bad = log.rows_of(lambda tag: tag.error not in ("", UNANSWERED))
            np.add.at(completed, at[good], totals[good])
            np.add.at(failed, at[bad], totals[bad])
            rows, buckets, counts = log.entries()
            beyond = good[rows] & (edges_of(log)[buckets] >= limit_s)
            np.add.at(slow, at[rows[beyond]], counts[beyond])
            slow_sum += float((counts[beyond] * middles_of(log)[buckets[beyond]]).sum())
        return cls(completed, failed, slow, slow_sum)

    def rolling(self) -> tuple[Array, Array]:
        """Return the completed requests, and the share of slow and failed ones, in the 2 s from each interval on."""
        completed, ended, slow = (
            np.lib.stride_tricks.sliding_window_view(values, _STEADY).sum(axis=1)
            for values in (self.completed, self.completed + self.failed, self.slow + self.failed)
        )
        return completed, np.where(ended > 0, slow / np.maximum(ended, 1), 1.0)


@dataclass(frozen=True)
class _Baseline:
    """The requests before a fault, and by how much those of 2 s differ from each other without one."""

    start_ms: int
    end_ms: int
    stats: WindowStats
    rate: float
    """Completed requests per interval."""
    longest_gap: int
    """Most intervals in a row without a success."""
    slow_limit_s: float | None
    """1.1 times the p99; None if it is unknown."""
    rate_tolerance: float
    """Completed requests in 2 s by which they may differ."""
    slow_share: float
    """Share of requests in 2 s that may be slow or fail."""
    late_limit_s: float | None
    """Latency above which requests are late."""

    @classmethod
    def create(cls, clients: Sequence[ClientLog], start_ms: int, end_ms: int, slo_s: float | None) -> _Baseline:
        """Measure what was before a fault, between two times on the grid."""
        stats = _stats(clients, start_ms, end_ms)
        p99 = stats.latency_s.p99 if stats.latency_s else None
        limit = None if p99 is None or p99.upper is None else p99.upper * (1 + TOLERANCE)
        counts = _Counts.create(clients, start_ms, end_ms, math.inf if limit is None else limit)
        rate, tolerance, share = float(counts.completed.mean()), 0.0, _SLOW_SHARE
        if len(counts.completed) >= _STEADY:
            completed, slow = counts.rolling()
            tolerance = float(np.abs(completed - rate * _STEADY).max())
            share = max(share, float(slow.max()))
        slowest = stats.successful_latency_s.quantiles["max"].upper if stats.successful_latency_s else None
        gaps = _gaps(counts.completed)
        return cls(
            start_ms=start_ms,
            end_ms=end_ms,
            stats=stats,
            rate=rate,
            longest_gap=int(gaps.max(initial=0)),
            slow_limit_s=limit,
            rate_tolerance=max(tolerance, TOLERANCE * rate * _STEADY),
            slow_share=share,
            late_limit_s=slo_s if slo_s is not None or slowest is None else slowest * (1 + TOLERANCE),
        )

    @property
    def steady(self) -> bool:
        """Whether it is long enough to judge whether 2 s are like it."""
        return self.end_ms - self.start_ms >= _STEADY * INTERVAL_MS


def fault_impacts(
    faults: Sequence[FaultWindow], clients: Sequence[ClientLog], start: float, end: float, slo_s: float | None = None
) -> list[FaultImpact]:
    """Return what each fault did in the measured window from `start` to `end` (unix s), in the order of `faults`.

    Requests are late if they took longer than `slo_s`; without it, than the slowest before the fault and 10 %.
    """
    begin_ms, end_ms = on_grid(start, end)
    inside = [index for index, fault in enumerate(faults) if begin_ms / 1000 <= fault.injected < end_ms / 1000]
    found = {
        index: _unknown(fault, "it was injected outside the measured window") for index, fault in enumerate(faults)
    }
    if why := _why_unknown(clients, start, end):
        return [_unknown(fault, why) for fault in faults]
    changes = _load_changes(clients, begin_ms, end_ms)
    groups, baseline = _overlapping(faults, inside), None
    for position, group in enumerate(groups):
        members = [faults[index] for index in group]
        first_ms = _floor(members[0].injected)
        last_ms = _floor(faults[groups[position + 1][0]].injected) if position + 1 < len(groups) else end_ms
        if first_ms > begin_ms and (baseline is None or first_ms - begin_ms >= _STEADY * INTERVAL_MS):
            baseline = _Baseline.create(clients, begin_ms, first_ms, slo_s)
        if baseline is None or not baseline.rate:
            found |= {index: _unknown(faults[index], "no request completed before the fault") for index in group}
            continue
        for index in group:
            found[index] = _impact(faults[index], members, clients, baseline, last_ms, changes)
        recovery = found[group[0]].recovery_s
        settled = _settled(members)
        # After a fault from which the system did not recover, the next one is compared with the time before both.
        begin_ms = end_ms if recovery is None else _ceil(settled + recovery)
    return [found[index] for index in range(len(faults))]


def _overlapping(faults: Sequence[FaultWindow], inside: Sequence[int]) -> list[list[int]]:
    """Return the indexes of faults `inside` the window by their start, those that overlap together."""
    groups: list[list[int]] = []
    until = -math.inf
    for index in sorted(inside, key=lambda index: faults[index].injected):
        healed = faults[index].healed
        if faults[index].injected >= until:
            groups.append([])
        groups[-1].append(index)
        until = max(until, math.inf if healed is None else healed)
    return groups


def _settled(members: Sequence[FaultWindow]) -> float:
    """Return when the last of some faults that overlap was injected, if permanent, or began to be healed."""
    return max(member.injected if member.healed is None else member.healed for member in members)


def _impact(
    fault: FaultWindow,
    members: Sequence[FaultWindow],
    clients: Sequence[ClientLog],
    baseline: _Baseline,
    last_ms: int,
    changes: str | None,
) -> FaultImpact:
    """Return what one of some faults that overlap did until `last_ms`; `changes` is why the load is not the same."""
    first_ms, settled, unknown = _floor(fault.injected), _settled(members), dict[str, str]()
    healed_ms = min(last_ms, last_ms if fault.healed is None else max(_ceil(fault.healed), first_ms + INTERVAL_MS))
    during, after = _stats(clients, first_ms, healed_ms), None
    if all(member.healed is not None for member in members):
        if _ceil(settled) < last_ms:
            after = _stats(clients, _ceil(settled), last_ms)
        else:
            unknown["after"] = "nothing was measured between healing and the next fault or the end of the window"
    limit = baseline.late_limit_s
    counts = _Counts.create(clients, first_ms, last_ms, math.inf if limit is None else limit)
    losses = _losses(counts, _stats(clients, first_ms, last_ms), baseline)
    if losses.lost is None:
        unknown |= dict.fromkeys(("lost", "availability", "first_error_s"), "the latency logs have no failed requests")
    errors = np.flatnonzero(counts.failed) if losses.lost else np.zeros(0)
    gaps, least = _gaps(counts.completed), _least_gap(baseline, len(counts.completed))
    # A stretch begins within the interval before the empty ones and ends in the one after them, in the mean halfway.
    outages = np.minimum((gaps[gaps >= least] + 1) * INTERVAL_MS / 1000, last_ms / 1000 - fault.injected)
    recovery, why = (None, changes) if changes else _recovery(members, clients, baseline, last_ms)
    if why:
        unknown["recovery_s"] = why
    if changes:
        unknown |= dict.fromkeys(("outage_s", "longest_outage_s", "least_outage_s"), changes)
    return FaultImpact(
        kind=fault.kind,
        target=fault.target,
        injected=fault.injected,
        healed=fault.healed,
        before=baseline.stats,
        during=during,
        after=after,
        first_error_s=max(0.0, round((first_ms + errors[0] * INTERVAL_MS) / 1000 - fault.injected, 3))
        if errors.size
        else None,
        outage_s=None if changes else round(min(float(outages.sum()), last_ms / 1000 - fault.injected), 3),
        longest_outage_s=None if changes else round(float(outages.max(initial=0.0)), 3),
        least_outage_s=None if changes else round((least + 1) * INTERVAL_MS / 1000, 3),
        recovery_s=recovery,
        late=losses.late,
        late_limit_s=limit,
        waited_s=losses.waited_s,
        lost=losses.lost,
        availability=losses.availability,
        unknown=unknown,
    )


class _Losses(NamedTuple):
    late: int | None
    waited_s: float | None
    lost: int | None
    availability: float | None


def _losses(counts: _Counts, affected: WindowStats, baseline: _Baseline) -> _Losses:
    """Return how many requests were late or lost; `counts` has as slow ones those that were late."""
    lost = None if affected.failed is None else affected.failed + affected.unanswered
    usual, completed, late = baseline.stats.successful_latency_s, float(counts.completed.sum()), int(counts.slow.sum())
    if baseline.late_limit_s is None or usual is None or usual.mean is None:
        return _Losses(None, None, lost, None)
    share = None if lost is None or not completed + lost else (completed - late) / (completed + lost)
    return _Losses(late, round(counts.slow_sum - late * usual.mean, 6), lost, share)


def _recovery(
    members: Sequence[FaultWindow], clients: Sequence[ClientLog], baseline: _Baseline, last_ms: int
) -> tuple[float | None, str]:
    """Return how long the system took to recover from faults that overlap, or None and why that is unknown."""
    settled = _settled(members)
    permanent = any(member.healed is None for member in members)
    begin_ms = _floor(settled) if permanent else _ceil(settled)
    if not baseline.steady:
        return None, f"less than {STEADY_S:g} s were measured before the fault"
    if baseline.slow_limit_s is None:
        return None, "more than 1 % of the requests before the fault failed"
    if last_ms - begin_ms < _STEADY * INTERVAL_MS:
        return None, f"less than {STEADY_S:g} s were measured before the next fault or the end of the window"
    counts = _Counts.create(clients, begin_ms, last_ms, baseline.slow_limit_s)
    completed, slow = counts.rolling()
    good = np.abs(completed - baseline.rate * _STEADY) <= baseline.rate_tolerance + 1e-9
    good &= (slow <= baseline.slow_share + 1e-9) & (counts.completed[: len(good)] > 0)
    if not good.any():
        return None, f"not within {(last_ms - begin_ms) / 1000:g} s, until the next fault or the end of the window"
    first = int(np.argmax(good))
    return (max(0.0, round((begin_ms + first * INTERVAL_MS) / 1000 - settled, 3)) if first else 0.0), ""


def _least_gap(baseline: _Baseline, intervals: int) -> int:
    """Return how many intervals without a success are an outage: more than before, and than chance would leave.

    Chance is that of independent requests, of a Poisson process.
    """
    chance = math.ceil(math.log(max(intervals, 1) / _CHANCE) / baseline.rate)
    return max(baseline.longest_gap + 1, chance)


def _gaps(completed: Array) -> Array:
    """Return the lengths of all stretches of intervals without a success."""
    empty = np.concatenate([[False], completed == 0, [False]]).astype(np.int8)
    changes = np.diff(empty)
    return np.asarray(np.flatnonzero(changes == -1) - np.flatnonzero(changes == 1), dtype=np.float64)


def _stats(clients: Sequence[ClientLog], start_ms: int, end_ms: int) -> WindowStats:
    increases = [increase_of_log(client, start_ms / 1000, end_ms / 1000, None) for client in clients]
    return window_stats(increases, LOAD_GENERATOR)


def _why_unknown(clients: Sequence[ClientLog], start: float, end: float) -> str | None:
    """Return why nothing is known about faults in a window; None if the logs show it."""
    if not clients:
        return "only latency logs of all clients show what a fault did"
    for client in clients:
        if not client.log.aligned:
            return f"client {client.name}: the intervals of its latency log are not those of 0.1 s"
        if missing := incomplete(client, start, end):
            return f"client {client.name}: {missing}"
    return None


def _load_changes(clients: Sequence[ClientLog], start_ms: int, end_ms: int) -> str | None:
    """Return that the load was not the same all the time; None if it was, or if it is unknown."""
    edges = np.linspace(start_ms, end_ms, _SLICES + 1) / 1000
    due = [
        sum(client.scheduled(low, high) for client in clients if client.scheduled)
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    changed = max(due) - min(due) > 0.01 * max(due)
    return "the load changes in the window: the rate before the fault is not the one to return to" if changed else None


def _unknown(fault: FaultWindow, why: str) -> FaultImpact:
    return FaultImpact(
        kind=fault.kind, target=fault.target, injected=fault.injected, healed=fault.healed, unknown={"all": why}
    )


def _floor(moment: float) -> int:
    return math.floor(round(moment * 1000, 3) / INTERVAL_MS) * INTERVAL_MS


def _ceil(moment: float) -> int:
    return math.ceil(round(moment * 1000, 3) / INTERVAL_MS) * INTERVAL_MS

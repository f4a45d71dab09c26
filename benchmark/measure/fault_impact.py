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

from benchmark.measure.client_logs import ClientLog, incomplete, on_grid
from benchmark.measure.impact_counts import Baseline, Counts, Criteria, ceil_ms, floor_ms, gaps_of, least_gap, stats_of
from benchmark.measure.window_stats import WindowStats
from benchmark.metrics.latency_log import INTERVAL_MS
from benchmark.model import Finite, StrictModel

_FEW = 10
"""Requests in a second that have no meaningful quantile."""
_SECOND = 1000 // INTERVAL_MS
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
    hosts: tuple[str, ...] = ()
    """Hosts of the nodes that it affected."""


class RegionImpact(StrictModel):
    """What a fault did to the clients of one region, as far as it differs from others; null is unknown."""

    first_error_s: Finite | None = None
    outage_s: Finite | None = None
    longest_outage_s: Finite | None = None
    least_outage_s: Finite | None = None
    recovery_s: Finite | None = None
    late: int | None = None
    late_limit_s: Finite | None = None
    waited_s: Finite | None = None
    lost: int | None = None
    availability: Finite | None = None
    unknown: dict[str, str] = {}


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
    and the p99 were within 10 % of those before the fault, or of windows of 2 s there; `recovery` in the settings
    changes these limits."""
    late: int | None = None
    """Requests that completed from the injection to the end of `after`, but took longer than `late_limit_s`."""
    late_limit_s: Finite | None = None
    """The limit of `--slo`; otherwise the slowest request that completed before the fault, and 10 % more."""
    waited_s: Finite | None = None
    """By how much all late requests together took longer than the mean before, in s: the area between both curves."""
    lost: int | None = None
    """Requests that failed or never got an outcome, from the injection to the end of `after`."""
    availability: Finite | None = None
    """Share of all requests in that time that were neither late nor lost; with `slo`, share of its seconds that met
    that limit."""
    slo: str | None = None
    """Limit of a quantile, such as `p99=0.5s`, on which `availability` is based; null if it is based on requests."""
    catch_up_s: dict[str, Finite | None] = {}
    """Time from when healing began until each host's node had the position of the others, up to a scrape interval too
    long; null if that is unknown. Empty if the fault was permanent, or the protocol has no metric of the position."""
    regions: dict[str, RegionImpact] = {}
    """What the clients of each region saw; empty if all are in one."""
    unknown: dict[str, str] = {}
    """Why figures are null."""

    @property
    def slowest_catch_up_s(self) -> float | None:
        """The time until the last node had caught up; None if it is unknown."""
        known = [value for value in self.catch_up_s.values() if value is not None]
        return max(known) if known and len(known) == len(self.catch_up_s) else None


def fault_impacts(
    faults: Sequence[FaultWindow],
    clients: Sequence[ClientLog],
    start: float,
    end: float,
    criteria: Criteria = Criteria(),  # noqa: B008
) -> list[FaultImpact]:
    """Return what each fault did in the measured window from `start` to `end` (unix s), in the order of `faults`."""
    found = _impacts(faults, clients, start, end, criteria)
    regions = sorted({client.region for client in clients})
    if len(regions) < 2:
        return found
    by_region = {
        region: _impacts(faults, [each for each in clients if each.region == region], start, end, criteria)
        for region in regions
    }
    fields = set(RegionImpact.model_fields)
    return [
        impact.model_copy(
            update={
                "regions": {
                    region: RegionImpact.model_validate(parts[index].model_dump(include=fields))
                    for region, parts in by_region.items()
                }
            }
        )
        for index, impact in enumerate(found)
    ]


def _impacts(
    faults: Sequence[FaultWindow], clients: Sequence[ClientLog], start: float, end: float, criteria: Criteria
) -> list[FaultImpact]:
    """Return what each fault did to some clients."""
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
        first_ms = floor_ms(members[0].injected)
        last_ms = floor_ms(faults[groups[position + 1][0]].injected) if position + 1 < len(groups) else end_ms
        if first_ms > begin_ms and (baseline is None or first_ms - begin_ms >= criteria.steady * INTERVAL_MS):
            baseline = Baseline.create(clients, begin_ms, first_ms, criteria)
        if baseline is None or not baseline.rate:
            found |= {index: _unknown(faults[index], "no request completed before the fault") for index in group}
            continue
        for index in group:
            found[index] = _impact(faults[index], members, clients, baseline, last_ms, changes)
        recovery = found[group[0]].recovery_s
        settled = _settled(members)
        # After a fault from which the system did not recover, the next one is compared with the time before both.
        begin_ms = end_ms if recovery is None else ceil_ms(settled + recovery)
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
    baseline: Baseline,
    last_ms: int,
    changes: str | None,
) -> FaultImpact:
    """Return what one of some faults that overlap did until `last_ms`; `changes` is why the load is not the same."""
    first_ms, settled, unknown = floor_ms(fault.injected), _settled(members), dict[str, str]()
    healed_ms = min(last_ms, last_ms if fault.healed is None else max(ceil_ms(fault.healed), first_ms + INTERVAL_MS))
    during, after = stats_of(clients, first_ms, healed_ms), None
    if all(member.healed is not None for member in members):
        if ceil_ms(settled) < last_ms:
            after = stats_of(clients, ceil_ms(settled), last_ms)
        else:
            unknown["after"] = "nothing was measured between healing and the next fault or the end of the window"
    limit = baseline.late_limit_s
    counts = Counts.create(clients, first_ms, last_ms, math.inf if limit is None else limit)
    losses = _losses(counts, stats_of(clients, first_ms, last_ms), baseline)
    quantile, availability = baseline.criteria.slo_quantile, losses.availability
    if quantile is not None:
        availability, why = _seconds_available(counts, baseline, quantile)
        unknown |= {"availability": why} if why else {}
    if losses.lost is None:
        unknown |= dict.fromkeys(("lost", "availability", "first_error_s"), "the latency logs have no failed requests")
    errors = np.flatnonzero(counts.failed) if losses.lost else np.zeros(0)
    gaps, least = gaps_of(counts.completed), least_gap(baseline, len(counts.completed))
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
        availability=None if "availability" in unknown else availability,
        slo=baseline.criteria.slo,
        unknown=unknown,
    )


class _Losses(NamedTuple):
    late: int | None
    waited_s: float | None
    lost: int | None
    availability: float | None


def _losses(counts: Counts, affected: WindowStats, baseline: Baseline) -> _Losses:
    """Return how many requests were late or lost; `counts` has as slow ones those that were late."""
    lost = None if affected.failed is None else affected.failed + affected.unanswered
    usual, completed, late = baseline.stats.successful_latency_s, float(counts.completed.sum()), int(counts.slow.sum())
    if baseline.late_limit_s is None or usual is None or usual.mean is None:
        return _Losses(None, None, lost, None)
    share = None if lost is None or not completed + lost else (completed - late) / (completed + lost)
    return _Losses(late, round(counts.slow_sum - late * usual.mean, 6), lost, share)


def _seconds_available(counts: Counts, baseline: Baseline, quantile: float) -> tuple[float | None, str]:
    """Return the share of seconds in which a quantile was within the limit, or None and why that is unknown."""
    if baseline.rate * _SECOND < _FEW:
        return None, f"less than {_FEW} requests per second completed before the fault, too few for a quantile of each"
    share = counts.available(quantile)
    return share, "" if share is not None else "less than a second was measured from the injection on"


def _recovery(
    members: Sequence[FaultWindow], clients: Sequence[ClientLog], baseline: Baseline, last_ms: int
) -> tuple[float | None, str]:
    """Return how long the system took to recover from faults that overlap, or None and why that is unknown."""
    settled, steady, steady_s = _settled(members), baseline.criteria.steady, baseline.criteria.steady_s
    permanent = any(member.healed is None for member in members)
    begin_ms = floor_ms(settled) if permanent else ceil_ms(settled)
    if not baseline.steady:
        return None, f"less than {steady_s:g} s were measured before the fault"
    if baseline.slow_limit_s is None:
        return None, "more than 1 % of the requests before the fault failed"
    if last_ms - begin_ms < steady * INTERVAL_MS:
        return None, f"less than {steady_s:g} s were measured before the next fault or the end of the window"
    counts = Counts.create(clients, begin_ms, last_ms, baseline.slow_limit_s)
    completed, slow = counts.rolling(steady)
    good = np.abs(completed - baseline.rate * steady) <= baseline.rate_tolerance + 1e-9
    good &= (slow <= baseline.slow_share + 1e-9) & (counts.completed[: len(good)] > 0)
    if not good.any():
        return None, f"not within {(last_ms - begin_ms) / 1000:g} s, until the next fault or the end of the window"
    first = int(np.argmax(good))
    return (max(0.0, round((begin_ms + first * INTERVAL_MS) / 1000 - settled, 3)) if first else 0.0), ""


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

"""Measure the window from the latency logs of the clients, and compare them with what Prometheus sampled.

Intervals of the logs are 0.1 s long and windows begin and end with one, so a window is counted exactly. The other
measurement is independent: the same process counts requests in another place, another program reads the counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmark.measure.histogram import Array, Histogram
from benchmark.measure.run_metrics import QUANTILES, Quantile
from benchmark.measure.scrapes import SampleRange, ScrapedTarget
from benchmark.measure.timeline import Timeline
from benchmark.measure.window_stats import Increase
from benchmark.metrics.latency_log import (
    INTERVAL_MS,
    MICROSECONDS,
    SCHEDULING_DELAY,
    UNANSWERED,
    Integers,
    LatencyLog,
    Layout,
    Tag,
)
from benchmark.metrics.names import SUBMITTED, MetricNames

SCRAPE_DURATION = "scrape_duration_seconds"
_SLACK_S = 0.1
"""Error of clocks, and time until a counter is exported."""
_HANGS = 2.0
_FEW = 10
"""Requests that chance may keep from being due at the end of a window."""
_LONGEST_US = 3_600_000_000
"""Longest latency that the project's generator records."""
_ENTRIES = 1 << 20
"""Entries of logs that are sorted at once: it bounds the memory."""


@dataclass(frozen=True)
class ClientLog:
    """The latency log of a client."""

    name: str
    """The host, with the process where several clients are on it."""
    host: str
    region: str
    log: LatencyLog
    scheduled: Callable[[float, float], float] | None = None
    """Return how many requests its schedule makes due between two times (unix s); None where it has none."""
    sampled: bool = True
    """Whether it also exports metrics, which confirm the log."""
    clock_offset_s: float = 0.0
    """By how much its clock is ahead of the one that dates the samples."""
    counts_errors: bool = True
    """Whether the log has failed requests, too; their number is unknown otherwise."""

    @property
    def counts_sent(self) -> bool:
        """Whether the log shows what was sent, as those of the project's generator do."""
        return Tag(SCHEDULING_DELAY) in self.log.tags


def on_grid(start: float, end: float) -> tuple[int, int]:
    """Return the largest window of whole intervals within the one from `start` to `end` (unix s), in ms."""
    first, last = math.ceil(round(start * 1000, 3) / INTERVAL_MS), math.floor(round(end * 1000, 3) / INTERVAL_MS)
    return first * INTERVAL_MS, max(first, last) * INTERVAL_MS


def increase_of_log(
    client: ClientLog, start: float, end: float, timeout_s: float | None, workload: str | None = None
) -> Increase:
    """Return what a client counted in the window, of one workload or of all.

    `timeout_s` is when requests fail; where it is unknown, the failure that took least shows it, unless that is 0: then
    nothing is known about how long failed requests took.
    """
    start_ms, end_ms = on_grid(start, end)
    first_ms, last_ms = _covered(client.log, start_ms, end_ms)
    counts = {
        tag: each for tag, each in _counts(client.log, start_ms, end_ms).items() if workload in (None, tag.workload)
    }
    delays = counts.pop(Tag(SCHEDULING_DELAY), None)
    edges, middles = edges_of(client.log), middles_of(client.log)
    completed = np.zeros(len(middles), dtype=np.int64)
    errors: dict[str, float] = {}
    least = math.inf
    for tag, each in counts.items():
        if not tag.error:
            completed[: len(each)] += each
        elif tag.error != UNANSWERED:
            errors[tag.error] = float(each.sum())
            least = min(least, float(edges[np.flatnonzero(each)[0]]))
    histogram = _histogram(edges, completed)
    sent = None
    if client.counts_sent and workload is None:
        sent = 0.0 if delays is None else float(delays.sum())
    scheduled = client.scheduled(start_ms / 1000, end_ms / 1000) if client.scheduled and workload is None else None
    return Increase(
        seconds=((last_ms - first_ms) or (end_ms - start_ms)) / 1000,
        completed=float(completed.sum()),
        # A dot product would wait for threads of the linear algebra library, which are slow on a loaded machine.
        latency_sum=float((completed * middles).sum()),
        squared_sum=float((completed * middles**2).sum()),
        histogram=histogram,
        sent=sent,
        scheduled=scheduled,
        backlog=None,  # the log does not show which of the failed requests had been sent
        errors=errors if client.counts_errors else None,
        fine=True,
        timeout_s=timeout_s if timeout_s is not None or least == 0 or math.isinf(least) else least,
        hung=_hung(client.log, end_ms, start_ms, histogram.slowest, workload),
        carried_over=_carried_over(client.log, start_ms, end_ms, workload),
    )


@lru_cache(maxsize=1)
def _counts(log: LatencyLog, start_ms: int, end_ms: int) -> dict[Tag, Integers]:
    return log.rows(start_ms, end_ms).by_tag()


def _hung(log: LatencyLog, end_ms: int, start_ms: int, slowest: float, workload: str | None) -> float:
    """Return how many requests that fell due in the window never got an outcome and are far older than all others."""
    left = log.tagged(lambda tag: tag.error == UNANSWERED and workload in (None, tag.workload))
    rows, buckets, counts = left.entries()
    age = edges_of(log)[buckets]
    due = left.starts_ms[rows] / 1000 - age
    hung = (age > _HANGS * slowest) & (due >= start_ms / 1000) & (due < end_ms / 1000)
    return float(counts[hung].sum())


def _carried_over(log: LatencyLog, start_ms: int, end_ms: int, workload: str | None) -> float:
    """Return how many requests that fell due before the window completed in it, to half an interval of the log."""
    inside = log.rows(start_ms, end_ms)
    used = inside.only(np.diff(inside.offsets) > 0).tagged(
        lambda tag: _completed(tag) and workload in (None, tag.workload)
    )
    middles, ends = middles_of(log), (used.starts_ms + used.lengths_ms / 2) / 1000
    # Entries are ordered by bucket: few rows have such a request, so few are looked at.
    few = used.only(ends - middles[used.buckets[used.offsets[1:] - 1]] < start_ms / 1000)
    rows, buckets, counts = few.entries()
    ended = (few.starts_ms + few.lengths_ms / 2)[rows] / 1000
    return float(counts[ended - middles[buckets] < start_ms / 1000].sum())


def first_completed(client: ClientLog, start: float, end: float) -> float | None:
    """Return how many s after the window's start the first request completed, if none had before."""
    begins = client.log.starts_ms[client.log.rows_of(_completed)] / 1000
    return float(begins[0]) - start if len(begins) and start < begins[0] < end else None


def _covered(log: LatencyLog, start_ms: int, end_ms: int) -> tuple[int, int]:
    """Return the part of a window that the intervals within it stand for: all but what those across its edges cover."""
    ends_ms = log.starts_ms + log.lengths_ms
    first = ends_ms[(log.starts_ms < start_ms) & (ends_ms > start_ms)].max(initial=start_ms)
    last = log.starts_ms[(log.starts_ms < end_ms) & (ends_ms > end_ms)].min(initial=end_ms)
    return int(first), max(int(first), int(last))


def incomplete(client: ClientLog, start: float, end: float) -> str | None:
    """Return what shows that the log does not have all requests of the window; None if nothing does.

    Nothing shows that a log is complete but a request that ended after the window, or with it: it ends early if ten
    requests were due in the rest, or would fit into it where that is unknown.
    """
    log, (start_ms, end_ms) = client.log, on_grid(start, end)
    first_ms, last_ms = _covered(log, start_ms, end_ms)
    if first_ms == last_ms:
        return "its latency log has no whole interval in the window; let it write shorter ones, or measure for longer"
    last = float((log.starts_ms + log.lengths_ms).max(initial=0 if len(log.starts_ms) else start_ms)) / 1000
    if client.scheduled:
        missing = client.scheduled(max(start, last), max(end, last))
    else:
        missing = (
            int(log.rows(start_ms, end_ms).totals().sum()) * (end - last) / (end - start) if last > start else math.inf
        )
    if missing > _FEW and end - last > float(log.lengths_ms.max(initial=0)) / 1000:
        return f"its latency log ends {end - last:.1f} s before the window does: it hung, or stopped or wrote too late"
    return None


def delay_of(client: ClientLog, start: float, end: float) -> Quantile | None:
    """Return the p99 of the time from when requests fell due until the client sent them; None if it is unknown."""
    counts = _counts(client.log, *on_grid(start, end)).get(Tag(SCHEDULING_DELAY))
    if counts is None:
        return None
    return _histogram(client.log.layout.edges(len(counts)), counts).quantile(0.99)


def workloads_of(clients: Iterable[ClientLog]) -> list[str]:
    """Return the names of all workloads."""
    names = {tag.workload for client in clients for tag in client.log.tags}
    return sorted(names - {SCHEDULING_DELAY})


def lost_requests(client: ClientLog) -> int:
    """Return how many requests were sent, by its whole log, whose outcome is not in it."""
    totals = client.log.totals()
    sent = client.log.rows_of(lambda tag: tag.workload == SCHEDULING_DELAY)
    return max(0, int(totals[sent].sum() - totals[~sent].sum()))


def contradiction(client: ClientLog, target: ScrapedTarget, samples: SampleRange, names: MetricNames) -> str | None:
    """Return how the log of a client contradicts the samples of its counters; None if they agree.

    A sample has the time at which its scrape began, and counts at some moment until the scrape was over. So what ended
    in the intervals that these moments may lie in can be counted by one of the two alone, and no more.
    """
    log, durations = client.log, target.gauge(SCRAPE_DURATION)
    begins = log.starts_ms / 1000 - client.clock_offset_s
    ends, totals = begins + log.lengths_ms / 1000, log.totals()
    first, last = float(target.times[samples.first]), float(target.times[samples.last])
    took = [float(durations[at]) if len(durations) else 0.0 for at in (samples.first, samples.last)]
    possible = (ends > first - _SLACK_S) & (begins < last + took[1] + _SLACK_S)
    certain = (begins >= first + took[0] + _SLACK_S) & (ends <= last - _SLACK_S)
    if any(samples.first < at <= samples.last for at in target.restarts):
        return None
    found = []
    for what, metric, wanted in (
        ("completed", names.completed, _completed),
        ("failed", names.errors or "", _failed),
        ("sent", SUBMITTED if client.counts_sent else "", lambda tag: tag.workload == SCHEDULING_DELAY),
    ):
        if target.unknown(metric, samples) is None:
            rows, counted = log.rows_of(wanted), round(target.increase(metric, samples))
            least, most = int(totals[rows & certain].sum()), int(totals[rows & possible].sum())
            if not least <= counted <= most:
                found.append(f"{counted} {what} by its counters, but {least} to {most} by its latency log")
    return ", ".join(found) or None


def log_timeline(
    clients: Sequence[ClientLog], start: float, end: float, step: float, *, quantiles: bool = True
) -> Timeline | None:
    """Return the statistics of clients per interval of about `step` s between two times (unix s).

    The intervals are not shorter than those of the logs, and count those that begin in them. Those of the project are
    0.1 s long, so that they count exactly what ended then.

    None where no client has a row there. Failed requests count with their timeout; where that is unknown, as slower
    than all others. The `quantiles` take most of the time.
    """
    start_ms, end_ms = on_grid(start, end)
    unit = max((int(client.log.lengths_ms.max(initial=INTERVAL_MS)) for client in clients), default=INTERVAL_MS)
    units = (end_ms - start_ms) // unit
    inside = [client.log.rows(start_ms, start_ms + units * unit, whole=False) for client in clients]
    if not any(len(log.starts_ms) for log in inside):
        return None
    number = min(max(1, round(units * unit / 1000 / step)), units)
    edges = start_ms + np.rint(np.linspace(0, units, number + 1)).astype(np.int64) * unit
    width = np.diff(edges) / 1000
    sums = {name: np.zeros(number) for name in ("completed", "failed", "sent", "seconds", "lost")}
    for log in inside:
        at = np.clip(np.searchsorted(edges, log.starts_ms, side="right") - 1, 0, number - 1)
        totals = log.totals().astype(np.float64)
        rows, buckets, counts = log.entries()
        seconds = np.bincount(rows, weights=counts * _seconds(log, rows, buckets), minlength=len(totals))
        for name, wanted, values in (
            ("completed", _completed, totals),
            ("failed", _failed, totals),
            ("sent", lambda tag: tag.workload == SCHEDULING_DELAY, totals),
            ("seconds", _completed, seconds),
            ("lost", _failed, seconds),
        ):
            chosen = log.rows_of(wanted)
            sums[name] += np.bincount(at[chosen], weights=values[chosen], minlength=number)
    ended = sums["completed"] + sums["failed"]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, successful = (sums["seconds"] + sums["lost"]) / ended, sums["seconds"] / sums["completed"]
        mean[np.isinf(mean)] = np.nan
    knows_sent = all(client.counts_sent for client in clients)
    knows_errors = all(client.counts_errors for client in clients)
    return Timeline(
        edges=edges / 1000,
        completed_tps=sums["completed"] / width,
        sent_tps=sums["sent"] / width if knows_sent else np.full(number, np.nan),
        errors_tps=sums["failed"] / width if knows_errors else np.full(number, np.nan),
        mean_s=mean,
        successful_mean_s=successful,
        quantiles_s=_quantiles_over_time(inside, edges, ended) if quantiles else {},
    )


def _quantiles_over_time(logs: Sequence[LatencyLog], edges: Integers, ended: Array) -> dict[str, Array]:
    """Return quantiles of all requests that ended in each interval between `edges` (ms), by metric name."""
    shown = {metric: q for metric, q in QUANTILES.items() if metric.over_time}
    found = {metric.name: np.full(len(ended), np.nan) for metric in shown}
    entries = np.cumsum([len(log.counts) for log in logs])[-1] if logs else 0
    blocks = max(1, min(len(ended), -(-int(entries) // _ENTRIES)))
    for block in np.array_split(np.arange(len(ended)), blocks):
        inside = edges[block[0]], edges[block[-1] + 1]
        parts = []
        for log in logs:
            chosen = log.rows(int(inside[0]), int(inside[1]), whole=False).tagged(
                lambda tag: _completed(tag) or _failed(tag)
            )
            rows, buckets, counts = chosen.entries()
            at = np.searchsorted(edges, chosen.starts_ms, side="right") - 1
            parts.append((at[rows], _seconds(chosen, rows, buckets), counts))
        at, values, counts = (np.concatenate([part[column] for part in parts]) for column in range(3))
        order = np.lexsort((values, at))
        at, values, below = at[order], values[order], np.cumsum(counts[order])
        first = np.searchsorted(at, block)
        before = np.where(first > 0, below[np.maximum(first, 1) - 1], 0) if len(below) else np.zeros(len(block))
        total = np.bincount(at - block[0], weights=counts[order], minlength=len(block))
        for metric, q in shown.items():
            rank = before + np.maximum(1, np.ceil(np.round(q * total, 6)))
            index = np.searchsorted(below, rank, side="left")
            known = total > 0
            found[metric.name][block[known]] = np.where(np.isinf(values[index[known]]), np.nan, values[index[known]])
    return found


def _seconds(log: LatencyLog, rows: Integers, buckets: Integers) -> Array:
    """Return the latency of each entry in s; infinite for failed requests of which nothing is known."""
    unknown = log.rows_of(_failed)[rows] & (buckets == 0)
    return np.asarray(np.where(unknown, np.inf, middles_of(log)[buckets]), dtype=np.float64)


def _histogram(edges: Array, counts: Integers) -> Histogram:
    cumulative = np.append(np.cumsum(counts), counts.sum()).astype(np.float64)
    return Histogram(np.append(edges[1:], math.inf), cumulative)


def _completed(tag: Tag) -> bool:
    return not tag.error and tag.workload != SCHEDULING_DELAY


def _failed(tag: Tag) -> bool:
    return tag.error not in ("", UNANSWERED)


@lru_cache(maxsize=8)
def _layout_edges(layout: Layout, count: int) -> Array:
    edges = layout.edges(count)
    edges.flags.writeable = False
    return edges


def edges_of(log: LatencyLog) -> Array:
    """Return where buckets begin and end, in s, for all that the log may use; many logs share one array."""
    used = int(log.buckets.max(initial=0)) + 1
    whole = int(MICROSECONDS.index(np.array([_LONGEST_US]))[0]) + 1
    return _layout_edges(log.layout, max(whole, 1 << (used - 1).bit_length()) if used > whole else whole)


def middles_of(log: LatencyLog) -> Array:
    edges = edges_of(log)
    return np.asarray((edges[:-1] + edges[1:]) / 2, dtype=np.float64)

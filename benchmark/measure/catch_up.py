"""Measure how long nodes took to catch up after a fault, from samples of a metric of their position."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from benchmark.measure.fault_impact import FaultImpact, FaultWindow
from benchmark.measure.histogram import Array
from benchmark.measure.scrapes import ScrapedTarget


def with_catch_up(
    impacts: Sequence[FaultImpact],
    faults: Sequence[FaultWindow],
    nodes: Sequence[ScrapedTarget],
    metric: str,
    end: float,
) -> list[FaultImpact]:
    """Add the time that nodes took to catch up to what faults did; `end` is that of the window (unix s).

    `metric` is the position of a node in what all nodes agree on, such as the index of the last entry that it applied;
    `nodes` have the times of its samples. A node has caught up with its first sample after healing that shows at least
    the lowest of the last positions of the nodes without a fault.
    """
    found = []
    for impact, fault in zip(impacts, faults, strict=True):
        if fault.healed is None or "all" in impact.unknown:
            found.append(impact)
            continue
        healed, later = fault.healed, [other.injected for other in faults if other.injected >= fault.healed]
        until = min([end, *later])
        # Other faults that were in force meanwhile affect their nodes, too.
        down = {host for other in faults if _overlap(other, fault.injected, until) for host in other.hosts}
        others = [node for node in nodes if node.host not in down]
        times = {host: _caught_up(host, nodes, others, metric, healed, until) for host in fault.hosts}
        unknown = dict(impact.unknown)
        if None in times.values():
            unknown["catch_up_s"] = _why(fault.hosts, nodes, others, metric, until - healed)
        found.append(impact.model_copy(update={"catch_up_s": times, "unknown": unknown}))
    return found


def _overlap(fault: FaultWindow, start: float, end: float) -> bool:
    return fault.injected < end and (fault.healed is None or fault.healed >= start)


def _caught_up(
    host: str, nodes: Sequence[ScrapedTarget], others: Sequence[ScrapedTarget], metric: str, healed: float, until: float
) -> float | None:
    """Return how many s after healing the node of a host had caught up; None if it is unknown."""
    node = next((each for each in nodes if each.host == host), None)
    if node is None or not others:
        return None
    inside = (node.times > healed) & (node.times <= until)
    times, positions = node.times[inside], node.gauge(metric)[inside]
    reference = np.min([_last_known(other, metric, times) for other in others], axis=0) if times.size else times
    reached = np.flatnonzero(positions >= reference)
    return round(float(times[reached[0]]) - healed, 3) if reached.size else None


def _last_known(node: ScrapedTarget, metric: str, times: Array) -> Array:
    """Return the last position of a node at or before each time; infinite where there is none."""
    at = np.searchsorted(node.times, times, side="right") - 1
    return np.asarray(np.where(at >= 0, node.gauge(metric)[at], math.inf), dtype=np.float64)


def _why(
    hosts: Collection[str], nodes: Sequence[ScrapedTarget], others: Sequence[ScrapedTarget], metric: str, seconds: float
) -> str:
    without = [host for host in hosts if all(node.host != host for node in nodes)]
    if without:
        return f"{', '.join(without)}: `{metric}` was not sampled"
    if not others:
        return f"no node without a fault exported `{metric}`"
    return f"not within {seconds:.3g} s, until the next fault or the end of the window"

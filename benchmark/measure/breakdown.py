"""Measure the parts of a system's latency from the histograms of its nodes.

Every node counts from its first real sample at or after the window's start to its last one at or before its end, as
clients do; restarts, damaged series and buckets are treated the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from benchmark.measure.run_metrics import Latency
from benchmark.measure.scrapes import START_TIMES, RunSamples
from benchmark.measure.window_stats import Increase, increase_of, window_stats
from benchmark.metrics.breakdown import LatencyPart
from benchmark.metrics.names import MetricNames
from benchmark.metrics.samples import Series
from benchmark.model import Finite, StrictModel

_MOST_VALUES = 200
"""Values of a label that are shown; a label with more is a mistake, such as the id of a request."""


class PartStats(StrictModel):
    """What nodes counted in the measured window."""

    count: Finite | None
    """Observations, over all nodes; null if unknown."""
    sampled_seconds: Finite = 0.0
    """Time between the first and the last sample, the median over the nodes."""
    latency_s: Latency | None = None
    """Null for counters, if nothing was observed, or if it is unknown."""
    unknown: dict[str, str] = {}
    """Why a value is null although nodes export the metric, by name, such as `mean_s`."""


class MeasuredPart(LatencyPart):
    """A part of the latency with its statistics, by the value of its label; "" where it has none."""

    values: dict[str, PartStats] = {}
    """Over all nodes."""
    by_region: dict[str, dict[str, PartStats]] = {}
    """By the region of the nodes; a region without series of a value does not have it."""
    unknown: str | None = None
    """Why nothing is known."""


def measure_breakdown(
    parts: Sequence[LatencyPart],
    series: Iterable[Series],
    start: float,
    end: float,
    readable: Mapping[str, Mapping[str, str]] | None = None,
) -> list[MeasuredPart]:
    """Measure each part between `start` and `end` (unix s).

    `readable` has a name for values of labels, by label and value, such as the host that an id belongs to.
    """
    nodes = [one for one in series if one.labels.get("job") == "node"] if parts else []
    return [_measure(part, nodes, start, end, (readable or {}).get(part.label or "", {})) for part in parts]


def _measure(
    part: LatencyPart, nodes: Sequence[Series], start: float, end: float, readable: Mapping[str, str]
) -> MeasuredPart:
    if not nodes:
        return _unknown(part, "no metrics of nodes were sampled")
    names, label = part.names, part.scraped_label
    own = {names.completed} if part.kind == "counter" else {f"{names.latency}_bucket", f"{names.latency}_count"}
    kept = [one for one in nodes if one.metric in (*part.exported, *START_TIMES)] + _scrapes(nodes)
    targets = RunSamples(kept, names).targets("node", ("up", *START_TIMES, *names.counters))
    exporting = [target for target in targets if any(target.has(metric) for metric in own)]
    if not exporting:
        return _unknown(
            part, f"no node exports `{part.metric}`" + (" as a histogram" if part.kind == "histogram" else "")
        )
    values = sorted(
        {
            one.labels.get(label, "") if label else ""
            for target in exporting
            for metric in own
            for one in target.series.get(metric, ())
        }
    )
    if len(values) > _MOST_VALUES:
        return _unknown(part, f"label `{part.label}` has {len(values)} values, more than {_MOST_VALUES}")
    found: dict[str, list[Increase]] = {}
    by_region: dict[str, dict[str, list[Increase]]] = {}
    for target in exporting:
        inside = target.sample_range(start, end)
        if inside is None:
            continue
        for value in values:
            chosen = target.with_label(label, value) if label else target
            if any(chosen.has(metric) for metric in own):
                increase = increase_of(chosen, inside, names)
                shown = readable.get(value, value)
                found.setdefault(shown, []).append(increase)
                by_region.setdefault(target.region, {}).setdefault(shown, []).append(increase)
    if not found:
        return _unknown(part, "no node was sampled twice in the measured window")
    return MeasuredPart(
        **part.model_dump(),
        values={value: _stats(part, found[value], names) for value in sorted(found)},
        by_region={
            region: {value: _stats(part, members[value], names) for value in sorted(members)}
            for region, members in sorted(by_region.items())
        },
    )


def _scrapes(nodes: Sequence[Series]) -> list[Series]:
    """Return when nodes were scraped: a series that is absent from such a scrape did not exist yet."""
    scrapes = [(one, one.values == 1) for one in nodes if one.metric == "up"]
    return [
        dataclasses.replace(one, times=one.times[answered], values=one.values[answered])
        for one, answered in scrapes
        if answered.any()
    ]


def _stats(part: LatencyPart, members: Sequence[Increase], names: MetricNames) -> PartStats:
    found = window_stats(members, names)
    return PartStats(
        count=found.completed,
        sampled_seconds=found.sampled_seconds,
        latency_s=found.latency_s if part.kind == "histogram" else None,
        unknown=found.unknown,
    )


def _unknown(part: LatencyPart, reason: str) -> MeasuredPart:
    return MeasuredPart(**part.model_dump(), unknown=reason)

"""Charts of one run over time: load and latency."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.measure.histogram import Array
from benchmark.measure.run_metrics import LATENCIES
from benchmark.measure.timeline import Timeline
from benchmark.report import format as words
from benchmark.report.chart import Chart, plain_log
from benchmark.report.palette import light, series_style
from benchmark.report.run_data import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SINCE = "time since the measured window began (s)"


def time_charts(record: Record) -> list[Chart]:
    """Return load and latency over time; empty if nothing was sampled."""
    timeline, summary = record.timeline, record.summary
    if timeline is None:
        return []
    width = float(np.diff(timeline.edges)[0])
    latency = summary.latency_s
    spread = f"{words.rate(float(timeline.completed_tps.min()))} to {words.rate(float(timeline.completed_tps.max()))}"
    overall = f"mean {words.duration(latency.mean)}, p99 {words.bounds(latency.p99)}" if latency else "none completed"
    return [
        Chart(
            name="load",
            title="Load sent and completed",
            caption=f"Transactions sent and completed by all clients, in intervals of {width:.3g} s between samples.",
            alt=(
                f"Load over time: {words.rate(summary.sent_tps)} tx/s sent and {words.rate(summary.completed_tps)} "
                f"tx/s completed in the measured window; completed per interval ranges from {spread}."
            ),
            columns=("time_s", "sent_tps", "completed_tps", "failed_tps"),
            rows=_rows(record, timeline, timeline.sent_tps, timeline.completed_tps, timeline.errors_tps),
            draw=partial(_draw_load, record, timeline),
        ),
        Chart(
            name="latency",
            title="Latency over time",
            caption=(
                "Mean, median and 99th percentile of the transactions completed in each interval. Quantiles are "
                "interpolated within their histogram bucket; gaps are intervals in which nothing completed."
                + (" The scale is logarithmic." if _is_wide(timeline) else "")
            ),
            alt=f"Latency over time; over the whole measured window: {overall}.",
            columns=("time_s", "mean_s", *timeline.quantiles_s),
            rows=_rows(record, timeline, timeline.mean_s, *timeline.quantiles_s.values()),
            draw=partial(_draw_latency, record, timeline),
        ),
    ]


def mark_time(axes: Axes, record: Record, *, named: bool = True) -> None:
    """Shade the measured window and the faults, and label them unless the axes above do."""
    above = axes.get_xaxis_transform()
    end = record.end - record.start
    axes.axvspan(0, end, color=light("window"), zorder=0, linewidth=0)
    for fault in record.manifest.faults:
        begin, healed = fault.start - record.start, (fault.end or record.end) - record.start
        axes.axvspan(begin, healed, facecolor="none", edgecolor=light("bad"), hatch="////", linewidth=0, alpha=0.45)
        axes.axvline(begin, color=light("bad"), linewidth=1)
    if not named:
        return
    small: dict[str, Any] = {"transform": above, "fontsize": 7.5, "va": "bottom", "color": light("muted")}
    axes.text(0, 1.02, "measured window", **small)
    if axes.get_xlim()[0] < -0.06 * end:
        axes.text(axes.get_xlim()[0], 1.02, "warm-up", **small)
    for fault in record.manifest.faults:
        at = fault.start - record.start
        axes.text(at, 1.1, fault.name, **(small | {"color": light("bad")}))


def limits(record: Record) -> tuple[float, float]:
    """Return start and end of the time axis, in seconds since the measured window began."""
    begin = record.start if record.load_start is None else record.load_start
    return begin - record.start, record.end - record.start


def _draw_load(record: Record, timeline: Timeline, figure: Figure) -> None:
    axes = figure.add_subplot()
    edges = timeline.edges - record.start
    axes.set_xlim(*limits(record))
    axes.stairs(timeline.sent_tps, edges, label="sent", baseline=None, **series_style(1), linewidth=1.4)
    axes.stairs(timeline.completed_tps, edges, label="completed", baseline=None, **series_style(0), linewidth=1.6)
    if timeline.errors_tps.any():
        axes.stairs(timeline.errors_tps, edges, label="failed", baseline=None, color=light("bad"), linestyle=":")
    requested = record.summary.requested_tps
    axes.axhline(requested, color=light("muted"), linewidth=0.8, linestyle=(0, (2, 2)), label="requested")
    axes.set_ylim(0, 1.15 * max(requested, float(timeline.sent_tps.max()), float(timeline.completed_tps.max())))
    axes.set(xlabel=SINCE, ylabel="transactions per second")
    mark_time(axes, record)
    figure.legend(loc="outside lower right", ncols=4)


def _lines(timeline: Timeline) -> list[tuple[str, Array, int]]:
    """Return name, values and style of each line, the highest first."""
    shown, values = [metric for metric in LATENCIES if metric.over_time], timeline.columns()
    return [(metric.short, values[metric.name], index) for index, metric in enumerate(shown)][::-1]


def _is_wide(timeline: Timeline) -> bool:
    """Return whether the latencies need a logarithmic scale."""
    seen = np.concatenate([values[np.isfinite(values)] for _, values, _ in _lines(timeline)])
    return bool(seen.size and seen.min() > 0 and seen.max() / seen.min() > 8)


def _draw_latency(record: Record, timeline: Timeline, figure: Figure) -> None:
    axes = figure.add_subplot()
    axes.set_xlim(*limits(record))
    middles = (timeline.edges[1:] + timeline.edges[:-1]) / 2 - record.start
    for name, values, index in _lines(timeline):
        marker = "o" if len(values) <= 60 else ""
        axes.plot(middles, values * 1000, label=name, marker=marker, markersize=2.5, **series_style(index))
    if _is_wide(timeline):
        axes.set_yscale("log")
        plain_log(axes)
    else:
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    axes.set(xlabel=SINCE, ylabel="latency (ms)")
    mark_time(axes, record)
    figure.legend(loc="outside lower right", ncols=3)


def _rows(record: Record, timeline: Timeline, *columns: Array) -> Sequence[Sequence[object]]:
    """Return the middle of each interval and the columns as rows; empty cells where nothing is known."""
    middles = (timeline.edges[1:] + timeline.edges[:-1]) / 2 - record.start
    return [
        ["" if np.isnan(value) else round(float(value), 6) for value in row]
        for row in zip(middles, *columns, strict=True)
    ]

"""Charts of one run over time: load and latency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.measure.histogram import Array
from benchmark.measure.log_extremes import longest_stall
from benchmark.measure.run_metrics import LATENCIES
from benchmark.measure.timeline import Timeline
from benchmark.report import formatting
from benchmark.report.chart import LOG_REMARK, Chart, needs_log_scale, set_log_scale
from benchmark.report.palette import SERIES, Style, light, series_style
from benchmark.report.run_data import Record

SINCE = "time since the measured window began (s)"


def time_charts(record: Record) -> list[Chart]:
    """Return load and latency over time, also by region if there are several; empty if nothing was sampled."""
    timeline = record.timeline
    if timeline is None:
        return []
    regional = [_region_chart(record)] if len(record.timeline_by_region) > 1 else []
    return [_load_chart(record, timeline), _latency_chart(record, timeline), *regional]


def _load_chart(record: Record, timeline: Timeline) -> Chart:
    summary, requested = record.summary, record.summary.requested_tps
    sent, completed, failed = timeline.sent_tps, timeline.completed_tps, timeline.errors_tps

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        edges = timeline.edges - record.start
        axes.set_xlim(*limits(record))
        if np.isfinite(sent).any():
            axes.stairs(sent, edges, label="sent", baseline=None, **series_style(1), linewidth=1.4)
        axes.stairs(completed, edges, label="completed", baseline=None, **series_style(0), linewidth=1.6)
        if np.nansum(failed):
            axes.stairs(failed, edges, label="failed", baseline=None, color=light("bad"), linestyle=":")
        axes.axhline(requested, color=light("muted"), linewidth=0.8, linestyle=(0, (2, 2)), label="requested")
        axes.set_ylim(0, 1.15 * max(requested, float(np.nan_to_num(sent).max()), float(completed.max())))
        axes.set(xlabel=SINCE, ylabel="load (tx/s)")
        mark_time(axes, record)
        figure.legend(loc="outside lower right", ncols=4)

    return Chart(
        name="load",
        title="Load sent and completed",
        caption="Transactions sent and completed by all clients, in intervals of "
        f"{float(np.diff(timeline.edges)[0]):.3g} s{'' if record.logs else ' between samples'}.",
        alt=f"Load over time: {formatting.rate(summary.sent_tps)} tx/s sent and "
        f"{formatting.rate(summary.completed_tps)} tx/s completed in the measured window; completed per interval "
        f"ranges from {formatting.rate(float(completed.min()))} to {formatting.rate(float(completed.max()))}.",
        columns=("time_s", "sent_tps", "completed_tps", "failed_tps"),
        rows=_rows(record, timeline, sent, completed, failed),
        draw=draw,
        hover="x",
        origin=record.start,
    )


def _latency_chart(record: Record, timeline: Timeline) -> Chart:
    latency = record.summary.latency_s
    by_name = timeline.columns()
    shown = [(metric.short, by_name[metric.name]) for metric in LATENCIES if metric.name in by_name]
    known = np.concatenate([values[np.isfinite(values)] for _, values in shown])
    logarithmic = needs_log_scale(known.tolist())

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.set_xlim(*limits(record))
        middles = (timeline.edges[1:] + timeline.edges[:-1]) / 2 - record.start
        for index, (name, values) in reversed(list(enumerate(shown))):  # the legend lists the highest line first
            marker = "o" if len(values) <= 60 else ""
            axes.plot(middles, values * 1000, label=name, marker=marker, markersize=2.5, **series_style(index))
        if logarithmic:
            set_log_scale(axes, "y")
        else:
            axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.set(xlabel=SINCE, ylabel="latency (ms)")
        mark_time(axes, record)
        figure.legend(loc="outside lower right", ncols=len(shown))

    overall = "nothing completed"
    if latency:
        overall = f"mean {formatting.duration(latency.mean)}, p99 {formatting.bounds(latency.p99)}"
    return Chart(
        name="latency",
        title="Latency over time",
        caption=_latency_caption(record, timeline) + (LOG_REMARK if logarithmic else ""),
        alt=f"Latency over time; over the whole measured window: {overall}.",
        columns=("time_s", "mean_s", *timeline.quantiles_s),
        rows=_rows(record, timeline, timeline.mean_s, *timeline.quantiles_s.values()),
        draw=draw,
        hover="x",
        origin=record.start,
    )


def _region_chart(record: Record) -> Chart:
    every = record.timeline_by_region
    known = {region: _finite(found.quantiles_s["p50_s"]) for region, found in every.items()}
    medians = {region: float(found.mean()) if found.size else 0.0 for region, found in known.items()}
    shown = sorted(sorted(medians, key=lambda region: -medians[region])[: len(SERIES)])
    values = [every[region].quantiles_s[name] for region in shown for name in ("p50_s", "p99_s")]
    logarithmic = needs_log_scale(np.concatenate([_finite(each) for each in values]).tolist())

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, 1, sharex=True)
        for axes, name, short in zip(panels, ("p50_s", "p99_s"), ("p50", "p99"), strict=True):
            axes.set_xlim(*limits(record))
            for index, region in enumerate(shown):
                found = every[region]
                middles = (found.edges[1:] + found.edges[:-1]) / 2 - record.start
                axes.plot(middles, found.quantiles_s[name] * 1000, label=region, **series_style(index))
            if logarithmic:
                set_log_scale(axes, "y")
            else:
                axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
            axes.set_ylabel(f"{short} (ms)")
            mark_time(axes, record, named=axes is panels[0])
        panels[1].set_xlabel(SINCE)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower right", ncols=4)

    caption = "Median and 99th percentile of the clients of each region; failed transactions count as their timeout."
    if len(shown) < len(every):
        caption += f" Of {len(every)} regions, the {len(shown)} slowest; the CSV has all."
    listed = (f"{region} {formatting.duration(medians[region])}" for region in shown)
    return Chart(
        name="regional",
        title="Latency over time by region",
        caption=caption + (LOG_REMARK if logarithmic else ""),
        alt=f"Latency over time by region of the clients; mean of the medians: {', '.join(listed)}.",
        columns=("region", "time_s", "mean_s", "p50_s", "p99_s"),
        rows=[
            [region, *row]
            for region, found in every.items()
            for row in _rows(record, found, found.mean_s, found.quantiles_s["p50_s"], found.quantiles_s["p99_s"])
        ],
        draw=draw,
        height=3.4,
        hover="x",
        origin=record.start,
    )


def _finite(values: Array) -> Array:
    return np.asarray(values[np.isfinite(values)], dtype=np.float64)


def _latency_caption(record: Record, timeline: Timeline) -> str:
    if not record.logs:
        return (
            "Mean, median and 99th percentile of the transactions that ended in each interval; failed ones count as "
            "their timeout. Quantiles are interpolated within their histogram bucket; gaps are intervals in which "
            "nothing completed."
        )
    text = (
        "Mean, median, 99th percentile and slowest of the transactions that ended in each interval of "
        f"{float(np.diff(timeline.edges)[0]):.3g} s, from latency logs; failed ones count as their timeout. The "
        "slowest one shows stalls that are shorter than the interval."
    )
    if record.summary.faults:
        text += " Faults are hatched, and tinted from healing to recovery."
    if stall := longest_stall(record.logs, record.start, record.end):
        text += (
            f" The longest time without a completed transaction began at {stall.start - record.start:.1f} s and lasted "
            f"{stall.seconds:.1f} s, give or take 0.1 s."
        )
    return text


def mark_time(axes: Axes, record: Record, *, named: bool = True) -> None:
    """Shade the measured window, hatch the faults and tint the recoveries; label them unless the axes above do."""
    above = axes.get_xaxis_transform()
    end = record.end - record.start
    axes.axvspan(0, end, color=light("window"), zorder=0, linewidth=0)
    faults = [(each.injected, each) for each in record.manifest.faults if each.injected is not None]
    for injected, fault in faults:
        begin, healed = injected - record.start, (fault.healing or record.end) - record.start
        axes.axvspan(begin, healed, facecolor="none", edgecolor=light("bad"), hatch="////", linewidth=0, alpha=0.45)
        axes.axvline(begin, color=light("bad"), linewidth=1)
    for found in record.summary.faults:
        if found.healed is not None and found.recovery_s:
            healed = found.healed - record.start
            axes.axvspan(healed, healed + found.recovery_s, color=light("bad"), alpha=0.15, linewidth=0)
    _mark_phases(axes, record, named=named)
    if not named:
        return
    small: Style = {"transform": above, "fontsize": 7.5, "va": "bottom", "color": light("muted")}
    axes.text(0, 1.02, "measured window", **small)
    if axes.get_xlim()[0] < -0.06 * end:
        axes.text(axes.get_xlim()[0], 1.02, "warm-up", **small)
    for injected, fault in faults:
        axes.text(injected - record.start, 1.1, fault.name, **(small | {"color": light("bad")}))


def _mark_phases(axes: Axes, record: Record, *, named: bool) -> None:
    """Draw where phases begin and end, and write their names within."""
    for phase in record.summary.phases:
        begin, end = phase.start - record.start, phase.end - record.start
        for edge in (begin, end):
            axes.axvline(edge, color=light("muted"), linewidth=0.8, linestyle=(0, (4, 3)))
        if named:
            axes.text(
                (begin + end) / 2,
                0.98,
                phase.label,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="top",
                fontsize=7.5,
                color=light("muted"),
                bbox={"facecolor": light("page"), "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
            )


def limits(record: Record) -> tuple[float, float]:
    """Return start and end of the time axis, in seconds since the measured window began."""
    begin = record.start if record.load_start is None else record.load_start
    return begin - record.start, record.end - record.start


def _rows(record: Record, timeline: Timeline, *columns: Array) -> Sequence[Sequence[object]]:
    """Return the middle of each interval and the columns as rows; empty cells where a value is unknown."""
    middles = (timeline.edges[1:] + timeline.edges[:-1]) / 2 - record.start
    return [
        ["" if np.isnan(value) else round(float(value), 6) for value in row]
        for row in zip(middles, *columns, strict=True)
    ]

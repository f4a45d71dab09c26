"""The chart of a search: p99 latency and throughput against load, with the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmark.measure.run_metrics import Quantile
from benchmark.report import format as words
from benchmark.report.chart import Chart, plain_log
from benchmark.report.palette import light
from benchmark.results.search import Limits, Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform


@dataclass(frozen=True)
class Point:
    """A load that was judged, and the figures of the run that counts; None where it could not be measured."""

    number: int
    requested_tps: int
    met: bool
    run_id: str
    completed_tps: float | None = None
    p99_s: Quantile | None = None


COLUMNS = ("step", "requested_tps", "met", "completed_tps", "p99_s", "p99_lower_s", "p99_upper_s", "run_id")
_MET: dict[str, Any] = {"color": light("blue"), "marker": "o", "markersize": 5.5}
_NOT_MET: dict[str, Any] = {"color": light("orange"), "marker": "x", "markersize": 7, "markeredgewidth": 1.8}
_NOT_MEASURED: dict[str, Any] = {"color": light("orange"), "marker": "D", "markersize": 5.5, "markerfacecolor": "none"}
_LIMIT: dict[str, Any] = {"color": light("muted"), "linewidth": 1.2, "linestyle": (0, (5, 2)), "zorder": 1}
_ROOM_PT = 6.0
"""Points of paper between runs at the same load."""


def search_chart(points: Sequence[Point], limits: Limits, step: Step) -> Chart | None:
    """Return latency and throughput against load, with the limits and the answer so far; None if nothing was judged."""
    if not points:
        return None
    return Chart(
        name="search",
        title="Latency and throughput against load",
        caption="A point for each step; those at the same load are drawn side by side. Bars: the bounds of the bucket "
        "that holds the p99, whose upper one must not exceed the limit; an arrow: it has none. Shaded: outside the "
        "limits. The vertical line: the highest load within them."
        f"{' The latency scale is logarithmic.' if _wide(_latencies(points, limits)) else ''}",
        alt=f"Limits: p99 at most {words.duration(limits.p99_s)}, at least {words.tenths(limits.achieved)} completed. "
        + "; ".join(map(_told, points))
        + ".",
        columns=COLUMNS,
        rows=[point_row(point) for point in points],
        draw=partial(_draw, points, limits, step),
        height=4.8,
    )


def point_row(point: Point) -> list[object]:
    """Return a step's data, unrounded."""
    p99 = point.p99_s
    bounds = [p99.estimate, p99.lower, p99.upper] if p99 else [None] * 3
    return [point.number, point.requested_tps, point.met, point.completed_tps, *bounds, point.run_id]


def _draw(points: Sequence[Point], limits: Limits, step: Step, figure: Figure) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _scale_loads(upper, points)
    for axes in (upper, lower):
        if step.answer_tps is not None:
            axes.axvline(step.answer_tps, color=light("ink"), linewidth=0.9, zorder=1)
    _draw_latency(upper, points, limits)
    _draw_throughput(lower, points, limits)
    if step.answer_tps is not None:
        sure = "" if step.confirmed else ", not confirmed"
        place: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 8, "color": light("ink")}
        upper.annotate(
            f"{step.answer_tps} tx/s{sure}", (step.answer_tps, 1), (0, 3), upper.get_xaxis_transform(), **place
        )
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    lower.set_xlabel("offered load (tx/s)")


def _scale_loads(axes: Axes, points: Sequence[Point]) -> None:
    loads = [point.requested_tps for point in points]
    if _wide(loads):
        axes.set_xscale("log")
        plain_log(axes, "x")
        axes.set_xlim(min(loads) / 1.2, max(loads) * 1.2)
    else:
        axes.set_xlim(0, 1.06 * max(loads))


def _draw_latency(axes: Axes, points: Sequence[Point], limits: Limits) -> None:
    _scale_latencies(axes, points, limits)
    labels = {True: "met", False: "not met"}
    for point, across in _placed(axes, points):
        if point.p99_s is None:
            axes.plot(point.requested_tps, 0.94, transform=axes.get_xaxis_transform(), linestyle="", **_NOT_MEASURED)
            continue
        style = _MET if point.met else _NOT_MET
        _draw_bounds(axes, point.requested_tps, point.p99_s, across, style["color"])
        y = point.p99_s.estimate * 1000
        axes.plot(point.requested_tps, y, transform=across, linestyle="", label=labels.pop(point.met, None), **style)
    if any(point.p99_s is None for point in points):
        axes.plot([], [], linestyle="", label="not met: no measurement", **_NOT_MEASURED)
    at = limits.p99_s * 1000
    axes.axhspan(at, axes.get_ylim()[1], color=light("land"), linewidth=0, zorder=0)
    axes.axhline(at, label="limit", **_LIMIT)
    axes.set_ylabel("p99 latency (ms)")


def _scale_latencies(axes: Axes, points: Sequence[Point], limits: Limits) -> None:
    values = [value * 1000 for value in _latencies(points, limits)]
    if _wide(values):
        axes.set_yscale("log")
        plain_log(axes)
        axes.set_ylim(min(values) / 1.3, max(values) * 2)
    else:
        axes.set_ylim(0, max(values) * 1.25)


def _draw_bounds(axes: Axes, load: int, p99: Quantile, across: Transform, colour: str) -> None:
    low, top = p99.lower * 1000, axes.get_ylim()[1]
    high = top * 0.9 if p99.upper is None else p99.upper * 1000
    axes.plot([load, load], [low, high], color=colour, linewidth=2.2, alpha=0.5, transform=across)
    if p99.upper is None:
        axes.plot(load, high, "^", color=colour, markersize=6, alpha=0.8, transform=across)


def _draw_throughput(axes: Axes, points: Sequence[Point], limits: Limits) -> None:
    low, high = axes.get_xlim()
    if axes.get_xscale() == "log":
        axes.set_yscale("log")
        plain_log(axes)
        axes.set_ylim(low * limits.achieved, high * 1.2)
    else:
        axes.set_ylim(0, high)
    bottom = axes.get_ylim()[0]
    for point, across in _placed(axes, points):
        if point.completed_tps is not None:
            style = _MET if point.met else _NOT_MET
            axes.plot(point.requested_tps, point.completed_tps, transform=across, linestyle="", **style)
    edge = [low * limits.achieved, high * limits.achieved]
    axes.fill_between([low, high], bottom, edge, color=light("land"), linewidth=0, zorder=0)
    axes.plot([low, high], edge, **_LIMIT)
    axes.set_xlim(low, high)
    axes.set_ylabel("throughput (tx/s)")


def _placed(axes: Axes, points: Sequence[Point]) -> list[tuple[Point, Transform]]:
    """Return each point with the transform that puts it beside those at the same load."""
    from matplotlib.transforms import ScaledTranslation

    figure = axes.figure
    counts, seen = Counter(point.requested_tps for point in points), Counter[int]()
    placed = []
    for point in points:
        aside = (seen[point.requested_tps] - (counts[point.requested_tps] - 1) / 2) * _ROOM_PT / 72
        seen[point.requested_tps] += 1
        placed.append((point, axes.transData + ScaledTranslation(aside, 0, figure.dpi_scale_trans)))
    return placed


def _latencies(points: Sequence[Point], limits: Limits) -> list[float]:
    """Return all that the scale of the latencies has to show, s."""
    quantiles = [point.p99_s for point in points if point.p99_s]
    shown = [value for each in quantiles for value in (each.lower, each.estimate, each.upper or 0.0)]
    return [value for value in (*shown, limits.p99_s) if value > 0]


def _wide(values: Sequence[float]) -> bool:
    return max(values) / min(values) > 8


def _told(point: Point) -> str:
    met = "met" if point.met else "not met"
    if point.completed_tps is None or point.p99_s is None:
        return f"Step {point.number}: {point.requested_tps} tx/s offered, not measured, {met}"
    completed, p99 = words.rate(point.completed_tps), words.bounds(point.p99_s)
    return f"Step {point.number}: {point.requested_tps} tx/s offered, {completed} completed, p99 {p99}, {met}"

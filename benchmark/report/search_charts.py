"""The chart of a search: p99 latency and throughput against load, with the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation, Transform

from benchmark.report import formatting
from benchmark.report.chart import LOG_REMARK, Chart, needs_log_scale, set_log_scale
from benchmark.report.palette import Style, light
from benchmark.report.search_data import COLUMNS, Point
from benchmark.results.search import Limits, NextAction

_MET: Style = {"color": light("blue"), "marker": "o", "markersize": 5.5, "linestyle": ""}
_NOT_MET: Style = {
    "color": light("orange"), "marker": "x", "markersize": 7, "markeredgewidth": 1.8, "linestyle": "",
}  # fmt: skip
_NOT_MEASURED: Style = {
    "color": light("orange"), "marker": "D", "markersize": 5.5, "markerfacecolor": "none", "linestyle": "",
}  # fmt: skip
_LIMIT: Style = {"color": light("muted"), "linewidth": 1.2, "linestyle": (0, (5, 2)), "zorder": 1}
_SPACING_PT = 6.0
"""Distance between runs at the same load, in points of paper."""


def search_chart(points: Sequence[Point], limits: Limits, outcome: NextAction) -> Chart | None:
    """Return latency and throughput against load, with the limits and the answer so far; None if nothing was judged."""
    if not points:
        return None

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        loads = [point.requested_tps for point in points]
        if needs_log_scale(loads):
            set_log_scale(upper, "x")
            upper.set_xlim(min(loads) / 1.2, max(loads) * 1.2)
        else:
            upper.set_xlim(0, 1.06 * max(loads))
        _draw_latency(upper, points, limits)
        _draw_throughput(lower, points, limits)
        if outcome.answer_tps is not None:
            for axes in (upper, lower):
                axes.axvline(outcome.answer_tps, color=light("ink"), linewidth=0.9, zorder=1)
            upper.annotate(
                f"{outcome.answer_tps} tx/s{'' if outcome.confirmed else ', not confirmed'}",
                (outcome.answer_tps, 1), (0, 3), upper.get_xaxis_transform(),
                textcoords="offset points", ha="center", fontsize=8, color=light("ink"),
            )  # fmt: skip
        figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=4)
        lower.set_xlabel("requested load (tx/s)")

    return Chart(
        name="search",
        title="Latency and throughput against load",
        caption="One point per step; steps at the same load are drawn side by side. Bars: the histogram bucket that "
        "holds the p99; arrow: the bucket has no upper edge. Shaded: outside the limits. Vertical line: the highest "
        f"load within the limits.{LOG_REMARK if needs_log_scale(_latencies(points, limits)) else ''}",
        alt=f"Limits: p99 at most {formatting.duration(limits.p99_s)}, at least {formatting.tenths(limits.achieved)} "
        f"completed. {'; '.join(_describe(point) for point in points)}.",
        columns=COLUMNS,
        rows=[point.row for point in points],
        draw=draw,
        height=4.8,
        hover="point",
    )


def _describe(point: Point) -> str:
    verdict = "met" if point.met else "not met"
    if point.completed_tps is None or point.p99_s is None:
        return f"Step {point.number}: {point.requested_tps} tx/s requested, not measured, {verdict}"
    completed, p99 = formatting.rate(point.completed_tps), formatting.bounds(point.p99_s)
    return f"Step {point.number}: {point.requested_tps} tx/s requested, {completed} completed, p99 {p99}, {verdict}"


def _latencies(points: Sequence[Point], limits: Limits) -> list[float]:
    """Return every latency that the scale must include, s."""
    quantiles = [point.p99_s for point in points if point.p99_s]
    shown = [value for each in quantiles for value in (each.lower, each.estimate, each.upper or 0.0)]
    return [value for value in (*shown, limits.p99_s) if value > 0]


def _draw_latency(axes: Axes, points: Sequence[Point], limits: Limits) -> None:
    values = [value * 1000 for value in _latencies(points, limits)]
    if needs_log_scale(values):
        set_log_scale(axes, "y")
        axes.set_ylim(min(values) / 1.3, max(values) * 2)
    else:
        axes.set_ylim(0, max(values) * 1.25)
    top = axes.get_ylim()[1]
    named: set[str] = set()
    for point, aside in _side_by_side(axes, points):
        load = point.requested_tps
        if point.p99_s is None:
            axes.plot(load, 0.94, transform=axes.get_xaxis_transform(), **_NOT_MEASURED)
            continue
        style = _MET if point.met else _NOT_MET
        high = top * 0.9 if point.p99_s.upper is None else point.p99_s.upper * 1000
        label = _label(point)
        bar: Style = {"color": style["color"], "transform": aside, "label": f"__{label}"}
        axes.plot([load, load], [point.p99_s.lower * 1000, high], linewidth=2.2, alpha=0.5, **bar)
        if point.p99_s.upper is None:
            axes.plot(load, high, "^", markersize=6, alpha=0.8, **bar)
        # The legend names each series once.
        shown = f"_{label}" if label in named else label
        named.add(label)
        axes.plot(load, point.p99_s.estimate * 1000, transform=aside, label=shown, **style)
    if any(point.p99_s is None for point in points):
        axes.plot([], [], label="not met: no measurement", **_NOT_MEASURED)
    axes.axhspan(limits.p99_s * 1000, top, color=light("land"), linewidth=0, zorder=0)
    axes.axhline(limits.p99_s * 1000, label="limit", **_LIMIT)
    axes.set_ylabel("p99 latency (ms)")


def _draw_throughput(axes: Axes, points: Sequence[Point], limits: Limits) -> None:
    low, high = axes.get_xlim()
    if axes.get_xscale() == "log":
        set_log_scale(axes, "y")
        axes.set_ylim(low * limits.achieved, high * 1.2)
    else:
        axes.set_ylim(0, high)
    for point, aside in _side_by_side(axes, points):
        if point.completed_tps is not None:
            style = _MET if point.met else _NOT_MET
            label = f"_{_label(point)}"
            axes.plot(point.requested_tps, point.completed_tps, transform=aside, label=label, **style)
    edge = [low * limits.achieved, high * limits.achieved]
    bottom = axes.get_ylim()[0]
    axes.fill([low, high, high, low], [*edge, bottom, bottom], color=light("land"), linewidth=0, zorder=0)
    axes.plot([low, high], edge, **_LIMIT)
    axes.set_xlim(low, high)
    axes.set_ylabel("throughput (tx/s)")


def _label(point: Point) -> str:
    return "met" if point.met else "not met"


def _side_by_side(axes: Axes, points: Sequence[Point]) -> list[tuple[Point, Transform]]:
    """Return each point with the transform that puts it beside the others at the same load."""
    counts, seen = Counter(point.requested_tps for point in points), Counter[int]()
    placed = []
    for point in points:
        aside = (seen[point.requested_tps] - (counts[point.requested_tps] - 1) / 2) * _SPACING_PT / 72
        seen[point.requested_tps] += 1
        placed.append((point, axes.transData + ScaledTranslation(aside, 0, axes.figure.dpi_scale_trans)))
    return placed

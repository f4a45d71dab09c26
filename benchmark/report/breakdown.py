"""Charts and table of the parts of a system's latency, as its nodes measured them.

Only parts that add up are stacked: stages that every transaction passes through once, and the shares of events that
are each of one kind. All others are drawn side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.measure.breakdown import MeasuredPart, PartStats
from benchmark.report import formatting
from benchmark.report.chart import LOG_REMARK, Chart, set_log_scale
from benchmark.report.palette import SERIES, light
from benchmark.report.run_data import Record
from benchmark.report.tables import Cell, Table
from benchmark.results.summary import Summary

_MOST_ROWS = 40
"""More rows than this are too many for a chart: it then shows all nodes together."""
_SAME_COUNT = 1.1
"""Stages of the same transactions have counts that differ by less; some are under way at the ends of the window."""
_MARKERS = "osD^vP"
Groups = dict[str, dict[str, PartStats]]
"""Statistics by region, then by what is drawn in it."""


def breakdown_charts(record: Record) -> list[Chart]:
    """Return the charts of the breakdown: of the stages, of all other parts, and of each counter."""
    summary = record.summary
    stages = _stages(summary.breakdown)
    problem = stacking_problem(stages, summary)
    timed = [part for part in summary.breakdown if part.kind == "histogram" and (problem or not part.stage)]
    made = [
        None if problem else _stage_chart(stages, summary),
        _part_chart(timed, problem if stages else None),
        *(_share_chart(part, index) for index, part in enumerate(summary.breakdown) if part.kind == "counter"),
    ]
    return [chart for chart in made if chart is not None]


def stacking_problem(stages: Groups, summary: Summary) -> str | None:
    """Return why the means of the stages cannot be added up; None if they can.

    Each stage must have been observed once per transaction, and together they must not exceed the mean latency.
    """
    everywhere = stages.get("", {})
    means = [stats.latency_s.mean for stats in everywhere.values() if stats.latency_s]
    if len(everywhere) < 2:
        return "there are fewer than two stages"
    known = [mean for mean in means if mean is not None]
    if len(known) < len(everywhere):
        return "the mean of a stage is unknown"
    for group in stages.values():
        counts = {name: stats.count or 0.0 for name, stats in group.items()}
        least, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
        if counts[most] > _SAME_COUNT * counts[least]:
            return (
                f"{most} was observed {counts[most]:.0f} times and {least} {counts[least]:.0f} times, so they are not "
                "of the same transactions"
            )
    total = summary.latency_s.mean if summary.latency_s else None
    if total is not None and sum(known) > _SAME_COUNT * total:
        return (
            f"their means add up to {formatting.duration(sum(known))}, more than the mean latency of "
            f"{formatting.duration(total)}, so they overlap"
        )
    return None


def breakdown_table(record: Record) -> Table | None:
    """Return count, mean, p50 and p99 of each part by label value and region; None if the system names no parts."""
    parts = record.summary.breakdown
    if not parts:
        return None
    rows, data = [], []
    for part in parts:
        if part.unknown:
            rows.append([Cell(part.name, part.meaning), Cell("unknown", part.unknown), *[Cell(formatting.NONE)] * 5])
            continue
        regions = {"all": part.values} if len(part.by_region) != 1 else {}
        for region, group in (regions | part.by_region).items():
            for value, stats in group.items():
                first = Cell(part.name, part.meaning if not rows or rows[-1][0].text != part.name else "")
                rows.append([first, Cell(region), Cell(value or formatting.NONE), *_cells(part, stats)])
                data.append([part.name, region, value, *_numbers(stats)])
    columns = ("part", "region", "value", "count", "mean", "p50", "p99")
    header = ["part", "region", "value", "count", "mean_s"]
    header += [f"{name}_{bound}_s" for name in ("p50", "p99") for bound in ("estimate", "lower", "upper")]
    return Table("latency_parts", "Parts of the latency, by region of the nodes", columns, rows, (header, data))


def _cells(part: MeasuredPart, stats: PartStats) -> list[Cell]:
    latency = stats.latency_s
    count = Cell(formatting.NONE if stats.count is None else f"{stats.count:.0f}")
    if latency is None:
        return [count, *[Cell(formatting.NONE)] * 3]
    quantiles = [latency.quantiles.get(name) for name in ("p50", "p99")]
    return [
        count,
        Cell(formatting.duration(latency.mean), "" if latency.mean is not None else stats.unknown.get("mean_s", "")),
        *(Cell(formatting.quantile(q), formatting.remark(q)) if q else Cell(formatting.NONE) for q in quantiles),
    ]


def _numbers(stats: PartStats) -> list[object]:
    latency = stats.latency_s
    quantiles = [latency.quantiles.get(name) if latency else None for name in ("p50", "p99")]
    bounds = [bound for q in quantiles for bound in ((q.estimate, q.lower, q.upper) if q else (None, None, None))]
    return [stats.count, latency.mean if latency else None, *bounds]


def _stages(parts: Sequence[MeasuredPart]) -> Groups:
    """Return the stages by region, "" for all, in the order in which they were named."""
    stages: Groups = {}
    for part in parts:
        for region, group in [("", part.values), *part.by_region.items()] if part.stage else ():
            for value, stats in group.items():
                stages.setdefault(region, {})[value or part.name] = stats
    return stages


def _stage_chart(stages: Groups, summary: Summary) -> Chart | None:
    regions = {region: group for region, group in stages.items() if region} or stages
    if len(regions) > _MOST_ROWS:
        regions = {"all": stages[""]}
    names = list(stages[""])
    means = {
        region: {name: stats.latency_s.mean or 0.0 for name, stats in group.items() if stats.latency_s}
        for region, group in regions.items()
    }
    everywhere = {name: stats.latency_s.mean or 0.0 for name, stats in stages[""].items() if stats.latency_s}
    total, overall = sum(everywhere.values()), summary.latency_s.mean if summary.latency_s else None
    shares = ", ".join(f"{name} {formatting.share(mean / total)}" for name, mean in everywhere.items())
    caption = "Mean time in each stage, by region of the nodes. Each transaction passes through every stage once, one "
    caption += f"after the other, so the means add up: to {formatting.duration(total)} over all nodes"
    if overall is not None:
        caption += f", where clients measured {formatting.duration(overall)}"
        caption += ". The rest was spent elsewhere" if total < overall else ""

    def draw(figure: Figure) -> None:
        axes = bar_rows(figure, list(means))
        for at, found in enumerate(means.values()):
            left = 0.0
            for index, name in enumerate(names):
                width = found.get(name, 0.0) * 1000
                draw_bar(axes, at, left, width, index, name if not at else None)
                left += width
            axes.annotate(
                formatting.duration(left / 1000),
                (left, at),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
        axes.set_xlim(0, 1.12 * max(sum(found.values()) for found in means.values()) * 1000)
        axes.set_xlabel("mean latency (ms)")
        figure.legend(loc="outside lower right", ncols=4)

    return Chart(
        name="breakdown_stages",
        title="Stages of the latency",
        caption=f"{caption}.",
        alt=f"Stacked bars of the mean time per stage and region; over all nodes: {shares}.",
        columns=("region", "stage", "mean_s"),
        rows=[(region, name, mean) for region, found in means.items() for name, mean in found.items()],
        draw=draw,
        height=rows_height(len(means)),
    )


def _part_chart(parts: Sequence[MeasuredPart], problem: str | None) -> Chart | None:
    """Return means and p99s of parts that do not add up, side by side; None if nothing was observed."""
    shown = [part for part in parts if any(_mean_and_p99(stats)[0] for stats in part.values.values())]
    if not shown:
        return None
    regions = list(dict.fromkeys(region for part in shown for region in part.by_region))
    groups = {region: [part.by_region.get(region, {}) for part in shown] for region in sorted(regions)}
    if len(groups) * len(shown) > _MOST_ROWS:
        groups = {"all": [part.values for part in shown]}
    labelled = any(part.label for part in shown)
    caption = (
        "Means, with a line to the upper bound of the 99th percentile, or an arrow where there is none. The parts "
        "overlap or do not concern every transaction, so they do not add up."
    )
    caption += " Of a part with a label, each mark is one of its values." if labelled else ""
    caption += f" The stages are not stacked: {problem}." if problem else ""
    means = [
        [f"{value} {formatting.duration(_mean_and_p99(stats)[0])}".strip() for value, stats in part.values.items()]
        for part in shown
    ]
    summed = "; ".join(f"{part.name} {', '.join(each)}" for part, each in zip(shown, means, strict=True))
    return Chart(
        name="breakdown",
        title="Parts of the latency",
        caption=caption + LOG_REMARK,
        alt=f"Mean of each part by region of the nodes; over all nodes: {summed}.",
        columns=("region", "part", "value", "mean_s", "p99_upper_s"),
        rows=[
            (region, part.name, value, _blank(found[0]), _blank(found[1]))
            for region, members in groups.items()
            for part, group in zip(shown, members, strict=True)
            for value, stats in group.items()
            if (found := _mean_and_p99(stats))
        ],
        draw=partial(_draw_parts, [part.name for part in shown], groups),
        height=rows_height(len(groups) * len(shown) * 0.55),
    )


def _draw_parts(names: Sequence[str], groups: Mapping[str, Sequence[Mapping[str, PartStats]]], figure: Figure) -> None:
    axes = bar_rows(figure, list(groups))
    step = 0.8 / len(names)
    for at, members in enumerate(groups.values()):
        for index, group in enumerate(members):
            y = at - 0.4 + (index + 0.5) * step
            for stats in group.values():
                mean, p99 = _mean_and_p99(stats)
                if mean and p99:
                    unbounded = stats.latency_s and stats.latency_s.p99 and stats.latency_s.p99.upper is None
                    axes.plot(
                        [mean * 1000, p99 * 1000],
                        [y, y],
                        color=_colour(index),
                        linewidth=1,
                        marker=">" if unbounded else "",
                        markevery=[1],
                        markersize=5,
                    )
                if mean:
                    axes.plot(
                        mean * 1000, y, _MARKERS[index % len(_MARKERS)], color=_colour(index), markersize=4, zorder=3
                    )
    for between in range(1, len(groups)):
        axes.axhline(between - 0.5, color=light("line"), linewidth=0.6)
    set_log_scale(axes, "x")
    axes.set_xlabel("latency (ms, logarithmic)")
    marks = [
        Line2D(
            [], [], color=_colour(index), marker=_MARKERS[index % len(_MARKERS)], markersize=4, linewidth=1, label=name
        )
        for index, name in enumerate(names)
    ]
    figure.legend(handles=marks, loc="outside lower right", ncols=4)


def _share_chart(part: MeasuredPart, index: int) -> Chart | None:
    """Return the share of each value of a counter, by region; None if nothing was counted."""
    counts = {
        region: {value: stats.count or 0.0 for value, stats in group.items()}
        for region, group in (part.by_region if len(part.by_region) <= _MOST_ROWS else {"all": part.values}).items()
    }
    counts = {region: found for region, found in counts.items() if sum(found.values()) > 0}
    if not counts or not part.label:
        return None
    everywhere = {value: stats.count or 0.0 for value, stats in part.values.items()}
    order = sorted(everywhere, key=lambda value: (-everywhere[value], value))
    named = order if len(order) <= len(SERIES) else order[: len(SERIES) - 1]
    others = len(order) - len(named)

    def draw(figure: Figure) -> None:
        axes = bar_rows(figure, list(counts))
        for at, found in enumerate(counts.values()):
            left, total = 0.0, sum(found.values())
            for index, value in enumerate(named):
                share = found.get(value, 0.0) / total * 100
                draw_bar(axes, at, left, share, index, value if not at else None)
                left += share
            if others:
                draw_bar(axes, at, left, 100 - left, len(named), f"{others} others" if not at else None)
        axes.set(xlim=(0, 100), xlabel="share of all (%)")
        figure.legend(loc="outside lower right", ncols=4)

    total = sum(everywhere.values())
    shares = ", ".join(f"{value} {formatting.share(everywhere[value] / total)}" for value in named)
    meaning = f"{part.meaning[:1].upper()}{part.meaning[1:]}. " if part.meaning else ""
    return Chart(
        name=f"breakdown_shares_{index}",
        title=f"Shares by {part.name}",
        caption=f"{meaning}Shares of what the nodes of each region counted in the measured window; each event is of "
        "one kind, so they add up to 100 %. These are numbers of events, not shares of the latency.",
        alt=f"Stacked bars of the share of each {part.name} by region; over all nodes: {shares}.",
        columns=("region", "value", "count"),
        rows=[(region, value, count) for region, found in counts.items() for value, count in found.items()],
        draw=draw,
        height=rows_height(len(counts)),
    )


def bar_rows(figure: Figure, names: Sequence[str]) -> Axes:
    """Return axes with a named row for each bar, the first on top."""
    axes = figure.add_subplot()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return axes


def draw_bar(axes: Axes, at: int, left: float, width: float, index: int, label: str | None) -> None:
    """Draw a part of a bar; the hatch distinguishes it without colour."""
    hatch = ("", "///", "...", "\\\\\\", "xxx", "---")[index % 6]
    axes.barh(
        at,
        width,
        0.62,
        left,
        facecolor=_colour(index),
        edgecolor=light("page"),
        linewidth=0.6,
        hatch=hatch,
        label=label,
    )


def _colour(index: int) -> str:
    return light(SERIES[index % len(SERIES)])


def rows_height(rows: float) -> float:
    """Return the height of a figure with so many rows, inches."""
    return 1.0 + 0.3 * max(rows, 2)


def _mean_and_p99(stats: PartStats) -> tuple[float | None, float | None]:
    """Return mean and upper bound of the p99, s; the lower one where it has no upper one."""
    latency = stats.latency_s
    if latency is None:
        return None, None
    return latency.mean, None if latency.p99 is None else latency.p99.upper or latency.p99.lower


def _blank(value: float | None) -> object:
    return "" if value is None else value

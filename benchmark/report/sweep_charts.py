"""Charts of a sweep or a comparison: latency against throughput, completed against requested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.compare.repeats import LoadSummary
from benchmark.measure.run_metrics import COMPARED
from benchmark.report import formatting
from benchmark.report.chart import LOG_REMARK, Chart, needs_log_scale, set_log_scale
from benchmark.report.palette import Style, light, series_style

Curves = Mapping[str, Sequence[LoadSummary]]
"""Statistics per load of a sweep, or of each side of a comparison by its name."""
_LATENCIES = {metric.name: metric.short for metric in COMPARED if metric.unit == "s"}
_RUNS = "Large points: medians over repeats with confidence intervals; small points: single runs."


def curve_chart(curves: Curves) -> Chart | None:
    """Return latency against throughput; None if no run is valid."""
    measured = _measured(curves)
    known = [set(load.metrics) for loads in measured.values() for load in loads]
    wanted = ["mean_s", "p99_s"] if len(measured) > 1 else list(_LATENCIES)
    drawn = [name for name in wanted if all(name in names for names in known)]
    if not measured or not drawn:
        return None
    figures = [load.metrics[name] for loads in measured.values() for load in loads for name in drawn]
    logarithmic = needs_log_scale([value for figure in figures for value in figure.values])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for side, (label, loads) in enumerate(measured.items()):
            for index, name in enumerate(drawn):
                # With two sides, colour and marker show the side and dashes the metric.
                style = series_style(index) | (_side_style(side) if len(measured) > 1 else {"marker": "o"})
                _line(axes, loads, ("completed_tps", name), f"{label} {_LATENCIES[name]}".strip(), style)
        for load in next(iter(measured.values())):
            x = load.metrics["completed_tps"].median.estimate
            y = max(load.metrics[name].median.estimate for name in drawn)
            text: Style = {"textcoords": "offset points", "fontsize": 7, "ha": "center", "color": light("muted")}
            axes.annotate(f"{load.requested_tps:g}", (x, y * 1000), (0, 6), **text)
        if logarithmic:
            set_log_scale(axes, "y")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlim(0, 1.06 * axes.get_xlim()[1])
        axes.set(xlabel="throughput (tx/s)", ylabel="latency (ms)")
        figure.legend(loc="outside lower right", ncols=2 if len(measured) > 1 else 4)

    return Chart(
        name="curve",
        title="Latency against throughput",
        caption=f"{_RUNS} Numbers above points: requested load, tx/s.{LOG_REMARK if logarithmic else ''}",
        alt=f"Latency against throughput: {_describe(measured)}.",
        columns=_COLUMNS,
        rows=_rows(measured),
        draw=draw,
        height=3.4,
        hover="point",
    )


def achieved_chart(curves: Curves) -> Chart | None:
    """Return completed against requested load; None if no run is valid."""
    measured = _measured(curves)
    if not measured:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        highest = max(load.requested_tps for loads in measured.values() for load in loads) * 1.06
        requested: Style = {"color": light("muted"), "linewidth": 0.8, "linestyle": (0, (2, 2))}
        axes.axline((0, 0), slope=1, label="all requested", **requested)
        for index, (label, loads) in enumerate(measured.items()):
            _line(axes, loads, (None, "completed_tps"), label or "completed", series_style(index) | _side_style(index))
        axes.set(xlim=(0, highest), xlabel="requested load (tx/s)", ylabel="completed (tx/s)")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower right", ncols=2 if len(measured) > 1 else 4)

    return Chart(
        name="achieved",
        title="Completed against requested load",
        caption=f"{_RUNS} Points below the dashed line: the system completed less than requested.",
        alt=f"Throughput against load: {_describe(measured)}.",
        columns=_COLUMNS,
        rows=_rows(measured),
        draw=draw,
        height=3.0,
        hover="point",
    )


_COLUMNS = ("variant", "requested_tps", "metric", "median", "lower", "upper", "confidence", "values")


def _rows(curves: Curves) -> list[list[object]]:
    rows: list[list[object]] = []
    for side, loads in curves.items():
        for load in loads:
            for name, found in load.metrics.items():
                median, values = found.median, " ".join(f"{value:.9g}" for value in found.values)
                bounds = [median.estimate, median.lower, median.upper, median.confidence]
                rows.append([side, load.requested_tps, name, *bounds, values])
    return rows


def _measured(curves: Curves) -> Curves:
    """Return the loads at which transactions completed in every valid run."""
    found = {
        side: [load for load in loads if "completed_tps" in load.metrics and _LATENCIES.keys() & load.metrics.keys()]
        for side, loads in curves.items()
    }
    return {side: loads for side, loads in found.items() if loads}


def _line(axes: Axes, loads: Sequence[LoadSummary], figures: tuple[str | None, str], label: str, style: Style) -> None:
    """Draw medians with intervals, and single runs; `figures` are those on x and y, None on x is the requested load."""
    across, up = figures
    scale = 1000.0 if up in _LATENCIES else 1.0
    xs = [load.metrics[across].median.estimate if across else load.requested_tps for load in loads]
    ys = [load.metrics[up].median for load in loads]
    axes.plot(xs, [y.estimate * scale for y in ys], markersize=5, label=label, zorder=3, **style)
    for x, y, load in zip(xs, ys, loads, strict=True):
        if y.lower is not None and y.upper is not None:
            bounds = [y.lower * scale, y.upper * scale]
            axes.plot([x, x], bounds, label=f"__{label}", color=style["color"], linewidth=2.2, alpha=0.5)
        values = load.metrics[up].values
        at = load.metrics[across].values if across else [x] * len(values)
        single: Style = {"linestyle": "", "marker": ".", "markersize": 3, "color": style["color"], "alpha": 0.7}
        axes.plot(at, [value * scale for value in values], label=f"__{label}", **single)


def _side_style(side: int) -> Style:
    return {"color": series_style(side)["color"], "marker": "os"[side % 2]}


def _describe(curves: Curves) -> str:
    """Return the medians of each side in words."""
    sides = []
    for label, loads in curves.items():
        points = []
        for load in loads:
            completed, mean, p99 = (
                load.metrics[name].median.estimate if name in load.metrics else None
                for name in ("completed_tps", "mean_s", "p99_s")
            )
            points.append(
                f"{load.requested_tps:g} tx/s requested, {formatting.rate(completed)} completed, "
                f"mean {formatting.duration(mean)}, p99 {formatting.duration(p99)}"
            )
        sides.append(f"{label}: ".lstrip(": ") + "; ".join(points))
    return "; ".join(sides)

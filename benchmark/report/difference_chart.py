"""Chart of a comparison: how much B differs from A, with confidence intervals."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmark.compare.comparison import Compared
from benchmark.compare.statistics import Interval
from benchmark.report.chart import Chart
from benchmark.report.palette import light

_Row = tuple[str, Interval, bool]
"""What is compared, the relative difference of B, and whether it is significant."""


def difference_chart(compared: Compared) -> Chart | None:
    """Return the relative differences of B from A with their intervals; None if nothing could be compared."""
    rows: list[_Row] = []
    for metric in compared.metrics:
        rows.append((metric.label, metric.relative, metric.significant))
        if len(metric.loads) > 1:
            rows += [
                (f"at {at.requested_tps:g} tx/s", at.comparison.relative, at.significant)
                for at in metric.loads
                if at.comparison.relative
            ]
    if not rows:
        return None
    listed = [
        f"{name} {each.estimate * 100:+.1f} %, {'' if shown else 'not '}significant" for name, each, shown in rows
    ]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=light("ink"), linewidth=0.8)
        for position, (name, interval, shown) in enumerate(rows):
            one_load = name.startswith("at ")
            colour, marker, size, width = (light("muted"), "o", 4, 1.2) if one_load else (light("blue"), "s", 6, 2.0)
            if interval.lower is not None and interval.upper is not None:
                axes.plot([interval.lower * 100, interval.upper * 100], [position] * 2, color=colour, linewidth=width)
            inside = colour if shown else light("page")
            axes.plot(interval.estimate * 100, position, marker, markersize=size, color=colour, markerfacecolor=inside)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("difference of B from A (%)")

    return Chart(
        name="differences",
        title="Differences of B from A",
        caption="Estimates with confidence intervals (95 %, or what so few repeats reach), over all loads (squares) "
        "and at each load (circles). Filled: significant after correction for multiple tests; open: not significant.",
        alt=f"Differences: {'; '.join(listed)}.",
        columns=("metric", "estimate", "lower", "upper", "significant"),
        rows=[(name, i.estimate, i.lower, i.upper, shown) for name, i, shown in rows],
        draw=draw,
        height=0.75 + 0.21 * len(rows),
    )

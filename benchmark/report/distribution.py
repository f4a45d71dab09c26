"""Chart of the latency distribution of a run, as exact as its histograms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from benchmark.measure.histogram import Array, Histogram, merge
from benchmark.measure.run_metrics import QUANTILES
from benchmark.report import formatting
from benchmark.report.chart import Chart, set_log_scale
from benchmark.report.palette import light, series_style
from benchmark.report.run_data import Record

_MANY_REGIONS = 6
_QUANTILES = {metric: q for metric, q in QUANTILES.items() if metric.brief}


def distribution_chart(record: Record) -> Chart | None:
    """Return the distribution over all clients, and per region if there are few; None if nothing completed."""
    if not record.histograms:
        return None
    every = merge(list(record.histograms.values()))
    if not (np.isfinite(every.bounds) & (every.bounds > 0)).any():
        return None
    regions = record.histograms if 1 < len(record.histograms) <= _MANY_REGIONS else {}
    shares = [
        f"{q * 100:g} % took at most {formatting.bounds(quantile)}"
        for q in _QUANTILES.values()
        if (quantile := every.quantile(q))
    ]
    return Chart(
        name="distribution",
        title="Latency distribution",
        caption=(
            f"Cumulative share of the {every.count:.0f} transactions, from the summed buckets of all clients. Points "
            "are exact counts at bucket bounds; between them the curve lies within the grey steps."
            + (f" It ends below 1: {record.summary.failed} failed." if record.summary.failed else "")
        ),
        alt=f"Cumulative distribution of the latency: {', '.join(shares)}.",
        columns=("region", "at_most_s", "transactions", "share"),
        rows=[
            (region, bound, count, count / histogram.count)
            for region, histogram in (("all", every), *record.histograms.items())
            for bound, count in zip(histogram.bounds.tolist(), histogram.cumulative.tolist(), strict=True)
        ],
        draw=partial(_draw, every, regions),
        height=3.0,
    )


def _draw(every: Histogram, regions: Mapping[str, Histogram], figure: Figure) -> None:
    axes = figure.add_subplot()
    finite, share = _points(every)
    inside = finite > 0
    low = float(finite[inside][0]) / 1.3
    set_log_scale(axes, "x")
    axes.set_xlim(low * 1000, float(finite[inside][-1]) * 1300)
    # Between two bounds the curve may lie anywhere between these two steps.
    upper = np.append(share[1:], 1.0)
    axes.fill_between(
        finite[inside] * 1000, share[inside], upper[inside], step="post", color=light("line"), linewidth=0
    )
    for index, (region, histogram) in enumerate(regions.items(), start=1):
        x, y = _points(histogram)
        axes.plot(x[x > 0] * 1000, y[x > 0], label=region, **(series_style(index) | {"linewidth": 1.1}))
    axes.plot(
        finite[inside] * 1000,
        share[inside],
        marker="o",
        markersize=3,
        label="all clients",
        zorder=3,
        **series_style(0),
    )
    for metric, q in _QUANTILES.items():
        axes.axhline(q, color=light("muted"), linewidth=0.6, linestyle=(0, (2, 2)))
        axes.text(low * 1010, q, metric.short, va="top", ha="left", fontsize=7, color=light("muted"))
    axes.set(xlabel="latency (ms, logarithmic)", ylabel="share of transactions", ylim=(0, 1.04))
    lines, names = axes.get_legend_handles_labels()
    axes.legend(
        [lines[-1], *lines[:-1]],
        [names[-1], *names[:-1]],
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
    )


def _points(histogram: Histogram) -> tuple[Array, Array]:
    """Return the finite bounds from the last empty one on, and the share of values up to each."""
    finite = np.isfinite(histogram.bounds)
    bounds, share = histogram.bounds[finite], histogram.cumulative[finite] / histogram.count
    first = max(0, int(np.argmax(share > 0)) - 1) if (share > 0).any() else 0
    last = int(np.argmax(share >= 1)) if (share >= 1).any() else len(share) - 1
    return bounds[first : last + 1], share[first : last + 1]

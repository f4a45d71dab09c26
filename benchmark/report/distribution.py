"""Chart of the latency distribution of a run, as exact as its histograms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.measure.histogram import Array, Histogram
from benchmark.measure.run_metrics import QUANTILES
from benchmark.report import formatting
from benchmark.report.chart import LOG_REMARK, Chart, needs_log_scale, set_log_scale
from benchmark.report.chart_model import PercentileFormatter
from benchmark.report.palette import light, series_style
from benchmark.report.run_data import Record

_MANY_REGIONS = 6
_FINE, _FINEST_S = 0.02, 2e-6
"""Widest bucket of a curve, as a share of its bound or in s."""
_POINTS_PER_DECADE = 80
_QUANTILES = {metric: q for metric, q in QUANTILES.items() if metric.brief}


def distribution_chart(record: Record) -> Chart | None:
    """Return the distribution over all clients, and per region if there are few; None if nothing completed.

    It is a curve of percentiles where the latencies are known that well, otherwise their share up to each bucket bound.
    """
    every = record.histogram
    if not (np.isfinite(every.bounds) & (every.bounds > 0)).any():
        return None
    regions = record.histograms if 1 < len(record.histograms) <= _MANY_REGIONS else {}
    make = _percentile_chart if _fine_part(every).bounded else _bucket_chart
    return make(every, record.histograms, regions, record.summary.failed or 0)


def _percentile_chart(
    every: Histogram, data: Mapping[str, Histogram], shown: Mapping[str, Histogram], failed: int
) -> Chart:
    fine = {name: _fine_part(histogram) for name, histogram in {"all": every, **data}.items()}
    curves = {name: _percentiles(histogram) for name, histogram in fine.items() if histogram.bounded}
    values = [
        f"{metric.short} {formatting.quantile(quantile)}"
        for metric, q in QUANTILES.items()
        if (quantile := every.quantile(q))
    ]
    logarithmic = needs_log_scale([value for _, latencies in curves.values() for value in latencies.tolist()])
    known = float(fine["all"].cumulative[-2]) / every.count
    caption = (
        f"Latency by percentile of the {every.count:.0f} transactions, from latency logs. The scale is logarithmic "
        "towards 100; each curve ends with its slowest transaction."
    )
    if known < 1:
        caption += (
            f" It ends at {known * 100:.4g} %: the latency of the others, of which {failed} failed, is not known."
        )

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        end = max(float(tails[-1]) for tails, _ in curves.values())
        for index, name in enumerate(shown, start=1):
            tails, latencies = curves.get(name, (np.zeros(0), np.zeros(0)))
            axes.plot(tails, latencies * 1000, label=name, **(series_style(index) | {"linewidth": 1.1}))
        tails, latencies = curves["all"]
        axes.plot(tails, latencies * 1000, label="all clients", zorder=3, **(series_style(0) | {"linewidth": 1.6}))
        ticks = [0.0, 0.5, *(1 - 10.0**-nines for nines in range(1, 12) if 10.0**nines <= every.count)]
        axes.set_xticks([_tail(share) for share in ticks])
        axes.xaxis.set_major_formatter(PercentileFormatter())
        axes.set_xlim(0, end)
        if logarithmic:
            set_log_scale(axes, "y")
        else:
            axes.set_ylim(bottom=0)
        axes.set(xlabel="percentile", ylabel="latency (ms)")
        _add_legend(axes)

    return Chart(
        name="distribution",
        title="Latency distribution",
        caption=caption + (LOG_REMARK if logarithmic else ""),
        alt=f"Latency by percentile: {', '.join(values)}.",
        columns=("region", "percentile", "latency_s"),
        rows=[
            (name, round(100 * (1 - 10.0**-tail), 9), round(latency, 9))
            for name, (tails, latencies) in curves.items()
            for tail, latency in zip(tails.tolist(), latencies.tolist(), strict=True)
        ],
        draw=draw,
        height=3.0,
        hover="x",
    )


def _fine_part(histogram: Histogram) -> Histogram:
    """Return the histogram up to its first bucket with values through which a curve would show a step.

    Only its infinite bucket is left where that is the first one. All finite bounds have values at or below them.
    """
    counts = np.diff(histogram.cumulative, prepend=0.0)
    # A histogram may leave out the bounds between two values: the buckets that its values are in count.
    used = np.flatnonzero(counts > 0)
    upper = histogram.bounds[used]
    lower = np.where(used > 0, histogram.bounds[np.maximum(used - 1, 0)], 0.0)
    wide = np.flatnonzero((upper - lower > np.maximum(_FINE * upper, _FINEST_S)) | np.isinf(upper))
    kept = used[: wide[0]] if wide.size else used
    bounds, cumulative = histogram.bounds[kept], histogram.cumulative[kept]
    return Histogram(np.append(bounds, math.inf), np.append(cumulative, histogram.count))


def _percentiles(histogram: Histogram) -> tuple[Array, Array]:
    """Return positions on the axis of percentiles, -log10(1 - share), and the latency at each, s.

    They begin with the fastest value and end with the slowest that is known.
    """
    finite = np.isfinite(histogram.bounds)
    bounds, cumulative = histogram.bounds[finite], histogram.cumulative[finite]
    # The slowest of n values is a share of 1/n: it is shown to the middle of it.
    end = min(_tail(1 - 0.5 / histogram.count), _tail(float(cumulative[-1]) / histogram.count))
    tails = np.append(np.arange(0.0, end, 1 / _POINTS_PER_DECADE), end)
    ranks = np.maximum(1.0, np.ceil(np.round((1 - 10.0**-tails) * histogram.count, 6)))
    at = np.minimum(np.searchsorted(cumulative, ranks, side="left"), len(bounds) - 1)
    return tails, bounds[at]


def _tail(share: float) -> float:
    """Return where a share of the transactions is on the axis of percentiles."""
    return math.inf if share >= 1 else -math.log10(1 - share)


def _add_legend(axes: Axes) -> None:
    """Put the legend beside the data, all clients first."""
    lines, names = axes.get_legend_handles_labels()
    axes.legend([lines[-1], *lines[:-1]], [names[-1], *names[:-1]], loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _bucket_chart(
    every: Histogram, data: Mapping[str, Histogram], shown: Mapping[str, Histogram], failed: int
) -> Chart:
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
            + (f" It ends below 1: {failed} failed." if failed else "")
        ),
        alt=f"Cumulative distribution of the latency: {', '.join(shares)}.",
        columns=("region", "at_most_s", "transactions", "share"),
        rows=[
            (region, bound, count, count / histogram.count)
            for region, histogram in (("all", every), *data.items())
            for bound, count in zip(histogram.bounds.tolist(), histogram.cumulative.tolist(), strict=True)
        ],
        draw=partial(_draw, every, shown),
        height=3.0,
        hover="x",
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
    edges = np.append(finite[inside], finite[inside][-1]) * 1000
    axes.stairs(upper[inside], edges, baseline=share[inside], fill=True, color=light("line"), linewidth=0)
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
    _add_legend(axes)


def _points(histogram: Histogram) -> tuple[Array, Array]:
    """Return the finite bounds from the last empty one on, and the share of values up to each."""
    finite = np.isfinite(histogram.bounds)
    bounds, share = histogram.bounds[finite], histogram.cumulative[finite] / histogram.count
    first = max(0, int(np.argmax(share > 0)) - 1) if (share > 0).any() else 0
    last = int(np.argmax(share >= 1)) if (share >= 1).any() else len(share) - 1
    return bounds[first : last + 1], share[first : last + 1]

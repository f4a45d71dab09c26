"""What the script of a page knows about a chart: where its panels are, their scales, and the values of its series.

A legend names the series. Lines, steps and areas with the same label belong together, those whose label begins with an
underscore as well; with two underscores they are only shown and hidden with the series, and have no values of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import AxLine, Line2D
from matplotlib.patches import StepPatch
from matplotlib.ticker import FuncFormatter, PercentFormatter

from benchmark.measure.histogram import Array

_DIGITS = 7
POINTS_PER_INCH = 72
Numbers = list[float | None]


class PercentileFormatter(FuncFormatter):
    """Write a position on an axis of percentiles, -log10(1 - share), as a percentile."""

    def __init__(self) -> None:
        super().__init__(lambda tail, _: f"{100 * (1 - 10.0**-tail):.10g}")


@dataclass(frozen=True)
class AxisModel:
    """One axis of a panel: its limits in the units of its data, and what is written at it."""

    low: float
    high: float
    log: bool
    label: str
    format: Literal["number", "share", "percentile"]


@dataclass(frozen=True)
class SeriesModel:
    """The values of a series in one panel, of which those of steps belong to the middle of their interval."""

    label: str
    x: Numbers
    y: Numbers


@dataclass(frozen=True)
class PanelModel:
    """One pair of axes; `box` is left, top, right and bottom in the units of the drawing."""

    axes: str
    box: tuple[float, float, float, float]
    x: AxisModel
    y: AxisModel
    series: list[SeriesModel]


@dataclass(frozen=True)
class ChartModel:
    """A chart as the script sees it; elements of series number k have ids that begin with `series-k-` and `key-k-`."""

    hover: Literal["x", "point"]
    """Whether the pointer shows all series at its position on the x axis, or the nearest point."""
    origin: float | None
    """Unix time of 0 on the x axis; null where that is no time."""
    labels: list[str]
    panels: list[PanelModel]


def model_of(figure: Figure, hover: Literal["x", "point"], origin: float | None) -> ChartModel:
    """Name the elements of a figure whose layout is final, and return its model."""
    legends = [*figure.legends, *(found for axes in figure.axes if (found := axes.get_legend()))]
    labels = list(dict.fromkeys(text.get_text() for legend in legends for text in legend.get_texts()))
    for at, legend in enumerate(legends):
        _name_keys(legend, labels, at)
    width, height = (float(inches) * POINTS_PER_INCH for inches in figure.get_size_inches())
    panels = []
    for number, axes in enumerate(figure.axes, 1):
        box = axes.get_position()
        left, top, right, bottom = box.x0 * width, (1 - box.y1) * height, box.x1 * width, (1 - box.y0) * height
        edges = (round(left, 3), round(top, 3), round(right, 3), round(bottom, 3))
        shared = axes.get_shared_x_axes().get_siblings(axes)  # only the lowest of them is labelled
        named = axes.get_xlabel() or next((label for each in shared if (label := each.get_xlabel())), "")
        scales = (_axis(axes.xaxis, axes.get_xlim(), named), _axis(axes.yaxis, axes.get_ylim(), axes.get_ylabel()))
        panels.append(PanelModel(f"axes_{number}", edges, *scales, _series(axes, labels, number)))
    return ChartModel(hover, origin, labels, panels)


def _name_keys(legend: Legend, labels: Sequence[str], at: int) -> None:
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        index = labels.index(text.get_text())
        text.set_gid(f"key-{index}-text{at}")
        if handle is not None:
            handle.set_gid(f"key-{index}-line{at}")


def _axis(axis: Axis, limits: tuple[float, float], label: str) -> AxisModel:
    low, high = limits
    formatter = axis.get_major_formatter()
    written: Literal["number", "share", "percentile"] = "number"
    if isinstance(formatter, (PercentFormatter, PercentileFormatter)):
        written = "share" if isinstance(formatter, PercentFormatter) else "percentile"
    return AxisModel(float(low), float(high), axis.get_scale() == "log", label, written)


def _series(axes: Axes, labels: Sequence[str], number: int) -> list[SeriesModel]:
    found: dict[str, SeriesModel] = {}
    for position, artist in enumerate(axes.get_children()):
        full = str(artist.get_label())
        label = re.sub("^_{1,2}", "", full)
        if label not in labels or isinstance(artist, Legend):
            continue
        artist.set_gid(f"series-{labels.index(label)}-{number}-{position}")
        if full.startswith("__"):
            continue
        series = found.setdefault(label, SeriesModel(label, [], []))
        for x, y in _points(artist, axes):
            series.x.append(_short(x))
            series.y.append(_short(y))
    return [series for series in found.values() if series.x]


def _points(artist: Artist, axes: Axes) -> Iterator[tuple[float, float]]:
    """Yield the points of a line in the units of the data, and the middles of steps."""
    if isinstance(artist, StepPatch):
        values, edges, _ = artist.get_data()
        middles: Array = (np.asarray(edges[1:]) + np.asarray(edges[:-1])) / 2
        yield from zip(middles.tolist(), np.asarray(values, dtype=float).tolist(), strict=True)
    elif isinstance(artist, Line2D) and not isinstance(artist, AxLine):
        if len(set(artist.get_transform().contains_branch_seperately(axes.transData))) > 1:
            return  # a line across the panel has no points
        xs, ys = (np.asarray(data, dtype=float) for data in artist.get_data(orig=True))
        yield from zip(xs.tolist(), ys.tolist(), strict=True)


def _short(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None

"""A chart of a report: embedded in the page and saved for papers, with its data and description."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmark.report.chart_model import ChartModel, model_of
from benchmark.report.palette import PALETTE, Style, light

LOG_REMARK = " The latency scale is logarithmic."
WIDTH_IN = 7.0
"""Text width of a page of paper."""


@dataclass(frozen=True)
class Chart:
    """A chart and its description; `draw` fills a figure of WIDTH_IN by `height` inches."""

    name: str
    """Stem of its files and prefix of its ids in a page."""
    title: str
    caption: str
    alt: str
    """Text alternative with the numbers that matter."""
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    """The data that is drawn."""
    draw: Callable[[Figure], None]
    height: float = 2.6
    hover: Literal["x", "point"] | None = None
    """Whether the pointer shows all series at its position on the x axis, or the nearest point; None for neither."""
    origin: float | None = None
    """Unix time of 0 on the x axis, if that is the time."""

    def csv(self) -> str:
        """Return the data as CSV with a header."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return out.getvalue()

    def svg(self) -> str:
        """Return an SVG element for a page; its text is selectable, its colours follow the page's theme."""
        return self._embedded[0]

    def model(self) -> ChartModel | None:
        """Return what the script of a page knows about the element; None if there is nothing to point at."""
        return self._embedded[1]

    @cached_property
    def _embedded(self) -> tuple[str, ChartModel | None]:
        # Simplified paths would show their corners when they are enlarged.
        style: Style = {"svg.fonttype": "none", "font.family": "sans-serif", "path.simplify": not self.hover}
        with _drawn(self, style) as figure:
            model = model_of(figure, self.hover, self.origin) if self.hover else None
            out = io.StringIO()
            figure.savefig(out, format="svg", transparent=True, metadata=UNDATED)
        return _themed(out.getvalue(), self), model


UNDATED = {"Date": None, "Creator": None, "Format": None, "Type": None}
"""Metadata of an SVG file that depends on nothing but the chart."""
LOOK: Style = {
    "text.color": light("ink"), "axes.labelcolor": light("ink"), "axes.edgecolor": light("muted"),
    "xtick.color": light("muted"), "ytick.color": light("muted"), "xtick.labelcolor": light("ink"),
    "ytick.labelcolor": light("ink"), "grid.color": light("line"), "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "legend.frameon": False,
    "figure.facecolor": light("page"), "axes.facecolor": "none", "path.simplify": True,
}  # fmt: skip
"""Colours and lines of charts of any size."""


@contextmanager
def _drawn(chart: Chart, extra: Style) -> Iterator[Figure]:
    style: Style = {
        "font.size": 8.5, "axes.titlesize": 9, "legend.fontsize": 8, "legend.handlelength": 3.2, "lines.linewidth": 1.4,
        "grid.linewidth": 0.6, "axes.linewidth": 0.7, "svg.hashsalt": chart.name,
    }  # fmt: skip
    with matplotlib.rc_context(LOOK | style | extra):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH_IN, chart.height), layout="constrained")
        chart.draw(figure)
        if engine := figure.get_layout_engine():
            engine.execute(figure)
            figure.set_layout_engine("none")  # each format would repeat it
        yield figure


def _themed(text: str, chart: Chart) -> str:
    """Turn matplotlib's SVG file into an element of a page: unique ids, colours by role, a label for screen readers."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{chart.name}-", text)
    for role, colour in PALETTE.items():
        text = text.replace(colour.light, f"var(--{role})")
    text = re.sub(r"font-family: [^;\"]*; ?", "", text)  # that of the page
    text = re.sub(r"(?<=[\d z])\s*\n(?=[\"LMQCz])", "", text)
    text = re.sub(r"(\d\.\d\d)\d+", r"\1", text)  # hundredths of a point
    head = re.search(r"<svg[^>]*>", text)
    assert head is not None
    box = re.search(r'viewBox="[^"]*"', head.group())
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    opening = f'<svg {namespaces} {box.group() if box else ""} role="img" aria-label="{escape(chart.alt)}">'
    return opening + text[head.end() :].rstrip()


def needs_log_scale(values: Sequence[float]) -> bool:
    """Return whether positive values span so wide a range that a linear scale would hide the small ones."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > 8


def set_log_scale(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, labelled with 1, 2, 5, 10 … as numbers without an exponent."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axes.set(**{f"{which}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())

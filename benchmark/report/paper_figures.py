"""Save charts at the width of a column, with the font size of a venue."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from benchmark.files import replace_file, write_atomically
from benchmark.report.chart import LOOK, UNDATED, Chart
from benchmark.report.palette import Style
from benchmark.report.paper_style import PaperStyle

_LABEL = 44
"""Characters of a line in a legend."""


def save_figure(chart: Chart, folder: Path, style: PaperStyle) -> list[Path]:
    """Write a chart as SVG (text as outlines), PDF (TrueType fonts embedded) and CSV, and return the paths.

    The same chart gives the same bytes.
    """
    paths = [folder / f"{chart.name}.{kind}" for kind in ("svg", "pdf", "csv")]
    look = _look(style) | {"svg.hashsalt": chart.name, "svg.fonttype": "path", "pdf.fonttype": 42}
    with (
        matplotlib.rc_context(look),  # type: ignore[arg-type]
        replace_file(paths[0]) as svg,
        replace_file(paths[1]) as pdf,
    ):
        figure = draw_figure(chart, style)
        figure.savefig(svg, format="svg", metadata=UNDATED)
        figure.savefig(pdf, format="pdf", metadata={"Title": chart.title, "CreationDate": None})
    write_atomically(paths[2], chart.csv())
    return paths


def draw_figure(chart: Chart, style: PaperStyle) -> Figure:
    """Draw a chart for a column: legend below the data, notes of one size that do not overlap."""
    with matplotlib.rc_context(_look(style)):  # type: ignore[arg-type]
        height = min(chart.height * style.height, style.tallest_in)
        figure = Figure(figsize=(style.width_in, height), layout="constrained")
        chart.draw(figure)
        notes = [text for axes in figure.axes for text in axes.texts]
        for text in notes:
            text.set_fontsize(style.note_pt)
        rows_in = _move_legends(figure) / figure.dpi
        # A chart is drawn with room for one row of its legend.
        figure.set_figheight(height + max(0.0, rows_in - 2 * style.font_pt / 72))
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.execute(figure)
        if _separate(notes):
            engine.execute(figure)
        figure.set_layout_engine("none")  # each format would repeat it
        return figure


def _look(style: PaperStyle) -> Style:
    return LOOK | {
        "font.family": style.family, "mathtext.fontset": "stix", "font.size": style.font_pt,
        "axes.titlesize": style.font_pt, "axes.labelsize": style.font_pt, "legend.fontsize": style.font_pt,
        "xtick.labelsize": style.font_pt, "ytick.labelsize": style.font_pt, "legend.handlelength": 2.4,
        "legend.columnspacing": 1.2, "legend.labelspacing": 0.3, "legend.frameon": False, "lines.linewidth": 1.1,
        "axes.labelpad": 2.5, "xtick.major.pad": 2.5, "ytick.major.pad": 2.5, "figure.constrained_layout.h_pad": 0.02,
        "figure.constrained_layout.w_pad": 0.02, "hatch.linewidth": 0.5,
        "grid.linewidth": 0.5, "axes.linewidth": 0.6,
    }  # fmt: skip


def _move_legends(figure: Figure) -> float:
    """Put all legends below the data, in as many columns as fit, and return their height in pixels."""
    height = 0.0
    beside = [legend for axes in figure.axes if (legend := axes.get_legend())]
    for legend in [*figure.legends, *beside]:
        handles = [handle for handle in legend.legend_handles if handle is not None]
        labels = ["\n".join(textwrap.wrap(text.get_text(), _LABEL)) for text in legend.get_texts()]
        legend.remove()
        for columns in range(len(labels), 0, -1):
            made: Legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns)
            box = made.get_window_extent()
            if box.width <= figure.bbox.width or columns == 1:
                height += box.height
                break
            made.remove()
    return height


def _separate(notes: list[Text]) -> bool:
    """Move notes above the charts up until none covers another; return whether any moved."""
    moved = False
    placed: list[Bbox] = []
    for text in (each for each in notes if each.get_verticalalignment() == "bottom" and each.get_text()):
        box = text.get_window_extent()
        while any(box.overlaps(other) for other in placed):
            x, y = text.get_position()
            text.set_position((x, y + 0.1))
            box, moved = text.get_window_extent(), True
        placed.append(box)
    return moved

"""Charts at the width of a column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmark.report.chart import Chart
from benchmark.report.palette import series_style
from benchmark.report.paper_figures import draw_figure, save_figure
from benchmark.report.paper_style import STYLES, PaperStyle

NAMES = [f"A (committee={number}, a rather long name of a variant) mean" for number in range(4)]


def draw(figure: Figure) -> None:
    axes = figure.add_subplot()
    for index, name in enumerate(NAMES):
        axes.plot([1, 2], [index, index + 1], label=name, **series_style(index))
    for position in (1.0, 1.1):
        axes.text(position, 1.02, "a note", transform=axes.get_xaxis_transform(), va="bottom", fontsize=20)
    axes.set(xlabel="time since the measured window began (s)", ylabel="latency (ms)")
    figure.legend(loc="outside lower right", ncols=4)


CHART = Chart("load", "Load", "A caption.", "A chart.", ("x", "y"), [(1, 3.5)], draw)


@pytest.mark.parametrize("style", STYLES)
def test_figure_has_the_width_of_a_column_and_no_text_beyond_it(style: str) -> None:
    look = STYLES[style]
    figure = draw_figure(CHART, look)
    assert figure.get_figwidth() == pytest.approx(look.width_in)
    axes = figure.axes[0]
    texts = [*axes.texts, axes.xaxis.label, axes.yaxis.label, *figure.legends[0].get_texts()]
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= -1, text
        assert box.x1 <= figure.bbox.width + 1, text
        assert text.get_fontsize() in (look.font_pt, look.note_pt), text


def test_legend_is_below_the_data_and_notes_do_not_overlap() -> None:
    figure = draw_figure(CHART, STYLES["acm"])
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 <= figure.axes[0].get_window_extent().y0
    first, second = (text.get_window_extent() for text in figure.axes[0].texts)
    assert not first.overlaps(second)
    assert [" ".join(text.get_text().split()) for text in legend.get_texts()] == NAMES, "wrapped, not cut"


def test_columns_are_as_wide_as_publishers_state() -> None:
    widths = {name: style.width_in for name, style in STYLES.items()}
    assert widths == pytest.approx(
        {"acm": 3.3367, "usenix": 3.335, "ieee": 3.5, "slides": 5.5118, "page": 7.0}, abs=1e-4
    )


def test_files_do_not_change_when_drawn_again(tmp_path: Path) -> None:
    style: PaperStyle = STYLES["ieee"]
    first = {path.name: path.read_bytes() for path in save_figure(CHART, tmp_path, style)}
    again = {path.name: path.read_bytes() for path in save_figure(CHART, tmp_path, style)}
    assert first.keys() == {"load.svg", "load.pdf", "load.csv"}
    assert first == again
    assert b"/FontFile2" in first["load.pdf"], "TrueType"
    assert b"/Type3" not in first["load.pdf"]
    assert re.search(rb'width="252(\.0*)?pt"', first["load.svg"])

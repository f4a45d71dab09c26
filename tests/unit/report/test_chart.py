"""Charts as SVG elements, files and CSV."""

from __future__ import annotations

import re

import pytest
from matplotlib.figure import Figure

from benchmark.report.chart import Chart, needs_log_scale, set_log_scale
from benchmark.report.palette import light


def draw(figure: Figure) -> None:
    axes = figure.add_subplot()
    axes.plot([1, 2], [3, 4], color=light("blue"), marker="o")
    axes.set_xlabel("load <x> & more")


CHART = Chart("load", "Load", "A caption.", 'A "chart" <of> load.', ("x", "y"), [(1, 3.5), (2, None)], draw)


def test_csv_has_a_header_and_empty_cells_for_unknown_values() -> None:
    assert CHART.csv() == "x,y\n1,3.5\n2,\n"


def test_svg_is_one_labelled_element_whose_text_stays_text() -> None:
    svg = CHART.svg()
    assert svg.startswith("<svg ")
    assert svg.endswith("</svg>")
    assert 'role="img" aria-label="A &quot;chart&quot; &lt;of&gt; load."' in svg
    assert ">load &lt;x&gt; &amp; more</text>" in svg


def test_colours_of_the_svg_follow_the_theme_of_the_page() -> None:
    svg = CHART.svg()
    assert "var(--blue)" in svg
    assert light("blue") not in svg


def test_ids_are_unique_to_the_chart_and_every_reference_resolves() -> None:
    svg = CHART.svg()
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("load-") for name in ids)
    assert set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', svg)) <= set(ids)


@pytest.mark.parametrize(
    ("values", "logarithmic"), [([1.0, 8.0], False), ([1.0, 8.1], True), ([0.0, 100.0], False), ([], False)]
)
def test_wide_ranges_of_positive_values_need_a_logarithmic_scale(values: list[float], logarithmic: bool) -> None:
    assert needs_log_scale(values) is logarithmic


@pytest.mark.parametrize("which", ["x", "y"])
def test_logarithmic_axis_is_labelled_without_exponents(which: str) -> None:
    axes = Figure().add_subplot()
    axes.set(xlim=(1, 50000), ylim=(1, 50000))
    set_log_scale(axes, which)  # type: ignore[arg-type]
    axis = axes.xaxis if which == "x" else axes.yaxis
    assert axis.get_scale() == "log"
    labels = axis.get_major_formatter().format_ticks([1, 2000, 50000])
    assert labels == ["1", "2000", "50000"]

"""What the script of a page knows about a chart."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from benchmark.report.chart import Chart, set_log_scale
from benchmark.report.chart_model import ChartModel, PercentileFormatter


def model_of(draw: object) -> tuple[ChartModel, str]:
    chart = Chart("c", "C", "", "a chart", (), (), draw, hover="x", origin=5.0)  # type: ignore[arg-type]
    found = chart.model()
    assert found
    return found, chart.svg()


def draw(figure: Figure) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot([1, 2, 3], [4, np.nan, 6], label="line")
    upper.plot([1, 1], [3, 5], label="__line")
    upper.axhline(2, label="limit")
    upper.axline((0, 0), slope=1, label="diagonal")
    lower.stairs([7, 8], [0, 2, 4], label="steps", baseline=None)
    aside = lower.transData + ScaledTranslation(0.1, 0, figure.dpi_scale_trans)
    lower.plot(3, 9, "o", label="_line", transform=aside)
    upper.set_ylabel("latency (ms)")
    lower.set_xlabel("time (s)")
    figure.legend(loc="outside lower right")


def test_series_have_the_values_that_are_drawn() -> None:
    found, _ = model_of(draw)
    assert found.labels == ["line", "limit", "diagonal", "steps"]
    assert found.origin == 5.0
    upper, lower = found.panels
    assert [(each.label, each.x, each.y) for each in upper.series] == [("line", [1, 2, 3], [4, None, 6])]
    assert [(each.label, each.x, each.y) for each in lower.series] == [("steps", [1, 3], [7, 8]), ("line", [3], [9])]
    assert [panel.x.label for panel in found.panels] == ["time (s)"] * 2, "panels share the x axis"
    assert upper.y.label == "latency (ms)"


def test_elements_of_the_drawing_have_the_names_in_the_model() -> None:
    found, svg = model_of(draw)
    for panel in found.panels:
        assert f'id="c-{panel.axes}"' in svg
        left, top, right, bottom = panel.box
        assert 0 < left < right < 504
        assert 0 < top < bottom < 187.2
    for index in range(len(found.labels)):
        assert f'id="c-key-{index}-text0"' in svg
        assert f'id="c-key-{index}-line0"' in svg
        assert f'id="c-series-{index}-1-' in svg or f'id="c-series-{index}-2-' in svg
    assert svg.count('id="c-series-0-') == 3, "the line, its interval, and the point in the other panel"


def test_axes_have_their_limits_and_scales() -> None:
    def logarithmic(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot([1, 2], [10, 1000], label="a")
        set_log_scale(axes, "y")
        axes.set(xlim=(0, 3), ylim=(5, 2000))
        axes.xaxis.set_major_formatter(PercentileFormatter())

    (panel,) = model_of(logarithmic)[0].panels
    assert (panel.x.low, panel.x.high, panel.x.log, panel.x.format) == (0, 3, False, "percentile")
    assert (panel.y.low, panel.y.high, panel.y.log, panel.y.format) == (5, 2000, True, "number")
    assert panel.series == [], "no legend names it"


@pytest.mark.parametrize(("tail", "text"), [(0, "0"), (1, "90"), (4, "99.99"), (6, "99.9999")])
def test_percentiles_are_written_without_rounding_errors(tail: float, text: str) -> None:
    assert PercentileFormatter()(tail, None) == text

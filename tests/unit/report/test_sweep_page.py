"""Reports of sweeps and comparisons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from factories.page import Page
from factories.result_factory import summary, write_sweep

from benchmark.compare.comparison import find_variants
from benchmark.compare.repeats import over_repeats
from benchmark.report import REPORT, write_comparison, write_plots, write_report
from benchmark.report.sweep_charts import achieved_chart, curve_chart
from benchmark.report.sweep_page import common_warnings, read_sweep_record


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def compared(results: Path) -> Path:
    return write_sweep(results, {"a": {}, "b": {"slower": 1.3}}, loads=(30, 60), repeat=4)


def test_sweep_lists_every_run_and_retry(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, {"": {}})
    page = Page(write_report(sweep))
    assert "at 120 tx/s requested" in page.text
    assert "90.0 tx/s (" in page.text
    assert "3 saturated" in page.text
    assert "eu-west-1-0 <does> not answer" in page.text
    assert "75 %" in page.text, "three repeats reach no more"
    assert "us-east-1-0" in page.text, "who led: it can be why repeats differ"
    links = [a["href"] for a in page.all("a") if a["href"].endswith(REPORT)]
    assert len(links) == 9
    assert all((sweep / link).parent.is_dir() for link in links)
    assert {path.name for path in write_plots(sweep, tmp_path / "plots")} >= {"curve.pdf", "achieved.svg", "loads.csv"}


def test_comparison_has_the_difference_and_its_interval(compared: Path) -> None:
    page = Page(write_report(compared))
    assert "B compared with A is worse in mean latency +" in page.text
    assert "mean latency +" in page.text
    # 30 % of the 0.15 s of the network, none of the 1/30 s of service.
    label = next(svg["aria-label"] for svg in page.all("svg") if svg["aria-label"].startswith("Differences"))
    assert re.search(r"mean latency \+2[45]\.\d %, significant", label)
    assert re.search(r"throughput [+-]0\.\d %, not significant", label)


def test_comparison_of_two_sweeps_links_to_the_runs_of_both(results: Path, compared: Path, tmp_path: Path) -> None:
    other = write_sweep(results, {"": {}}, loads=(30, 60), repeat=1)
    path = write_comparison(*find_variants(results, [f"{compared.name}:a", other.name]), tmp_path / "between.html")
    page = Page(path)
    assert "not significant; 2 runs at 2 loads are too few" in page.text.lower()
    links = [a["href"] for a in page.all("a") if a["href"].endswith(REPORT)]
    assert len(links) == 10
    assert all((tmp_path / link).parent.is_dir() for link in links)


def test_warnings_that_differ_in_figures_only_are_one(tmp_path: Path) -> None:
    texts = {100.0: "us-east-1-0 and 11 more: CPU 98% busy", 200.0: "us-east-1-0 and 11 more: CPU 100% busy"}
    runs = [summary(f"r{load:g}", load).model_copy(update={"warnings": [text]}) for load, text in texts.items()]
    assert common_warnings(runs) == ["us-east-1-0 and 11 more: CPU 98% busy (and 1 with other figures)"]
    other = summary("r3", 300.0).model_copy(update={"warnings": ["us-east-1-1 and 11 more: CPU 98% busy"]})
    assert common_warnings([*runs, other]) == [
        "at 100, 200 tx/s: us-east-1-0 and 11 more: CPU 98% busy (and 1 with other figures)",
        "at 300 tx/s: us-east-1-1 and 11 more: CPU 98% busy",
    ]


def test_legends_of_long_names_fit_into_their_charts(compared: Path) -> None:
    sides = read_sweep_record(compared).sides
    long = "committee=3, dedicated_clients"
    curves = {f"{name} ({long})": over_repeats(side.summaries) for name, side in sides.items()}
    for chart in (curve_chart(curves), achieved_chart(curves)):
        assert chart
        starts = re.findall(r'-key-\d+-text0">\s*<text[^>]* x="(-?[\d.]+)"', chart.svg())
        assert len(starts) >= 3
        assert all(float(start) > 20 for start in starts), "beside its line, inside the drawing"

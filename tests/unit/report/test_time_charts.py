"""Charts of load and latency over time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from factories.result_factory import LATENCY_S, REGIONS, use_latency_logs, write_run
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from benchmark.report.chart import Chart
from benchmark.report.run_data import read_record
from benchmark.report.time_charts import limits, time_charts


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chart]:
    run = write_run(tmp_path_factory.mktemp("results") / "run", load=120, capacity=90)
    return {chart.name: chart for chart in time_charts(read_record(run))}


@pytest.mark.parametrize("name", ["load", "latency", "regional"])
def test_legend_is_outside_the_data(charts: dict[str, Chart], name: str) -> None:
    figure = Figure(figsize=(7, charts[name].height), layout="constrained")
    charts[name].draw(figure)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    for axes in figure.axes:
        assert not Bbox.intersection(legend.get_window_extent(), axes.get_window_extent())


def test_load_has_a_row_per_interval_with_sent_and_completed(charts: dict[str, Chart]) -> None:
    load = charts["load"]
    assert load.columns == ("time_s", "sent_tps", "completed_tps", "failed_tps")
    measured = [row for row in load.rows if isinstance(row[0], float) and row[0] > 5]
    assert all(row[1] == pytest.approx(120, rel=0.1) for row in measured)
    assert all(row[2] == pytest.approx(90, rel=0.1) for row in measured)


@pytest.mark.parametrize("logged", [False, True], ids=["samples", "logs"])
def test_latency_of_each_region_is_that_of_its_clients(tmp_path: Path, logged: bool) -> None:
    run = write_run(tmp_path / "run")
    if logged:
        use_latency_logs(run)
    (chart,) = (chart for chart in time_charts(read_record(run)) if chart.name == "regional")
    by_region: dict[object, list[float]] = {}
    for region, time, _, p50, p99 in chart.rows:
        if isinstance(time, float) and time > 0 and isinstance(p50, float) and isinstance(p99, float):
            by_region.setdefault(region, []).append(p50)
            assert p50 <= p99
    assert by_region.keys() == set(REGIONS)
    for region, seconds in zip(REGIONS, LATENCY_S, strict=True):
        assert sum(by_region[region]) / len(by_region[region]) == pytest.approx(seconds, rel=0.1)
    assert chart.columns == ("region", "time_s", "mean_s", "p50_s", "p99_s")


def test_quantiles_are_ordered_in_every_interval(charts: dict[str, Chart]) -> None:
    for _, mean, p50, p99 in charts["latency"].rows:
        if isinstance(p50, float) and isinstance(p99, float):
            assert p50 <= p99
            assert isinstance(mean, float)


def test_axis_covers_warm_up_and_window(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "run"))
    start, end = limits(record)
    assert start <= 0 < end
    assert end == pytest.approx(record.end - record.start)


def test_no_charts_without_samples(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "samples.parquet").unlink()
    assert time_charts(read_record(run)) == []


def test_a_stall_that_is_shorter_than_an_interval_stays_visible(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    use_latency_logs(run, load=300, stall=(20.25, 0.3))
    record = read_record(run)
    latency = {chart.name: chart for chart in time_charts(record)}["latency"]
    assert latency.columns == ("time_s", "mean_s", "p50_s", "p99_s", "max_s")
    rows = {round(row[0]): row for row in latency.rows if isinstance(row[0], float)}
    assert isinstance(rows[20][4], float)
    assert rows[20][4] == pytest.approx(0.3 + 0.2, abs=0.1), "the slowest request waited for all of it"
    assert all(isinstance(row[4], float) and row[4] < 0.35 for at, row in rows.items() if at not in (20, 21))
    assert re.search(r"began at 20\.[23] s and lasted 0\.3 s, give or take 0\.1 s", latency.caption)


def test_intervals_of_logs_are_exact_in_load_and_cover_the_warm_up(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    use_latency_logs(run, load=300)
    record = read_record(run)
    assert record.timeline
    assert record.timeline.edges[0] == record.load_start
    assert record.timeline.completed_tps[15:].tolist() == pytest.approx([300.0] * 25, abs=12)
    assert record.window
    assert len(record.window.edges) == 101
    assert list(record.histograms) == sorted(record.summary.by_region)
    for region, histogram in record.histograms.items():
        assert histogram.count == record.summary.by_region[region].completed

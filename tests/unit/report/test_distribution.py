"""The chart of the latency distribution: exact percentiles from latency logs, steps from buckets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from factories.result_factory import write_run
from factories.sample_factory import Array
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from benchmark.measure.histogram import Histogram
from benchmark.measure.window_stats import Increase, window_stats
from benchmark.metrics.latency_log import MICROSECONDS
from benchmark.metrics.names import LOAD_GENERATOR
from benchmark.report import formatting
from benchmark.report.chart import Chart
from benchmark.report.distribution import distribution_chart
from benchmark.report.run_data import Record, read_record


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return read_record(write_run(tmp_path_factory.mktemp("results") / "run"))


def logged(latencies: Array) -> Histogram:
    """The histogram of latencies (s) that a latency log holds."""
    buckets = MICROSECONDS.index(np.floor(latencies * 1e6).astype(np.int64))
    counts = np.bincount(buckets, minlength=int(MICROSECONDS.index(np.array([5_000_000]))[0]))
    return Histogram(
        np.append(MICROSECONDS.edges(len(counts))[1:], np.inf), np.append(np.cumsum(counts), len(latencies))
    )


def counted(histogram: Histogram, *, failed: int = 0, hung: int = 0, timeout_s: float | None = None) -> Increase:
    """What a client counted whose completed requests have these latencies."""
    return Increase(
        seconds=10.0,
        completed=histogram.count,
        latency_sum=None,
        squared_sum=None,
        histogram=histogram,
        sent=None,
        scheduled=None,
        backlog=None,
        errors={"timeout": float(failed)},
        timeout_s=timeout_s,
        hung=float(hung),
    )


def chart_of(record: Record, regions: dict[str, Increase]) -> Chart:
    changed = dataclasses.replace(record)
    changed.__dict__["increases"] = {region: [increase] for region, increase in regions.items()}
    chart = distribution_chart(changed)
    assert chart
    return chart


def sampled(count: int, mean: float) -> Array:
    return np.random.default_rng(count).lognormal(np.log(mean), 0.4, count)


def test_curve_has_the_percentiles_of_the_requests(record: Record) -> None:
    near, far = sampled(30_000, 0.02), sampled(20_000, 0.15)
    far[:12] = 2.3
    chart = chart_of(record, {"a": counted(logged(near)), "b": counted(logged(far))})
    every = np.sort(np.concatenate([near, far]))
    curve = {float(row[1]): float(row[2]) for row in chart.rows if row[0] == "all"}  # type: ignore[arg-type]
    for percentile, rank in ((90.0, 45_000), (99.0, 49_500), (99.9, 49_950), (99.99, 49_995)):
        assert curve[percentile] == pytest.approx(every[rank - 1], rel=2e-3)
    ends = curve[min(curve)], curve[max(curve)]
    assert ends == pytest.approx((every[0], 2.3), rel=2e-3), "from the fastest to the slowest request"
    assert "p99.9 " in chart.alt


def test_axis_has_the_usual_percentiles_and_the_legend_is_off_the_data(record: Record) -> None:
    chart = chart_of(record, {"a": counted(logged(sampled(30_000, 0.02))), "b": counted(logged(sampled(20_000, 0.15)))})
    figure = Figure(figsize=(7, chart.height), layout="constrained")
    chart.draw(figure)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "50", "90", "99", "99.9", "99.99"]
    legend = axes.get_legend()
    assert legend
    assert [text.get_text() for text in legend.get_texts()] == ["all clients", "a", "b"]
    assert not Bbox.intersection(legend.get_window_extent(), axes.get_window_extent())


def test_requests_that_hang_end_the_curve_of_their_region_and_that_of_all_after_the_slowest(record: Record) -> None:
    regions = {
        "a": counted(logged(sampled(900, 0.02)), hung=50, failed=50, timeout_s=10.0),
        "b": counted(logged(sampled(1_000, 0.15))),
    }
    chart = chart_of(record, regions)
    last = {str(row[0]): float(row[1]) for row in chart.rows}  # type: ignore[arg-type]
    assert last["a"] == pytest.approx(90.0)
    assert last["all"] == pytest.approx(95.0), "they are slower than all that completed, as in the summary"
    assert last["b"] > 99.9
    assert len(chart.rows) < 1000
    summary = window_stats(regions.values(), LOAD_GENERATOR).latency_s
    assert summary is not None
    assert summary.p99 is not None
    assert f"p99 {formatting.quantile(summary.p99)}" in chart.alt


def test_failures_of_unknown_latency_end_the_curve(record: Record) -> None:
    chart = chart_of(record, {"a": counted(logged(sampled(9_900, 0.02)), failed=100, timeout_s=2.0)})
    assert max(float(row[1]) for row in chart.rows) == pytest.approx(99)  # type: ignore[arg-type]
    assert "It ends at 99 %" in chart.caption


def test_few_requests_and_equal_latencies_are_drawn(record: Record) -> None:
    for latencies in (np.array([0.03]), np.full(50, 0.0000005)):
        figure = Figure()
        chart_of(record, {"a": counted(logged(latencies))}).draw(figure)
        figure.draw_without_rendering()


def test_buckets_of_prometheus_stay_steps_with_bounds(record: Record) -> None:
    chart = distribution_chart(record)
    assert chart
    assert chart.columns == ("region", "at_most_s", "transactions", "share")
    assert "grey steps" in chart.caption


def test_no_chart_without_latencies(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "samples.parquet").unlink()
    assert distribution_chart(read_record(folder)) is None

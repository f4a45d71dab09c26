"""The chart of host usage names the hosts that each panel draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from factories.result_factory import END, START, write_run
from matplotlib.figure import Figure

from benchmark.metrics.sample_files import write_samples
from benchmark.metrics.samples import Series
from benchmark.report.chart import Chart
from benchmark.report.host_charts import host_chart
from benchmark.report.run_data import read_record

TIMES = np.arange(START, END + 1, 1.0)


def host(name: str, busy: float, sent: float) -> list[Series]:
    """Samples of a host whose processor is `busy` (share) and that sends `sent` bytes/s."""
    labels = {"job": "host", "host": name, "region": "r", "instance": name}
    elapsed = TIMES - TIMES[0]
    return [
        Series("node_cpu_seconds_total", labels | {"mode": "idle", "cpu": "0"}, TIMES, elapsed * (1 - busy)),
        Series("node_cpu_seconds_total", labels | {"mode": "user", "cpu": "0"}, TIMES, elapsed * busy),
        Series("node_network_transmit_bytes_total", labels | {"device": "eth0"}, TIMES, elapsed * sent),
    ]


def chart_of(folder: Path, hosts: list[list[Series]]) -> Chart:
    run = write_run(folder / "run")
    write_samples(run / "samples.parquet", [series for each in hosts for series in each])
    chart = host_chart(read_record(run))
    assert chart is not None
    return chart


def legends(chart: Chart) -> list[list[str]]:
    """Return the names in the legend of each panel."""
    figure = Figure()
    chart.draw(figure)
    found = [axes.get_legend() for axes in figure.axes]
    return [[text.get_text() for text in legend.get_texts()] if legend else [] for legend in found]


def test_few_hosts_have_a_line_each(tmp_path: Path) -> None:
    chart = chart_of(tmp_path, [host(f"h-{index}", 0.1 * index, 1e3) for index in range(3)])
    assert legends(chart) == [["h-0", "h-1", "h-2"], []]
    assert "One line per host." in chart.caption


def test_each_panel_of_many_hosts_names_its_own_highest_host(tmp_path: Path) -> None:
    idle = [host(f"h-{index}", 0.1, 1e3) for index in range(6)]
    chart = chart_of(tmp_path, [*idle, host("computes", 0.9, 1e3), host("sends", 0.1, 5e5)])
    assert legends(chart) == [["range", "median", "computes"], ["range", "median", "sends"]]
    assert "Median and range of 8 hosts" in chart.caption


def test_rows_hold_every_host_at_every_interval(tmp_path: Path) -> None:
    chart = chart_of(tmp_path, [host("a", 0.25, 2e3), host("b", 0.75, 4e3)])
    rows = [dict(zip(chart.columns, row, strict=True)) for row in chart.rows]
    assert {row["host"] for row in rows} == {"a", "b"}
    assert all(row["cpu_busy"] == (0.25 if row["host"] == "a" else 0.75) for row in rows)
    assert all(row["sent_bytes_per_s"] == (2000.0 if row["host"] == "a" else 4000.0) for row in rows)


def test_no_chart_without_samples_of_hosts(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_samples(run / "samples.parquet", [])
    assert host_chart(read_record(run)) is None

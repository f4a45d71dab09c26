"""Data of one run's report."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from factories.result_factory import write_run

from benchmark.metrics.names import MetricNames
from benchmark.metrics.sample_files import read_samples, write_samples
from benchmark.metrics.samples import Series
from benchmark.report import write_report
from benchmark.report.run_data import read_record


def change(folder: Path, name: str, /, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_metrics_of_nodes_are_used_where_nodes_count_transactions(tmp_path: Path) -> None:
    """Every node counts every transaction: the manifest defines the median over the nodes as the count."""
    folder = write_run(tmp_path / "run")
    renamed = [
        Series(one.metric.replace("latency_s", "commit_s"), one.labels | {"job": "node"}, one.times, one.values)
        for one in read_samples(folder / "samples.parquet")
        if one.labels["job"] == "client"
    ]
    write_samples(folder / "samples.parquet", renamed)
    assert read_record(folder).timeline is None
    change(folder, "manifest.json", metrics=asdict(MetricNames("commit_s", None, job="node", aggregation="median")))
    timeline = read_record(folder).timeline
    assert timeline is not None
    assert timeline.completed_tps.mean() == pytest.approx(20, rel=0.05)
    assert 'id="latency"' in write_report(folder).read_text()


def test_window_is_the_measured_part_of_the_timeline(tmp_path: Path) -> None:
    record = read_record(write_run(tmp_path / "run"))
    assert record.timeline is not None
    assert record.window is not None
    assert record.timeline.edges[0] < record.start
    assert record.window.edges[0] == pytest.approx(record.start)
    assert record.window.edges[-1] == pytest.approx(record.end)


def test_run_without_samples_has_no_series_over_time(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "samples.parquet").unlink()
    record = read_record(folder)
    assert (record.clients, record.hosts, record.histograms) == ([], [], {})
    assert record.timeline is record.window is None

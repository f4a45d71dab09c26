"""The naive methods are those of Prometheus and others, and are wrong as docs/numbers.md says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from factories.result_factory import store_run, summary, use_metrics
from factories.sample_factory import client

from benchmark.measure.scrapes import RunSamples
from benchmark.metrics.names import MetricNames
from tools.accuracy.naive_figures import Stored, main, prometheus_rate, read_stored, rows

CASES: dict[str, tuple[list[int | None], int, int]] = {
    "even": ([0, 10, 20, 30, 40, 50, 60], 0, 30),
    "late start": ([None, None, None, 5, 25, 45, 65], 0, 30),
    "reset": ([0, 40, 80, 3, 20, 44, 60], 0, 30),
    "off the edge": ([0, 11, 19, 30, 42, 50, 61], 2, 27),
}


@pytest.mark.parametrize("name", CASES)
def test_naive_rate_matches_that_of_prometheus(name: str, tmp_path: Path) -> None:
    values, start, end = CASES[name]
    sampled = [(5.0 * index, float(value)) for index, value in enumerate(values) if value is not None]
    expected = prometheus_rate([t for t, _ in sampled], [v for _, v in sampled], float(start), float(end))
    series = " ".join("_" if value is None else str(value) for value in values)
    (tmp_path / "test.yml").write_text(
        f"""
evaluation_interval: 5s
tests:
  - interval: 5s
    input_series: [{{series: 'c', values: '{series}'}}]
    promql_expr_test:
      - expr: abs(rate(c[{end - start}s]) - {expected!r}) < bool 1e-9
        eval_time: {end}s
        exp_samples: [{{labels: '{{}}', value: 1}}]
"""
    )
    command = ["promtool", "test", "rules", str(tmp_path / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def uneven() -> Stored:
    """Two clients: one of 90 tx/s at 100 ms; one of 10 tx/s at 1 s; a warm-up of 10 s with nothing in it."""
    scrapes = np.arange(1000.0, 1061.0)
    fast, slow = np.arange(1010.0, 1060.0, 1 / 90), np.arange(1010.0, 1060.0, 1 / 10)
    series = client("a-1", scrapes, fast, np.full(len(fast), 0.12)) + client(
        "b-0", scrapes, slow, np.full(len(slow), 0.9), region="b"
    )
    return Stored(RunSamples(series), begin=1000.0, start=1015.0, end=1060.0, step=1.0)


def test_each_naive_method_has_its_known_error() -> None:
    found = rows(uneven())
    methods = {row.method: row for row in found}
    right = next(row for row in found if row.metric == "throughput")
    assert right.value == pytest.approx(100, rel=0.01)
    whole = next(row for row in found if row.method.startswith("`sum(rate("))
    assert whole.value == pytest.approx(100 * 50 / 60, rel=0.03)
    mean = next(row for row in found if row.metric == "mean latency")
    assert mean.value == pytest.approx(0.9 * 0.12 + 0.1 * 0.9, rel=0.01)
    assert methods["mean of the clients' means"].value == pytest.approx((0.12 + 0.9) / 2, rel=0.01)
    p99 = next(row for row in found if row.metric == "p99")
    assert p99.value is not None
    assert 0.75 < p99.value <= 1.0
    averaged = methods["mean of the clients' p99"].value
    assert averaged is not None
    assert averaged < 0.75 * p99.value


def test_the_table_is_markdown(tmp_path: Path) -> None:
    folder = store_run(tmp_path, summary("20260101T000000Z-one"))
    assert read_stored(folder).start == 1005.0
    lines: list[str] = []
    assert main(folder, lines.append) == 0
    assert all(line.startswith("| ") for line in "\n".join(lines).splitlines())
    assert any("200.00 tx/s" in line for line in lines)


def test_the_metrics_are_those_of_the_manifest(tmp_path: Path) -> None:
    folder = store_run(tmp_path, summary("20260101T000000Z-one"))
    use_metrics(folder, MetricNames("commit_s", squared=None, job="node"))
    found = rows(read_stored(folder))
    assert found[0].value == pytest.approx(200, rel=0.01)
    assert any("rate(commit_s_count[" in row.method for row in found)

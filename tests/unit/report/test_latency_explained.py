"""Chart and table of the latency that round trips explain."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from factories.result_factory import REGIONS, write_run

from benchmark.report.latency_explained import explained_chart, explained_table
from benchmark.report.run_data import Record, read_record


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return read_record(write_run(tmp_path_factory.mktemp("results") / "run"))


def test_parts_of_each_region_add_up_to_its_measured_mean(record: Record) -> None:
    chart, table = explained_chart(record), explained_table(record)
    assert chart
    assert table
    assert chart.csv() == table.csv()
    rows = list(csv.DictReader(io.StringIO(chart.csv())))
    assert [row["region"] for row in rows] == [*sorted(REGIONS), "all"]
    for row in rows:
        parts = [float(row[name]) for name in ("propagation_s", "quorum_s", "rest_s")]
        assert sum(parts) == pytest.approx(float(row["measured_s"]))
    assert "led by us-east-1-0" in table.caption
    assert ">us-east-1<" in chart.svg()


def test_a_prediction_above_what_was_measured_is_shown_as_it_is(record: Record) -> None:
    far = {name: ms * 100 for name, ms in record.manifest.rtt_ms.items()}
    changed = Record(record.folder, record.summary, record.manifest.model_copy(update={"rtt_ms": far}), record.samples)
    table, chart = explained_table(changed), explained_chart(changed)
    assert table
    assert chart
    assert all(row[5].text.startswith("-") for row in table.rows)
    assert chart.svg()


def test_nothing_is_shown_of_other_systems_and_without_a_mean(record: Record, tmp_path: Path) -> None:
    other = Record(record.folder, record.summary, record.manifest.model_copy(update={"quorum": None}), record.samples)
    assert explained_chart(other) is None
    assert explained_table(other) is None
    unknown = record.summary.model_copy(update={"successful_latency_s": None, "by_region": {}})
    measured = Record(record.folder, unknown, record.manifest, record.samples)
    assert explained_chart(measured) is None
    found = explained_table(measured)
    assert found
    assert found.rows[-1][4].text == "\N{EN DASH}"

"""Tables of results in the formats that other programs read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from factories.result_factory import manifest, store_run, store_sweep, summary
from pyarrow import parquet

from benchmark.errors import UsageError
from benchmark.results.catalogue import Entry, catalogue
from benchmark.results.export import write_table
from benchmark.results.tags import change_tags

FIRST, SECOND = "20260101T000000Z-etcd", "20260102T000000Z-etcd"


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    change_tags(store_run(tmp_path, summary(FIRST), manifest(name="a, b")), ["x", "y"])
    store_sweep(tmp_path, [("", summary(SECOND))])
    return catalogue(tmp_path)


def test_all_formats_have_the_same_rows(entries: list[Entry], tmp_path: Path) -> None:
    files = [tmp_path / f"table.{name}" for name in ("csv", "json", "parquet")]
    for file in files:
        write_table(entries, file)
    with files[0].open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    documents = json.loads(files[1].read_text())
    table = parquet.read_table(files[2]).to_pylist()
    for row, document, typed, entry in zip(rows, documents, table, entries, strict=True):
        assert row["id"] == document["id"] == typed["id"] == entry.id
        assert document["p99_s"] == typed["p99_s"] == entry.p99_s
        assert row["p99_s"] == ("" if entry.p99_s is None else str(entry.p99_s))
        assert (document["tags"], document["name"]) == (row["tags"], entry.name)
        assert typed["began"] == entry.began
    run = next(document for document in documents if document["id"] == FIRST)
    assert (run["tags"], run["name"], run["saturated"], run["began"]) == (
        "x y", "a, b", False, "2026-01-01T00:00:00+00:00"
    )  # fmt: skip


def test_no_results_make_an_empty_table_with_columns(tmp_path: Path) -> None:
    write_table([], tmp_path / "empty.parquet")
    assert "p99_s" in parquet.read_table(tmp_path / "empty.parquet").column_names


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"table.xls: expected a name that ends with .csv, .json or .parquet"):
        write_table([], tmp_path / "table.xls")

"""Samples are stored in Parquet files and read back unchanged."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.metrics.sample_files import read_samples, write_samples
from benchmark.metrics.samples import Series


def series(name: str, count: int, first: float = 1700000000.123, **labels: str) -> Series:
    times = np.array([round(first + 5.0 * number, 3) for number in range(count)])
    return Series(name, labels, times, np.array([1.5 * number for number in range(count)]))


def same(one: Series, other: Series) -> bool:
    arrays = np.array_equal(one.times, other.times) and np.array_equal(one.values, other.values, equal_nan=True)
    return bool(arrays) and (one.metric, one.labels) == (other.metric, other.labels)


def test_samples_survive_a_round_trip(tmp_path: Path) -> None:
    odd = Series("odd", {"text": 'é "\n'}, np.array([1.0, 2.0, 3.0]), np.array([np.nan, np.inf, -0.1]))
    written = [
        series("up", 4, host="a"),
        series("up", 3, host="b"),
        series("down", 1, host="b"),
        odd,
        series("bare", 2),
    ]
    write_samples(tmp_path / "samples.parquet", written)
    read = read_samples(tmp_path / "samples.parquet")
    assert len(read) == len(written)
    assert all(same(one, other) for one, other in zip(read, written, strict=True))
    assert all(one.times.dtype == one.values.dtype == np.float64 for one in read)


def test_times_keep_their_milliseconds(tmp_path: Path) -> None:
    times = np.array([int(1.7e12) + n for n in range(1000)]) / 1000
    write_samples(tmp_path / "s", [Series("m", {}, times, times)])
    assert read_samples(tmp_path / "s")[0].times.tolist() == times.tolist()


def test_file_without_series_is_valid(tmp_path: Path) -> None:
    write_samples(tmp_path / "s", [])
    assert read_samples(tmp_path / "s") == []


def test_file_has_the_documented_columns(tmp_path: Path) -> None:
    write_samples(tmp_path / "s", [series("up", 2, zone="z", host="a")])
    table = pq.read_table(tmp_path / "s")
    assert {name: str(table.schema.field(name).type) for name in table.column_names} == {
        "metric": "dictionary<values=string, indices=int32, ordered=0>",
        "labels": "dictionary<values=string, indices=int32, ordered=0>",
        "time": "timestamp[ms, tz=UTC]",
        "value": "double",
    }
    assert table.column("labels").to_pylist() == ['{"host": "a", "zone": "z"}'] * 2
    assert pq.ParquetFile(tmp_path / "s").metadata.row_group(0).column(3).compression == "ZSTD"


def test_series_across_row_groups_are_joined(tmp_path: Path) -> None:
    written = [series("up", 50, host=str(number)) for number in range(20)]
    write_samples(tmp_path / "one", written)
    pq.write_table(pq.read_table(tmp_path / "one"), tmp_path / "many", row_group_size=33)
    assert pq.ParquetFile(tmp_path / "many").num_row_groups > 20
    assert all(same(one, other) for one, other in zip(read_samples(tmp_path / "many"), written, strict=True))


@pytest.mark.parametrize("key", ["time", "value"])
def test_rows_in_another_order_are_the_same_series(tmp_path: Path, key: str) -> None:
    written = [series(name, 30, host=host) for name in ("up", "latency_s_count") for host in ("a", "b")]
    write_samples(tmp_path / "one", written)
    table = pq.read_table(tmp_path / "one")
    pq.write_table(table.sort_by([(key, "descending")]), tmp_path / "other")
    read = sorted(read_samples(tmp_path / "other"), key=lambda one: (one.metric, one.labels["host"]))
    expected = sorted(written, key=lambda one: (one.metric, one.labels["host"]))
    assert len(read) == len(expected)
    assert all(same(one, other) for one, other in zip(read, expected, strict=True))


def test_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "samples.parquet"
    write_samples(path, [series("old", 2)])
    torn = Series("new", {}, np.arange(3.0), np.arange(2.0))
    with pytest.raises(ValueError, match="length"):
        write_samples(path, [torn])
    assert [one.metric for one in read_samples(path)] == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["samples.parquet"]


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no more"])
def test_invalid_file_is_a_usage_error_with_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "samples.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"cannot read the samples .*samples\.parquet"):
        read_samples(path)


def test_parquet_file_without_samples_is_a_usage_error(tmp_path: Path) -> None:
    write_samples(tmp_path / "s", [series("up", 2)])
    pq.write_table(pq.read_table(tmp_path / "s").drop_columns(["labels"]), tmp_path / "other")
    with pytest.raises(UsageError, match="cannot read the samples"):
        read_samples(tmp_path / "other")


def test_half_an_hour_of_samples_of_100_clients_is_read_within_a_second(tmp_path: Path) -> None:
    buckets = [series("latency_s_bucket", 360, host=str(c), le=str(b)) for c in range(100) for b in range(65)]
    write_samples(tmp_path / "s", buckets)
    # The processor time of this process: other work on the machine does not count.
    before = time.process_time()
    read = read_samples(tmp_path / "s")
    assert time.process_time() - before < 1.0
    assert len(read) == 6500


_ODD = {
    "metric": pa.array(["up", None], pa.string()),
    "labels": pa.array(['{"host": "a"}', None], pa.string()),
    "time": pa.array([None, 1], pa.timestamp("ms", tz="UTC")),
    "value": pa.array([1.0, None], pa.float64()),
}
_TYPES = [
    pa.array([1, 2]),
    pa.array([1.5, float("nan")]),
    pa.array(["x", ""]),
    pa.array([b"\xff", b""]),
    pa.array([[1], []]),
    pa.array([None, None]),
    pa.array(["[1]", "null"]),
    pa.array(['{"host": 1}', '{"host": null}']),
    pa.array([2**62, -(2**62)]),
]


@settings(derandomize=True, max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(sorted(_ODD)), st.integers(0, len(_TYPES)), min_size=1))
def test_any_table_is_read_or_a_usage_error(tmp_path: Path, changes: dict[str, int]) -> None:
    write_samples(tmp_path / "s", [series("up", 2, host="a")])
    table = pq.read_table(tmp_path / "s")
    for name, kind in changes.items():
        column = _TYPES[kind] if kind < len(_TYPES) else _ODD[name]
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, tmp_path / "odd")
    read: list[Series] = []
    with suppress(UsageError):
        read = read_samples(tmp_path / "odd")
    assert all(isinstance(text, str) for one in read for text in (one.metric, *one.labels.values()))
    assert sum(len(one.times) for one in read) in (0, 2)


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("labels", ["[1]", "{}"], "labels: Input should be an object"),
        ("value", [1.0, None], "no value in column value"),
        ("time", ["x", "y"], "Failed to parse string: '.' as a scalar of type timestamp"),
    ],
)
def test_damaged_columns_are_named(tmp_path: Path, column: str, values: list[object], reason: str) -> None:
    write_samples(tmp_path / "s", [series("up", 2, host="a")])
    table = pq.read_table(tmp_path / "s")
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values)), tmp_path / "odd")
    with pytest.raises(UsageError, match=reason):
        read_samples(tmp_path / "odd")

"""Files of requests as pgbench, h2load, k6, vegeta and JMeter write them become latency logs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.metrics.latency_log import LatencyLog, Tag
from benchmark.metrics.request_log import RequestColumns, read_requests

OK = Tag("default")
PGBENCH = RequestColumns((5, 6), 3, "us", error=3, success="[0-9]*")
H2LOAD = RequestColumns((1,), 3, "us", time_of="start", error=2, success="2??")


def read(folder: Path, text: str | bytes, columns: RequestColumns) -> LatencyLog:
    path = folder / "requests"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_requests(path, columns)


def counts(log: LatencyLog) -> dict[Tag, int]:
    return {tag: int(found.sum()) for tag, found in log.by_tag().items()}


def latencies(log: LatencyLog) -> list[float]:
    """Return the lower edges of the buckets of all requests in s, by interval."""
    _, buckets, number = log.entries()
    edges = log.layout.edges(int(buckets.max()) + 1)
    return [float(edges[bucket]) for bucket, count in zip(buckets, number, strict=True) for _ in range(count)]


def test_transactions_of_pgbench_ended_at_their_times_and_can_fail(tmp_path: Path) -> None:
    text = (
        "0 1 2190 0 1795942265 328134 72\n"
        "1 1 1909 0 1795942265 390000 72\n"
        "1 2 skipped 0 1795942265 400000 9000\n"
        "0 2 serialization 0 1795942266 0 5\n"
    )
    log = read(tmp_path, text, PGBENCH)
    assert counts(log) == {OK: 2, Tag("default", "skipped"): 1, Tag("default", "serialization"): 1}
    assert log.starts_ms.tolist() == [1795942265300, 1795942265400, 1795942266000]
    assert latencies(log)[:2] == pytest.approx([0.001909, 0.002190], rel=1e-3)
    assert (log.aligned, log.notes) == (True, ())


def test_requests_of_h2load_end_after_their_time(tmp_path: Path) -> None:
    text = "1795942259302291\t200\t358\n"
    text += "1795942259399999\t200\t50000\n1795942259399999\t-1\t7\n1795942259399999\t404\t7\n"
    log = read(tmp_path, text, H2LOAD)
    assert counts(log) == {OK: 2, Tag("default", "code_-1"): 1, Tag("default", "code_404"): 1}
    assert log.starts_ms.tolist() == [1795942259300, 1795942259400, 1795942259400, 1795942259400]


def test_metrics_of_k6_are_found_by_name_and_quoted_fields_are_read(tmp_path: Path) -> None:
    text = (
        "metric_name,timestamp,metric_value,error,error_code,url\r\n"
        'http_req_duration,1795942259302291,12.5,,,"http://a/?x=1,2"\r\n'
        "http_reqs,1795942259302291,1,,,http://a/\r\n"
        'http_req_duration,1795942259402291,30000,"request\n""timeout""",1050,http://a/\r\n'
    )
    columns = RequestColumns(
        ("timestamp",), "metric_value", "ms", error="error_code", only={"metric_name": "http_req_duration"}
    )
    log = read(tmp_path, text, columns)
    assert counts(log) == {OK: 1, Tag("default", "code_1050"): 1}
    assert latencies(log) == pytest.approx([0.0125, 30.0], rel=1e-3)


def test_nanoseconds_of_vegeta_and_success_of_jmeter(tmp_path: Path) -> None:
    vegeta = RequestColumns((1,), 3, "ns", time_of="start", error=6)
    text = '1795942259302291123,200,1500000,0,5,,,,0\n1795942259302291123,0,1500000,0,5,"dial, refused",,,0\n'
    assert counts(read(tmp_path, text, vegeta)) == {OK: 1, Tag("default", "dial_refused"): 1}
    jmeter = RequestColumns(("timeStamp",), "elapsed", "ms", time_of="start", error="success", success="true")
    text = "timeStamp;elapsed;success\n1795942259302;15;true\n1795942259302;15;false\n"
    log = read(tmp_path, text, jmeter)
    assert counts(log) == {OK: 1, Tag("default", "false"): 1}
    assert latencies(log) == pytest.approx([0.015, 0.015], rel=1e-3)


def test_long_bodies_of_responses_are_skipped(tmp_path: Path) -> None:
    text = f"1795942259302291123,200,1500000,0,5,,{'QUFB' * 100_000},,0\n"
    assert counts(read(tmp_path, text, RequestColumns((1,), 3, "ns", error=6))) == {OK: 1}


def test_times_in_whole_seconds_are_intervals_of_a_second(tmp_path: Path) -> None:
    log = read(tmp_path, "1795942259 10\n1795942260 10\n", RequestColumns((1,), 2, "ms"))
    assert log.lengths_ms.tolist() == [1000, 1000]
    assert log.notes == (f"{tmp_path}/requests: its times are whole seconds",)


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    log = read(tmp_path, "0 1 2190 0 1795942265 328134 72\n0 2 21", PGBENCH)
    assert counts(log) == {OK: 1}
    assert log.notes == (f"{tmp_path}/requests: its last line was cut off, and is left out",)
    quoted = read(tmp_path, '1795942259,1,""\n1795942259,1,"a\nb', RequestColumns((1,), 2, "ms", error=3))
    assert counts(quoted) == {OK: 1}


def test_kinds_of_failures_are_bounded(tmp_path: Path) -> None:
    text = "".join(f"1795942259302291\t5{index}\t7\n" for index in range(1000))
    found = counts(read(tmp_path, text, H2LOAD))
    assert len(found) == 51
    assert found[Tag("default", "other")] == 950


def test_files_of_several_chunks_are_read_completely(tmp_path: Path) -> None:
    text = "".join(f"0 {index} 1000 0 {1795942265 + index // 1000} 5 0\n" for index in range(120_000))
    assert counts(read(tmp_path, text, PGBENCH)) == {OK: 120_000}
    backwards = read(tmp_path, "".join(reversed(text.splitlines(keepends=True))), PGBENCH)
    assert (np.diff(backwards.starts_ms) >= 0).all()
    assert backwards.rows(1795942300_000, 1795942301_000).totals().sum() == 1000
    assert counts(backwards) == {OK: 120_000}
    with pytest.raises(UsageError, match=r"requests, line 120001, column 3: found '1x', expected a number$"):
        read(tmp_path, text + "0 1 1x 0 1795942265 5 0\n", RequestColumns((5, 6), 3, "us"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 5\n", "line 1: it has 3 columns, expected at least 6"),
        ("0 1 nan 0 1795942265 5\n", "line 1, column 3: found 'nan', expected a latency in us"),
        ("0 1 -5 0 1795942265 5\n", "line 1, column 3: found '-5', expected a latency in us"),
        ("0 1 5 0 17959422 5\n", "line 1, column 5: found '17959422', expected a Unix time in s"),
        ("0 1 5 0 1795942265 1000000\n", "line 1, column 6: found '1000000', expected microseconds, 0 to 999999"),
        ("0 1 5 0 1795942265 5\n0 1 5 0 0 5\n", "line 2, column 5: found '0', expected a Unix time in s"),
        ("0 1 5 0 today 5\n", "line 1, column 5: found 'today', expected a number"),
        (b"\0\xff\n", "line 1: it has 1 columns, expected at least 6"),
        ("x" * (1 << 20), "line 1: it is longer than 1048576 characters"),
        ('0,1,5,0,1795942265,5\n0,1,5,0,1795942265,"5" x\n', "line 2: ',' expected after '\"'"),
    ],
)
def test_damaged_files_are_rejected_with_line_and_column(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path, text, RequestColumns((5, 6), 3, "us"))
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["", "\n\n", "time,latency\n"])
def test_a_file_may_have_no_requests(tmp_path: Path, text: str) -> None:
    log = read(tmp_path, text, RequestColumns(("time",), "latency", "us"))
    assert (counts(log), log.notes) == ({}, ())


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    columns = RequestColumns(("timestamp",), "latency", "ms")
    with pytest.raises(UsageError, match=r"line 1: no column is called 'latency'; did you mean 'latency_ms'\? found: "):
        read(tmp_path, "timestamp,latency_ms\n1,2\n", columns)


def test_times_without_a_date_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"column 8: found '0\.0012', expected a Unix time in s, ms, us or ns"):
        read(tmp_path, "0.1,0,0,0,0,0,200,0.0012\n", RequestColumns((8,), 1, "s"))


def test_a_file_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate((1 << 29) + 1)
    with pytest.raises(UsageError, match="large: it is larger than 512 MiB; shorten the run"):
        read_requests(tmp_path / "large", PGBENCH)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none: cannot be read: No such file or directory"):
        read_requests(tmp_path / "none", PGBENCH)


@settings(max_examples=100, deadline=None)
@given(
    text=st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([*'0123456789 \t,;"\n.-eE_x', "1795942265", "nan", "\0", "\r\n"])).map(
            lambda parts: "".join(parts).encode()
        ),
    ),
    columns=st.sampled_from([PGBENCH, H2LOAD, RequestColumns(("time",), "0", "s"), RequestColumns((1,), 2, "ns")]),
)
def test_any_file_is_read_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, columns: RequestColumns
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(text)
    with suppress(UsageError):
        assert (np.diff(read_requests(path, columns).starts_ms) >= 0).all()

"""Latency logs are read as HdrHistogram's own readers do, whoever wrote them; damaged ones are errors with a line."""

from __future__ import annotations

import base64
import dataclasses
import math
import struct
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from factories.latency_logs import HEADER, LEGEND, encoded, line, write
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.metrics.latency_log import (
    MICROSECONDS,
    LatencyLog,
    Layout,
    Tag,
    from_requests,
    own_tag,
    plain_tag,
    read_latency_log,
    read_latency_logs,
)

START = 1_700_000_000.0


def values_of(log: LatencyLog) -> dict[Tag, Counter[float]]:
    """The lower edges of the buckets with counts, in units of the log, by tag."""
    found = {}
    for tag, counts in log.by_tag().items():
        edges = np.rint(log.layout.edges(len(counts)) / log.layout.second)
        found[tag] = Counter({float(edges[index]): int(counts[index]) for index in np.flatnonzero(counts)})
    return found


@pytest.mark.parametrize(("digits", "lowest"), [(1, 1), (2, 1), (3, 1), (5, 1), (3, 1000), (2, 7)])
def test_buckets_are_those_of_the_reference_implementation(digits: int, lowest: int) -> None:
    layout = Layout.create(digits, lowest, 1.0)
    reference = HdrHistogram(lowest, 1 << 40, digits)
    values = np.unique(np.concatenate([np.arange(5000), np.geomspace(1, 1 << 40, 3000).astype(np.int64)]))
    found = layout.index(values)
    edges = layout.edges(int(found.max()) + 1)
    for value, index in zip(values.tolist(), found.tolist(), strict=True):
        assert edges[index] == reference.get_lowest_equivalent_value(value)
        assert edges[index + 1] == reference.get_highest_equivalent_value(value) + 1


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from(["", "put", "put.timeout"]), st.lists(st.integers(0, 3_600_000_000)))))
def test_every_value_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, list[int]]]) -> None:
    lines = [line(START + index / 10, values, tag) for index, (tag, values) in enumerate(rows)]
    log = read_latency_log(write(tmp_path_factory.mktemp("log") / "a.hlog", lines))
    assert log.starts_ms.tolist() == [int(START * 1000) + 100 * index for index in range(len(rows))]
    reference = HdrHistogram(1, 3_600_000_000, 3)
    expected: dict[Tag, Counter[float]] = {}
    for tag, values in rows:
        for value in values:
            expected.setdefault(own_tag(tag), Counter())[float(reference.get_lowest_equivalent_value(value))] += 1
    assert values_of(log) == expected


def test_rows_of_a_window_are_those_whose_interval_lies_within_it(tmp_path: Path) -> None:
    lines = [line(START + index / 10, [index + 1], "put") for index in range(50)]
    log = read_latency_log(write(tmp_path / "a.hlog", lines))
    assert log.aligned
    begin = int(START * 1000)
    inside = log.rows(begin + 1000, begin + 2000)
    assert values_of(inside) == {Tag("put"): Counter({float(value): 1 for value in range(11, 21)})}
    assert values_of(log.rows(begin + 1001, begin + 1999)) == {
        Tag("put"): Counter({float(value): 1 for value in range(12, 20)})
    }
    assert values_of(inside.tagged(lambda tag: tag.workload == "get")) == {}
    assert inside.rows(begin + 1500, begin + 1600).entries()[1].tolist() == [16]


def test_rows_are_ordered_by_time_whatever_the_order_of_lines(tmp_path: Path) -> None:
    lines = [line(START + 2, [20, 21], "put"), line(START + 1, [10], "put"), line(START + 3, [30], "put")]
    log = read_latency_log(write(tmp_path / "a.hlog", lines))
    begin = int(START * 1000)
    assert [values_of(log.rows(begin + at * 1000, begin + at * 1000 + 100)) for at in (1, 2, 3)] == [
        {Tag("put"): Counter({10.0: 1})},
        {Tag("put"): Counter({20.0: 1, 21.0: 1})},
        {Tag("put"): Counter({30.0: 1})},
    ]


def test_logs_of_other_generators_have_other_units_digits_and_times(tmp_path: Path) -> None:
    """cassandra-stress: nanoseconds of at least 1000, two digits, times relative to the start, longer intervals."""
    lines = [line(at, [5_000_000, 7_000_000_000], "op-rt", 1.004, digits=2, lowest=1000, highest=1 << 42)
             for at in (0.127, 1.131)]  # fmt: skip
    path = write(tmp_path / "a.hlog", [*lines, line(2.0, [1], "op-st", digits=2, lowest=1000, highest=1 << 42)], START)
    log = read_latency_log(path, 1e-9, lambda text: Tag(text[:-3]) if text.endswith("-rt") else None)
    assert log.starts_ms.tolist() == [int(START * 1000) + 127, int(START * 1000) + 1131]
    assert log.lengths_ms.tolist() == [1004, 1004]
    assert not log.aligned
    [(tag, counts)] = log.by_tag().items()
    assert tag == Tag("op")
    at = np.flatnonzero(counts)
    assert counts[at].tolist() == [2, 2]
    edges = log.layout.edges(len(counts))
    for index, seconds in zip(at.tolist(), (0.005, 7.0), strict=True):
        assert edges[index] <= seconds < edges[index + 1] <= seconds * 1.02


def test_times_count_from_the_base_time(tmp_path: Path) -> None:
    more = "#[BaseTime: 1700000100.000 (seconds since epoch)]\n"
    log = read_latency_log(write(tmp_path / "a.hlog", [line(5, [1])], START, more), parse_tag=plain_tag)
    assert log.starts_ms.tolist() == [1_700_000_105_000]
    assert log.tags == (Tag(""),)


def test_values_are_multiplied_by_the_conversion_ratio(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hlog", [f"{START},0.1,1,{packed(ratio=0.5)}\n"])
    log = read_latency_log(path)
    assert log.layout == dataclasses.replace(MICROSECONDS, second=0.5e-6)


def test_requests_are_recorded_as_the_generator_does(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    ended = START + np.sort(random.uniform(0, 3, 500))
    latencies = random.exponential(0.03, 500)
    codes = random.integers(0, 2, 500)
    tags = [Tag("put"), Tag("put", "timeout")]
    lines = []
    slots = np.floor(np.rint(ended * 1e6) / 1e5).astype(int)
    for slot in np.unique(slots).tolist():
        for code, name in enumerate(("put", "put.timeout")):
            chosen = latencies[(slots == slot) & (codes == code)]
            lines += [line(slot / 10, np.floor(chosen * 1e6).astype(int).tolist(), name)] if chosen.size else []
    made = from_requests(ended, latencies, codes, tags)
    read = read_latency_log(write(tmp_path / "a.hlog", lines))
    assert made.aligned
    assert made.tags == read.tags == tuple(tags)
    for name in ("starts_ms", "lengths_ms", "tag", "offsets", "buckets", "counts"):
        assert np.array_equal(getattr(made, name), getattr(read, name)), name


def test_no_requests_make_an_empty_log() -> None:
    log = from_requests(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64), [])
    assert log.by_tag() == {}
    assert log.rows(0, 10**12).by_tag() == {}


@pytest.mark.parametrize(("ended", "latency"), [(math.nan, 1.0), (START, -1.0), (START, math.inf), (1e300, 1.0)])
def test_impossible_requests_are_errors(ended: float, latency: float) -> None:
    values = np.array([START, ended]), np.array([0.1, latency])
    with pytest.raises(UsageError, match=r"request 2: found the (time|latency)"):
        from_requests(*values, np.zeros(2, dtype=np.int64), [Tag("put")])


def test_a_line_that_was_cut_off_at_the_end_is_noted(tmp_path: Path) -> None:
    whole = [line(START, [10], "put"), line(START + 0.1, [20, 30], "put")]
    for cut in range(1, len(whole[1]) - 1):
        path = write(tmp_path / "a.hlog", [whole[0], whole[1][:cut]])
        log = read_latency_log(path)
        if cut == len(whole[1]) - 1:
            assert not log.notes
        else:
            assert log.notes == (f"{path}, line 5: it was cut off, and is left out",)
            assert values_of(log) == {Tag("put"): Counter({10.0: 1})}
    assert not read_latency_log(write(tmp_path / "a.hlog", ["".join(whole).rstrip()])).notes


def packed(
    words: bytes = b"\x02",
    *,
    cookie: int = 0x1C849313,
    outer: int = 0x1C849314,
    length: int | None = None,
    offset: int = 0,
    digits: int = 3,
    lowest: int = 1,
    ratio: float = 1.0,
) -> str:
    size = len(words) if length is None else length
    header = struct.pack(">IIiIQQd", cookie, size, offset, digits, lowest, 1 << 31, ratio)
    data = zlib.compress(header + words)
    return base64.b64encode(struct.pack(">II", outer, len(data)) + data).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what is this", "expected .*start,length,max,histogram"),
        (f"{START},0.1,1,", "V2 compressed encoding"),
        (f"{START},0.1,1,AAAA", "V2 compressed encoding"),
        (f"{START},0.1,{packed()}", "expected .*start,length,max,histogram"),
        (f"Tag=a,b,{START},0.1,1,{packed()}", "expected .*start,length,max,histogram"),
        (f"now,0.1,1,{packed()}", "could not convert"),
        (f"nan,0.1,1,{packed()}", "its time is impossible"),
        (f"{START},-1,1,{packed()}", "its time is impossible"),
        (f"1e30,0.1,1,{packed()}", "its time is impossible"),
        (f"{START},0.1,1,{packed(outer=0x1C849302)}", "V2 compressed encoding"),
        (f"{START},0.1,1,{packed(cookie=0x1C849301)}", "V2 encoding"),
        (f"{START},0.1,1,{packed(length=7)}", "cut off"),
        (f"{START},0.1,1,{packed(words=b'')[:40]}", "V2 compressed encoding"),
        (f"{START},0.1,1,{packed(words=bytes([0x80]))}", "cut off"),
        (f"{START},0.1,1,{packed(offset=3)}", "shifted"),
        (f"{START},0.1,1,{packed(digits=6)}", "more than 5 significant digits"),
        (f"{START},0.1,1,{packed(lowest=0)}", "lowest value is impossible"),
        (f"{START},0.1,1,{packed(lowest=1 << 63)}", "lowest value is impossible"),
        (f"{START},0.1,1,{packed(ratio=math.nan)}", "conversion ratio"),
        (f"{START},0.1,1,{packed(digits=2)}", "other digits or units"),
        (f"{START},0.1,1,{packed(words=bytes(8 * [0xFF]) + bytes([0x7E]))}", "more than any client can send"),
        (f"{START},0.1,1,{packed(words=bytes([0xFE, *6 * [0xFF], 0x7F]))}", "more than any client can send"),
        (f"{START},0.1,1,{packed(words=bytes(7 * [0xFF]) + bytes([0x7F]))}", "too many buckets"),
        (f"{START},0.1,1,{packed(words=20 * bytes([0xFF, 0xFF, 0x03]) + bytes([2]))}", "too many buckets"),
        (f"{START},0.1,1,{packed(words=bytes(1 << 24))}", "more than 2097152 bytes"),
    ],
)
def test_a_damaged_line_is_an_error_with_its_number(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path / "a.hlog", [line(START, [1], "put"), f"{text}\n", line(START + 1, [1], "put")])
    with pytest.raises(UsageError, match=rf"a\.hlog, line 5: .*{expected}"):
        read_latency_log(path)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_log_is_read_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("log") / "a.hlog"
    content = bytearray(write(path, [line(START + at, range(at), "put") for at in range(4)]).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    path.write_bytes(content)
    with suppress(UsageError):
        assert all(counts.sum() > 0 for counts in read_latency_log(path).by_tag().values())


def test_damaged_words_are_decoded_or_an_error(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    for _ in range(100):
        words = random.integers(0, 256, random.integers(0, 30), dtype=np.uint8).tobytes()
        path = write(tmp_path / "a.hlog", [f"{START},0.1,1,{packed(words=words)}\n"])
        with suppress(UsageError):
            assert all(counts.sum() > 0 for counts in read_latency_log(path).by_tag().values())


def test_what_is_no_log_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the latency log .*No such file"):
        read_latency_log(tmp_path / "missing")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(UsageError, match="found no complete line"):
        read_latency_log(tmp_path / "empty")
    (tmp_path / "long").write_bytes(b"x" * (1 << 25))
    with pytest.raises(UsageError, match="line 1: it is longer than"):
        read_latency_log(tmp_path / "long")


def test_a_log_without_any_request_is_empty(tmp_path: Path) -> None:
    log = read_latency_log(write(tmp_path / "a.hlog", []))
    assert log.by_tag() == {}
    assert log.aligned


def test_many_logs_are_read_in_other_processes(tmp_path: Path) -> None:
    lines = [line(START + at / 10, range(at % 7), "put") for at in range(700)]
    many = write(tmp_path / "one.hlog", lines).read_text().removeprefix(HEADER.format(start=START, more="") + LEGEND)
    paths = {}
    for name in ("a", "b"):
        paths[name] = tmp_path / f"{name}.hlog"
        paths[name].write_text(LEGEND + 60 * many)
    logs = read_latency_logs(paths, processes=2)
    assert list(logs) == ["a", "b"]
    assert values_of(logs["a"]) == values_of(logs["b"])
    assert sum(values_of(logs["a"])[Tag("put")].values()) == 60 * sum(at % 7 for at in range(700))
    paths["b"].write_text(many + "broken\n")
    with pytest.raises(UsageError, match=r"b\.hlog, line 701: "):
        read_latency_logs(paths, processes=2)


def test_the_encoding_of_the_tests_is_that_of_the_reference() -> None:
    assert HdrHistogram.decode(packed(words=bytes([3, 4])).encode()).get_count_at_index(2) == 2
    assert HdrHistogram.decode(encoded([2, 2]).encode()).get_count_at_index(2) == 2

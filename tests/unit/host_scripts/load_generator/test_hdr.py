"""Histograms and logs of the load generator, read back by the package `hdrhistogram`."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given
from hypothesis import strategies as st

from benchmark.host_scripts.load_generator import hdr
from benchmark.host_scripts.load_generator.hdr import (
    HIGHEST_US,
    Interval,
    LogWriter,
    Recorder,
    bucket_index,
    encode,
    highest_value,
)

REFERENCE = HdrHistogram(1, HIGHEST_US, 3)
Intervals = list[tuple[int, Interval]]


@given(st.integers(0, HIGHEST_US) | st.integers(0, 32).map(lambda bits: min(HIGHEST_US, 1 << bits)))
def test_values_are_counted_in_the_buckets_of_the_reference(value: int) -> None:
    index = bucket_index(value)
    assert index == REFERENCE._counts_index_for(value)
    assert highest_value(index) == REFERENCE.get_highest_equivalent_value(value)
    assert value <= highest_value(index) <= value * 1.001


@given(st.dictionaries(st.integers(0, bucket_index(HIGHEST_US)), st.integers(1, 1 << 40), min_size=1, max_size=50))
def test_the_reference_decodes_what_was_encoded(counts: dict[int, int]) -> None:
    decoded = HdrHistogram.decode(encode(counts))
    assert (decoded.lowest_trackable_value, decoded.highest_trackable_value) == (1, HIGHEST_US)
    assert decoded.significant_figures == 3
    assert {index: decoded.get_count_at_index(index) for index in counts} == counts
    assert decoded.total_count == sum(counts.values())


def read(path: Path) -> Iterator[tuple[str, float, HdrHistogram]]:
    """Yield tag, start in s since the epoch, and histogram of each line of a log."""
    reader = HistogramLogReader(str(path), REFERENCE)
    while found := reader.get_next_interval_histogram():
        yield found.get_tag(), found.get_start_time_stamp() / 1000, found
    reader.input_file.close()


def test_the_reference_reads_tags_absolute_times_and_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Clocks(monkeypatch).now = 0.17  # within the first interval
    path = tmp_path / "latencies.hlog"
    log = LogWriter(str(path))
    log.write(17_000_000_001, {"put": {bucket_index(90_000): 2}, "put.timeout": {bucket_index(10_000_000): 1}})
    log.write(17_000_000_014, {"put": {0: 1}})
    found = [(tag, start, each.total_count, each.get_value_at_percentile(100)) for tag, start, each in read(path)]
    assert found == [
        ("put", pytest.approx(1_700_000_000.1, abs=1e-6), 2, highest_value(bucket_index(90_000))),
        ("put.timeout", pytest.approx(1_700_000_000.1, abs=1e-6), 1, highest_value(bucket_index(10_000_000))),
        ("put", pytest.approx(1_700_000_001.4, abs=1e-6), 1, 0),
    ]
    lines = path.read_text().splitlines()
    assert lines[0] == "#[Histogram log format version 1.3]"
    assert lines[5].startswith("Tag=put,1700000000.100,0.100,90.047,HISTF")


class Clocks:
    """The clocks of `hdr`, set by hand: Unix time is `offset` later than the monotonic clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.offset = 1000.0, 1_700_000_000.0
        monkeypatch.setattr(hdr, "monotonic", lambda: self.now)
        monkeypatch.setattr(hdr, "time", lambda: self.now + self.offset)


def test_values_are_counted_in_the_interval_of_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, intervals = Clocks(monkeypatch), Intervals()
    recorder = Recorder(lambda number, interval: intervals.append((number, interval)))
    for now, tag in ((1000.04, "a"), (1000.09, "a"), (1000.11, "a"), (1000.15, "b"), (1000.73, "a")):
        clocks.now = now
        recorder.record(tag, 0.0015, now)
    recorder.close()
    assert intervals == [
        (17_000_010_000, {"a": {1500: 2}}),
        (17_000_010_001, {"a": {1500: 1}, "b": {1500: 1}}),
        (17_000_010_007, {"a": {1500: 1}}),
    ]


@pytest.mark.parametrize("step_s", [-3600.0, -0.05, 0.05, 3600.0])
def test_no_interval_is_used_twice_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    clocks, intervals = Clocks(monkeypatch), Intervals()
    recorder = Recorder(lambda number, interval: intervals.append((number, interval)))
    for n in range(500):
        clocks.now += 0.01
        clocks.offset += step_s if n == 100 else 0.0
        recorder.record("a", 0.001, clocks.now)
    recorder.close()
    numbers = [number for number, _ in intervals]
    assert numbers == sorted(set(numbers))
    assert sum(sum(interval["a"].values()) for _, interval in intervals) == 500
    if step_s > -1:  # the intervals are those of the clock again
        assert numbers[-1] == math.floor((clocks.now + clocks.offset) * 10)


def test_a_value_beyond_the_range_is_counted_as_the_highest() -> None:
    intervals = Intervals()
    recorder = Recorder(lambda number, interval: intervals.append((number, interval)))
    recorder.record("a", 1e6, 0.0)
    recorder.close()
    assert intervals[0][1] == {"a": {bucket_index(HIGHEST_US): 1}}


def test_a_full_disk_is_an_error_that_names_the_file() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        LogWriter("/dev/full")


def test_a_log_of_half_an_hour_at_5000_requests_per_second_takes_20_mb(tmp_path: Path) -> None:
    path, draw = tmp_path / "latencies.hlog", random.Random(1)
    log = LogWriter(str(path))
    header, seconds = path.stat().st_size, 2
    for number in range(10 * seconds):
        interval: Interval = {"put": {}, "_scheduling_delay": {}}
        for _ in range(500):
            for tag, value in (("put", draw.lognormvariate(11, 0.7)), ("_scheduling_delay", draw.expovariate(1 / 80))):
                index = bucket_index(int(value))
                interval[tag][index] = interval[tag].get(index, 0) + 1
        log.write(17_000_000_000 + number, interval)
    assert (path.stat().st_size - header) / seconds * 1800 == pytest.approx(20e6, rel=0.1)

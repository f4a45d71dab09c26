"""What YCSB, cassandra-stress, pgbench and others write becomes a log that HdrHistogram's own reader reads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from factories.latency_logs import line, write
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from benchmark.errors import UsageError
from benchmark.metrics.foreign_logs import HistogramTags, LatencySource, convert
from benchmark.metrics.latency_log import Tag, read_latency_log
from benchmark.metrics.request_log import RequestColumns

START = 1_700_000_000.0
PGBENCH = RequestColumns((5, 6), 3, "us", error=3, success="[0-9]*")


def converted(folder: Path, source: LatencySource, *files: Path) -> dict[Tag, Counter[float]]:
    """Convert files, and return the latencies in ms by tag, as HdrHistogram's own reader has them, too."""
    target = folder / "client-0.hlog"
    assert convert(files, source, target) == ()
    log = read_latency_log(target)
    reference: dict[str, HdrHistogram] = {}
    reader = HistogramLogReader(str(target), HdrHistogram(1, 3_600_000_000, 3))
    while histogram := reader.get_next_interval_histogram():
        reference.setdefault(histogram.get_tag(), HdrHistogram(1, 3_600_000_000, 3)).add(histogram)
    found = {}
    for tag, counts in log.by_tag().items():
        edges = log.layout.edges(len(counts))
        found[tag] = Counter({round(float(edges[i]) * 1000, 3): int(counts[i]) for i in counts.nonzero()[0]})
        name = f"{tag.workload}.{tag.error}" if tag.error else tag.workload
        assert reference[name].get_total_count() == counts.sum()
        assert reference[name].get_min_value() == round(float(edges[counts.nonzero()[0][0]]) * 1e6)
    return found


def test_files_of_threads_are_merged(tmp_path: Path) -> None:
    one, two, idle = (tmp_path / f"transactions.9{suffix}" for suffix in ("", ".1", ".2"))
    one.write_text("0 1 2000 0 1795942265 328134 72\n0 2 failed 0 1795942266 328134 72\n")
    two.write_text("1 1 2000 0 1795942265 330000 72\n1 2 1000 0 1795942264 330000 72\n")
    idle.touch()
    found = converted(tmp_path, PGBENCH, two, one, idle)
    assert found == {Tag("default"): {2.0: 2, 1.0: 1}, Tag("default", "failed"): {0.0: 1}}
    log = read_latency_log(tmp_path / "client-0.hlog")
    assert log.aligned
    assert log.starts_ms.tolist() == [1795942264300, 1795942265300, 1795942265300, 1795942266300]


def test_files_of_ycsb_are_tagged_with_their_names(tmp_path: Path) -> None:
    source = HistogramTags(completed=("READ", "UPDATE"), failed=("*-FAILED",))
    for name, values in {"READ": [300, 400], "UPDATE": [500], "READ-FAILED": [9000], "CLEANUP": [1]}.items():
        write(tmp_path / f"{name}.hdr", [line(1.5, values, length=1.0)], start=START)  # YCSB counts from the start
    found = converted(tmp_path, source, *tmp_path.glob("*.hdr"))
    assert found == {
        Tag("READ"): {0.3: 1, 0.4: 1},
        Tag("UPDATE"): {0.5: 1},
        Tag("READ-FAILED", "failed"): {0.0: 1},
    }
    log = read_latency_log(tmp_path / "client-0.hlog")
    assert set(zip(log.starts_ms.tolist(), log.lengths_ms.tolist(), strict=True)) == {(1_700_000_001_500, 1000)}


def test_nanoseconds_of_cassandra_stress_and_its_response_times(tmp_path: Path) -> None:
    tags = {"write-rt": 2_500_000, "write-st": 700_000, "write-wt": 1_800_000}
    lines = [line(START, [value] * 3, tag, length=1.0) for tag, value in tags.items()]
    log = write(tmp_path / "stress.hdr", lines, start=START)
    found = converted(tmp_path, HistogramTags(unit="ns", completed=("*-rt",)), log)
    assert list(found) == [Tag("write-rt")]
    ((latency, count),) = found[Tag("write-rt")].items()
    assert (latency, count) == (pytest.approx(2.5, rel=1e-3), 3)


def test_tags_of_geobench_have_their_errors(tmp_path: Path) -> None:
    log = write(tmp_path / "a.hlog", [line(START, [5], "put"), line(START, [7], "put.timeout")])
    assert converted(tmp_path, HistogramTags(), log) == {Tag("put"): {0.005: 1}, Tag("put", "timeout"): {0.0: 1}}


def test_notes_about_files_are_returned(tmp_path: Path) -> None:
    file = tmp_path / "transactions.9"
    file.write_text("0 1 2000 0 1795942265 328134 72\n0 2")
    assert convert([file], PGBENCH, tmp_path / "x") == (f"{file}: its last line was cut off, and is left out",)


def test_files_without_requests_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(UsageError, match=r"/a: found no requests$"):
        convert([tmp_path / "a"], PGBENCH, tmp_path / "x")
    write(tmp_path / "b", [line(START, [5], "write-st")])
    with pytest.raises(UsageError, match=r"/b: found no requests$"):
        convert([tmp_path / "b"], HistogramTags(completed=("*-rt",)), tmp_path / "x")
    assert not (tmp_path / "x").exists()

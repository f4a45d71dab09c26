"""Metrics of several workers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from stacks.local.wan.emulator.metrics import BOUNDS_S, Counters, exposition
from stacks.local.wan.network import EMULATOR


def counters(worker: str, packets: int, dropped: dict[str, int], unchanged_since: float) -> Counters:
    late = [packets, *([0] * len(BOUNDS_S))]
    return Counters(
        worker=worker,
        unchanged_since=unchanged_since,
        packets=packets,
        bytes=100 * packets,
        late=late,
        late_sum=packets / 1e4,
        dropped=dropped,
    )


def test_counters_of_workers_are_added() -> None:
    text = exposition([counters("1", 5, {"loss": 2}, 10.0), counters("2", 7, {"loss": 1, "source": 4}, 20.5)])
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert samples == {
        **{f'wan_lateness_seconds_bucket{{le="{bound}"}}': "12" for bound in (*BOUNDS_S, "+Inf")},
        "wan_lateness_seconds_sum": "0.001200",
        "wan_lateness_seconds_count": "12",
        "wan_unchanged_since_seconds": "20.500",
        "wan_packets_total": "12",
        "wan_bytes_total": "1200",
        'wan_dropped_packets_total{reason="loss"}': "3",
        'wan_dropped_packets_total{reason="source"}': "4",
    }


def test_the_writer_replaces_the_file_keeps_what_ended_workers_counted_and_ends_with_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "wan.prom"
    reports = [counters("1", 5, {}, 1.0), counters("1", 6, {}, 1.0), counters("2", 10, {}, 2.0)]
    script = (
        f"import sys, json, pathlib; sys.path.insert(0, {str(EMULATOR.parents[1])!r}); "
        f"from emulator.metrics import writer; report = writer(pathlib.Path({str(file)!r})); "
        f"[report(each) for each in json.loads({json.dumps(reports)!r})]"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=20, capture_output=True)  # waits for the writer
    assert "wan_packets_total 16\n" in file.read_text()
    assert list(tmp_path.iterdir()) == [file]

"""Log lines that a report shows around a moment."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from factories.result_factory import END, START, write_run

from benchmark.report import log_lines as module
from benchmark.report.log_lines import LogLines, log_lines
from benchmark.report.run_data import read_record

HOST = "us-east-1-0"
DAY = f"{datetime.fromtimestamp(START, UTC):%Y-%m-%d}"


def lines_of(tmp_path: Path, text: str) -> LogLines | None:
    folder = write_run(tmp_path / "run")
    log = folder / "logs" / HOST / "node-0.log.gz"
    log.parent.mkdir(parents=True)
    log.write_bytes(gzip.compress(text.encode("utf-8", "surrogateescape")))
    return log_lines(read_record(folder))


@pytest.mark.parametrize(
    ("stamp", "at"),
    [
        ("2027-01-15T08:00:12.250Z", 2.25),
        ("2027-01-15 08:00:12,5", 2.5),
        ("2027/01/15 09:00:12 +01:00", 2.0),
        ('{"level":"info","ts":1800000012.75,', 2.75),
        ('{"level":"warn","ts":"2027-01-15T08:00:13.000Z"', 3.0),
        ("I0115 08:00:14.500000 ", 4.5),
        ("\x1b[2m2027-01-15T08:00:15.000000Z\x1b[0m", 5.0),
    ],
)
def test_times_of_common_formats_are_read(tmp_path: Path, stamp: str, at: float) -> None:
    found = lines_of(tmp_path, f"{stamp} something happened\n")
    assert found
    (line,) = (line for line in found.lines if line.source == 1)
    assert line.at == pytest.approx(at - 0.0004, abs=0.001), "the host's clock was 0.4 ms ahead"
    assert found.sources[1] == ("node-0", f"logs/{HOST}/node-0.log.gz")


def test_lines_without_a_time_belong_to_the_line_before_and_those_of_other_times_are_left_out(tmp_path: Path) -> None:
    text = f"early\n{DAY} 07:00:00 hours before\n{DAY} 08:00:12 panic\n  at main.go:7\n{DAY} 09:00:00 hours after\n"
    found = lines_of(tmp_path, text)
    assert found
    assert [line.text for line in found.lines if line.source == 1] == [f"{DAY} 08:00:12 panic", "at main.go:7"]
    assert {line.at for line in found.lines if line.source == 1} == {2.0}


@pytest.mark.parametrize(
    "text", ["", "no time at all\n", "9999-99-99 99:99:99\n", "0000-00-00T00:00:00\n", "\udcff" * 9]
)
def test_of_logs_without_times_nothing_is_kept(tmp_path: Path, text: str) -> None:
    found = lines_of(tmp_path, text)
    assert found is None or all(line.source == 0 for line in found.lines)


def test_credentials_and_long_lines_are_left_out(tmp_path: Path) -> None:
    found = lines_of(tmp_path, f"{DAY} 08:00:12 --token hunter2 https://user:secret@host/ {'x' * 999}\n")
    assert found
    text = json.loads(gzip.decompress(base64.b64decode(found.packed())))["lines"][-1][2]
    assert "hunter2" not in text
    assert "secret" not in text
    assert len(text) <= 300


def test_of_too_many_lines_errors_are_kept_and_the_rest_is_thinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_LINES", 50)
    seconds = int(END - START)
    text = "".join(f"{DAY} 08:00:{10 + at % seconds} line {at}\n" for at in range(999))
    found = lines_of(tmp_path, f"{text}{DAY} 08:00:20 ERROR disk full\n")
    assert found
    assert 25 <= len(found.lines) <= 50
    assert any("disk full" in line.text for line in found.lines)
    assert [line.at for line in found.lines] == sorted(line.at for line in found.lines)
    assert "the page has" in found.note


def test_a_damaged_log_costs_its_lines_only(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    log = folder / "logs" / HOST / "node-0.log.gz"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"no gzip")
    found = log_lines(read_record(folder))
    assert found is None or found.sources == [("geobench", "")]

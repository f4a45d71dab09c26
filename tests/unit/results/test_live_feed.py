"""The feed of the live page: bounded, readable while it is written; requests for logs come from a file."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from benchmark.measure.live_stats import HostStats, LiveStats
from benchmark.results.live_feed import (
    FEED,
    LIVE,
    MOST_TAILS,
    REQUEST,
    LineFollower,
    LiveFeed,
    LiveSample,
    parse_sample,
    request_tails,
    requested_tails,
)

PROCESSES = ("client-0", "node-0", "node-1")
SAMPLE = LiveSample(
    time=10.5,
    regions={"us-east-1": LiveStats(completed_tps=99.5, latencies_s={"p99_s": 0.25})},
    hosts={"us-east-1-0": HostStats(cpu_busy=0.5)},
    round_trips_ms={"us-east-1/eu-west-1": 68.4, "eu-west-1/us-east-1": None},
)


def test_a_sample_is_read_as_it_was_written(tmp_path: Path) -> None:
    LiveFeed(tmp_path).append(SAMPLE)
    (line,) = (tmp_path / LIVE / FEED).read_bytes().splitlines()
    assert parse_sample(line) == SAMPLE
    assert b"errors_tps" not in line, "what is unknown takes no room"


def test_a_feed_that_becomes_too_long_loses_every_other_sample(tmp_path: Path) -> None:
    feed, path = LiveFeed(tmp_path, limit=4000), tmp_path / LIVE / FEED
    follower = LineFollower(path)
    seen: list[float] = []
    for number in range(500):
        feed.append(LiveSample(time=float(number)))
        assert path.stat().st_size <= 4000
        replaced, lines = follower.read()
        seen += [parse_sample(line).time for line in lines if not replaced or parse_sample(line).time > seen[-1]]
    assert seen == [float(number) for number in range(500)], "who follows the file misses nothing"
    kept = [parse_sample(line).time for line in path.read_bytes().splitlines()]
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, 499)


def test_a_feed_that_cannot_be_written_is_given_up(tmp_path: Path) -> None:
    (tmp_path / LIVE).write_text("a file where the folder should be")
    feed = LiveFeed(tmp_path)
    feed.append(SAMPLE)
    (tmp_path / LIVE).unlink()
    feed.append(SAMPLE)
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_read_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file"
    follower = LineFollower(path)
    assert follower.read() == (False, [])
    with path.open("ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert follower.read() == (False, [b"one"])
        file.write(b"o\n")
        assert follower.read() == (False, [b"two"])
        assert follower.read() == (False, [])


def test_logs_are_requested_for_a_moment_and_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert requested_tails(tmp_path, PROCESSES) == []
    request_tails(tmp_path, {"node-1", "client-0"})
    assert requested_tails(tmp_path, PROCESSES) == ["client-0", "node-1"]
    many = [f"node-{number}" for number in range(20)]
    request_tails(tmp_path, many)
    assert len(requested_tails(tmp_path, many)) == MOST_TAILS
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    assert requested_tails(tmp_path, many) == []


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "null", "[]", "{}", '{"time": 1e999, "processes": ["node-0"]}', '{"time": "x", "processes": []}',
        '{"processes": ["node-0"]}', '{"time": NaN, "processes": ["node-0"]}', "\udcff",
    ],
)  # fmt: skip
def test_a_damaged_request_asks_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / LIVE).mkdir()
    (tmp_path / LIVE / REQUEST).write_bytes(text.encode(errors="surrogateescape"))
    assert requested_tails(tmp_path, PROCESSES) == []


def test_only_logs_of_known_processes_can_be_requested(tmp_path: Path) -> None:
    (tmp_path / LIVE).mkdir()
    document = {"time": time.time(), "processes": ["../../etc/passwd", "node-7", 5, None, "node-0"]}
    (tmp_path / LIVE / REQUEST).write_text(json.dumps(document))
    assert requested_tails(tmp_path, PROCESSES) == ["node-0"]

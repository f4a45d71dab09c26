"""What a run writes for its live page, on hosts that are fakes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.fleet import FakeFleet
from waiting import wait_for

from benchmark.errors import InfrastructureError
from benchmark.measure.live_stats import HostStats, LiveStats
from benchmark.metrics.names import LOAD_GENERATOR
from benchmark.orchestrator import live as module
from benchmark.orchestrator import run as run_module
from benchmark.orchestrator.live import LiveWriter
from benchmark.plan.deployment import deploy
from benchmark.plan.request import Request
from benchmark.results.live_feed import FEED, LIVE, LiveSample, parse_sample, request_tails, tail_path
from benchmark.results.summary import Summary
from benchmark.testbed.testbed import Testbed

WINDOW = timedelta(seconds=2)


@pytest.fixture
def writer(testbed: Testbed, make_request: Callable[..., Request], tmp_path: Path) -> LiveWriter:
    """Three nodes and their clients, on a-1, a-2 and b-0."""
    return LiveWriter(testbed, deploy(testbed.inventory, make_request(), 60), tmp_path, "/srv/x y/run/logs")


def samples(folder: Path) -> list[LiveSample]:
    return [parse_sample(line) for line in (folder / LIVE / FEED).read_bytes().splitlines()]


def test_round_trips_are_measured_by_one_host_in_each_region(
    writer: LiveWriter, fleet: FakeFleet, tmp_path: Path
) -> None:
    writer.open()
    assert [session.host for session in fleet.sessions] == ["a-1", "b-0"]
    fleet.measured = {"a-1": [json.dumps(["b", 0.0, 50.25]), json.dumps(["a", 0.0, 0.1])]}
    writer.sample(None, WINDOW, LOAD_GENERATOR)
    fleet.measured = {"a-1": [json.dumps(["b", 5.0, 51.5])], "b-0": [json.dumps(["a", 5.0, 52.0])]}
    writer.sample(None, WINDOW, LOAD_GENERATOR)
    assert [each.round_trips_ms for each in samples(tmp_path)] == [{"a/b": 50.25}, {"a/b": 51.5, "b/a": 52.0}]
    writer.close()
    assert all(session.closed for session in fleet.sessions)


def test_a_host_that_does_not_answer_any_more_is_unknown(
    writer: LiveWriter, fleet: FakeFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.open()
    fleet.measured = {"a-1": [json.dumps(["b", 0.0, 50.0])]}
    writer.sample(None, WINDOW, LOAD_GENERATOR)
    later = time.monotonic() + 60
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    writer.sample(None, WINDOW, LOAD_GENERATOR)
    assert [each.round_trips_ms for each in samples(tmp_path)] == [{"a/b": 50.0}, {"a/b": None}]


def test_a_host_that_prints_something_else_is_not_asked_again(
    writer: LiveWriter, fleet: FakeFleet, tmp_path: Path
) -> None:
    writer.open()
    fleet.measured = {"a-1": ["Traceback (most recent call last):"], "b-0": [json.dumps(["a", 5.0, 52.0])]}
    writer.sample(None, WINDOW, LOAD_GENERATOR)
    fleet.measured = {"a-1": [json.dumps(["b", 0.0, 50.0])]}
    writer.sample(None, WINDOW, LOAD_GENERATOR)
    assert [each.round_trips_ms for each in samples(tmp_path)] == 2 * [{"b/a": 52.0}]


def test_hosts_that_cannot_measure_leave_round_trips_out(writer: LiveWriter, fleet: FakeFleet, tmp_path: Path) -> None:
    fleet.failed = {"a-1": "timed out"}
    writer.open()
    writer.sample(None, WINDOW, LOAD_GENERATOR)
    assert samples(tmp_path)[0].round_trips_ms == {}


def test_load_and_hosts_come_from_prometheus(
    writer: LiveWriter, testbed: Testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"a": LiveStats(completed_tps=1.0)}, {"a-1": HostStats(cpu_busy=0.5)}
    monkeypatch.setattr(module, "read_details", lambda *_: found)
    with testbed.prometheus() as prometheus:
        writer.sample(prometheus, WINDOW, LOAD_GENERATOR)
    assert (samples(tmp_path)[0].regions, samples(tmp_path)[0].hosts) == found


def test_a_prometheus_that_does_not_answer_ends_nothing(
    writer: LiveWriter, testbed: Testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise InfrastructureError("no answer")

    monkeypatch.setattr(module, "read_details", fail)
    with testbed.prometheus() as prometheus:
        writer.sample(prometheus, WINDOW, LOAD_GENERATOR)
    assert samples(tmp_path)[0].regions == {}


def test_ends_of_logs_are_copied_only_while_they_are_requested(
    writer: LiveWriter, fleet: FakeFleet, tmp_path: Path
) -> None:
    fleet.answers = {"tail -c": "one\ntwo\n"}
    writer.advance()
    assert not [command for command in fleet.commands if "tail" in command]
    writer._next_tails = 0.0
    request_tails(tmp_path, {"node-1", "unknown"})
    writer.advance()
    wait_for(tail_path(tmp_path, "node-1").exists, "the end of the log")
    assert tail_path(tmp_path, "node-1").read_text() == "one\ntwo\n"
    assert [command for command in fleet.commands if "tail" in command] == [
        "tail -c 32768 '/srv/x y/run/logs/node-1.log'"
    ]
    writer.close()


def test_a_run_writes_the_feed_and_ends_what_it_has_opened(
    execute: Callable[..., Summary],
    fleet: FakeFleet,
    folder: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "_PROGRESS_S", 0.002)
    assert execute().run_id == folder().name
    assert samples(folder())
    measuring = [session for session in fleet.sessions if session.command.startswith("exec python3 -I -S - ")]
    assert [session.host for session in measuring] == ["a-1", "b-0"]
    assert all(session.closed for session in measuring)

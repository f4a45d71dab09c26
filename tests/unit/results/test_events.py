"""Events reach all observers in order, and survive a round trip through the disk."""

from __future__ import annotations

import threading
import typing
from dataclasses import replace
from pathlib import Path

import pytest
from paths import DATA

from benchmark.errors import UsageError
from benchmark.results.events import (
    AnnouncedLoad,
    Event,
    Events,
    FaultHealed,
    FaultInjected,
    PhaseEnded,
    PhaseStarted,
    PlanAnnounced,
    Progress,
    RunStarted,
    Step,
    SummaryWritten,
    WarningIssued,
    event_to_json,
    follow_events,
    parse_event,
    read_events,
)

EVERY: list[Event] = [
    PlanAnnounced("dev", "etcd", {"a": 2, "b": 1}, 3, False, (AnnouncedLoad(100, 99),)),
    Step("installing etcd"),
    RunStarted("r1", 100, "results/dev/r1"),
    PhaseStarted("measure"),
    PhaseEnded("measure", 1.5),
    Progress(8.0, scheduled_tps=100.0, latencies_s={"p99_s": 0.5}, nodes=3.0, nodes_up=2.0),
    WarningIssued("a-1: line\nbreak ∞"),
    FaultInjected("crash:one@1s", ("node-1",), "a-1: node-1: pid 7 gone"),
    FaultHealed("crash:one@1s", ("node-1",), "a-1: node-1: pid 9 started 2.00 s after pid 7"),
    SummaryWritten("r1", "ok", "results/dev/r1", {"overhead": 2.0}),
]


def write(path: Path, *events: Event) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(event_to_json(event) + "\n" for event in events)


def test_every_observer_gets_every_event_in_order() -> None:
    first: list[Event] = []
    second: list[Event] = []
    events = Events(first.append, second.append)
    for event in (Step("one"), WarningIssued("two")):
        events.emit(event)
    assert [(event.kind, event.text) for event in first if not isinstance(event, PhaseStarted)] == [
        ("step", "one"),
        ("warning", "two"),
    ]
    assert first == second
    assert first[0].time <= first[1].time


def test_durations_of_a_repeated_phase_add_up() -> None:
    seen: list[Event] = []
    events = Events(seen.append)
    for _ in range(2):
        with events.phase("monitor"):
            events.emit(Progress(1.0))
    assert [event.kind for event in seen] == ["phase_started", "progress", "phase_ended"] * 2
    ended = [event.seconds for event in seen if isinstance(event, PhaseEnded)]
    assert events.phases == {"monitor": pytest.approx(sum(ended), abs=2e-6)}


def test_failed_phase_emits_its_end() -> None:
    seen: list[Event] = []
    events = Events(seen.append)
    with pytest.raises(ValueError, match="in vain"), events.phase("install"):
        raise ValueError("in vain")
    assert [event.kind for event in seen] == ["phase_started", "phase_ended"]
    assert list(events.phases) == ["install"]


@pytest.mark.parametrize("event", EVERY, ids=lambda event: event.kind)
def test_event_survives_a_round_trip(event: Event) -> None:
    line = event_to_json(event)
    assert "\n" not in line
    assert parse_event(line) == event


def test_every_kind_of_event_is_tested() -> None:
    assert {type(event) for event in EVERY} == set(typing.get_args(Event))


def test_schema_1_events_are_upgraded() -> None:
    read = read_events(DATA / "run" / "events.jsonl")
    assert read[0] == RunStarted(
        "20261122T160252Z-etcd-3.4.234b-7n-200tps-988c",
        200,
        "results/dev/20261122T160252Z-etcd-3.4.234b-7n-200tps-988c",
        time=1795363372.31629,
    )
    assert read[1:3] == [
        PhaseStarted("configure", time=1795363372.3260472),
        PhaseEnded("configure", 0.117951, time=1795363372.4441264),
    ]
    progress = next(event for event in read if isinstance(event, Progress))
    assert (progress.scheduled_tps, progress.completed_tps) == (87.9478088272225, 79.69121113761929)
    assert progress.latencies_s == {
        "mean_s": 0.1372814711201571,
        "p50_s": 0.13305965652701832,
        "p99_s": 0.24895025022619738,
    }


def test_schema_1_summary_and_warning_events_are_upgraded() -> None:
    line = (
        '{"kind": "summary", "data": {"summary": {"run_id": "r", "status": "ok"}, "folder": "f", "timings": {"a": 1}}'
    )
    assert parse_event(line + ', "time": 3}') == SummaryWritten("r", "ok", "f", {"a": 1.0}, time=3.0)
    assert parse_event('{"kind": "warning", "data": {"text": "x"}, "time": 3}') == WarningIssued("x", time=3.0)


def test_truncated_last_line_is_ignored(tmp_path: Path) -> None:
    write(tmp_path / "e", *EVERY)
    text = (tmp_path / "e").read_bytes()
    (tmp_path / "e").write_bytes(text[:-20])
    assert read_events(tmp_path / "e") == EVERY[:-1]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"null",
        b"\xff",
        b'{"kind": "step"}',
        b'{"kind": "explode", "time": 1}',
        b'{"kind": "step", "time": 1, "text": "a", "colour": "red"}',
        b'{"kind": "phase", "data": [], "time": 1}',
        b"[" * 10_000,
    ],
)
def test_invalid_line_is_a_usage_error_with_its_number(tmp_path: Path, line: bytes) -> None:
    write(tmp_path / "e", EVERY[0])
    with (tmp_path / "e").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(UsageError, match=r"/e, line 2 is not an event: "):
        read_events(tmp_path / "e")


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        read_events(tmp_path / "none")


def test_follow_events_yields_events_while_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "e"
    ended = threading.Event()
    followed = follow_events(path, ended.is_set, interval_s=0.001)
    begun = threading.Timer(0.02, write, (path, EVERY[0]))
    begun.start()
    assert next(followed) == EVERY[0], "the file did not exist at first"
    begun.join()
    text = event_to_json(EVERY[6]).encode() + b"\n"
    middle = text.index("∞".encode()) + 1
    with path.open("ab", buffering=0) as file:
        file.write(text[:middle])
        later = threading.Timer(0.02, file.write, (text[middle:],))
        later.start()
        assert next(followed) == EVERY[6], "a line and a character were written in two parts"
        later.join()
    write(path, EVERY[1])
    ended.set()
    assert list(followed) == [EVERY[1]]


def test_events_with_equal_fields_are_equal() -> None:
    assert replace(EVERY[1], time=1.0) == Step("installing etcd", time=1.0)

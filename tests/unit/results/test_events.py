"""Events reach all observers in order, and phases are timed whatever happens in them."""

from __future__ import annotations

import pytest

from benchmark.results.events import Event, Events


def test_every_observer_is_told_in_order() -> None:
    first: list[Event] = []
    second: list[Event] = []
    events = Events(first.append, second.append)
    events.tell("step", text="one")
    events.tell("warning", text="two")
    assert [(event.kind, event.data) for event in first] == [("step", {"text": "one"}), ("warning", {"text": "two"})]
    assert first == second
    assert first[0].time <= first[1].time


def test_a_phase_that_is_entered_again_adds_up() -> None:
    told: list[Event] = []
    events = Events(told.append)
    for _ in range(2):
        with events.phase("monitor"):
            events.tell("progress")
    assert [event.kind for event in told] == ["phase", "progress", "phase_end"] * 2
    ended = [event.data["seconds"] for event in told if event.kind == "phase_end"]
    assert events.phases == {"monitor": pytest.approx(sum(ended), abs=2e-6)}


def test_a_phase_that_fails_has_ended_too() -> None:
    told: list[Event] = []
    events = Events(told.append)
    with pytest.raises(ValueError, match="in vain"), events.phase("install"):
        raise ValueError("in vain")
    assert [event.kind for event in told] == ["phase", "phase_end"]
    assert list(events.phases) == ["install"]

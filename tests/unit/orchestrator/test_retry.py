"""Which failures are retried in sweeps and searches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmark.errors import HostError, InfrastructureError, Interrupted, LockedError, SystemFailure, UsageError
from benchmark.orchestrator.retry import with_retries
from benchmark.results.events import Event, Events

DOWN = HostError("lost hosts:", {"a-1": "no route"})


class Attempts:
    """Attempts that end as scripted: with an error, or a result."""

    def __init__(self, *outcomes: object) -> None:
        self.outcomes = list(outcomes)
        self.made = self.closed = 0
        self.events: list[Event] = []

    def __call__(self) -> Any:
        self.made += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def close(self) -> None:
        self.closed += 1

    def run(self, retries: int = 2, unusable: Callable[[Any], str | None] = lambda _: None) -> Any:
        runner = SimpleNamespace(events=Events(self.events.append), close=self.close)
        return with_retries(
            cast(Any, runner), self, retries=retries, name="60 tx/s", resume="run --resume s", unusable=unusable
        )

    def texts(self) -> Sequence[str]:
        return [str(getattr(event, "text", "")) for event in self.events]


def test_a_result_is_returned_at_once() -> None:
    attempts = Attempts("measured", "again")
    assert attempts.run() == "measured"
    assert (attempts.made, attempts.closed, attempts.events) == (1, 0, [])


def test_infrastructure_failures_are_retried_on_a_fresh_connection() -> None:
    attempts = Attempts(DOWN, DOWN, "measured")
    assert attempts.run() == "measured"
    assert (attempts.made, attempts.closed) == (3, 2)
    assert all(text.startswith("60 tx/s: the infrastructure failed, trying again: lost") for text in attempts.texts())


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_last_error_names_the_command_that_resumes(retries: int) -> None:
    attempts = Attempts(*[DOWN] * (retries + 1))
    with pytest.raises(InfrastructureError, match=rf"60 tx/s: failed {retries + 1} times; `.* run --resume s`"):
        attempts.run(retries)
    assert attempts.made == retries + 1


@pytest.mark.parametrize(
    "error",
    [
        LockedError("held"),
        SystemFailure("died"),
        UsageError("bad"),
        Interrupted("Ctrl-C"),
        KeyboardInterrupt(),
        ZeroDivisionError(),
    ],
)
def test_every_other_error_is_raised_at_once(error: BaseException) -> None:
    attempts = Attempts(error, "measured")
    with pytest.raises(type(error)):
        attempts.run()
    assert attempts.made == 1


def test_unusable_results_are_retried_and_the_last_one_is_returned() -> None:
    attempts = Attempts("late 1", "late 2", "late 3")
    assert attempts.run(unusable=lambda result: f"{result} is invalid") == "late 3"
    assert attempts.texts() == ["60 tx/s: late 1 is invalid; trying again", "60 tx/s: late 2 is invalid; trying again"]


def test_errors_and_unusable_results_share_the_attempts() -> None:
    attempts = Attempts("late", DOWN, "fine")
    assert attempts.run(unusable=lambda result: "late" if result == "late" else None) == "fine"
    with pytest.raises(InfrastructureError):
        Attempts("late", DOWN).run(1, unusable=lambda result: "late")

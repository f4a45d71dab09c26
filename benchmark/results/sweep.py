"""The journal of a sweep: which runs were asked for, in which order, what was tried and what came of it."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from benchmark.errors import FailureKind, TestbedError, failure_kind
from benchmark.results.experiment import Collection, CollectionJournal, Entry
from benchmark.results.run_folder import SWEEP
from benchmark.results.summary import Summary
from benchmark.results.upgrade import JsonObject, upgrade_sweep

Outcome = Literal["running", "ok", "invalid", "failed", "interrupted", "killed"]


class Attempt(Entry):
    """One try at a run."""

    run_id: str | None
    """Null where it failed before there was a run: hosts that cannot be reached, for one."""
    began: datetime
    outcome: Outcome = "running"
    failure: FailureKind | None = None
    reason: str = ""


class Slot(Entry):
    """One run that was asked for."""

    arm: str = ""
    """Which of the compared requests it belongs to, `a` or `b`; empty in a sweep."""
    load: int
    repeat: int
    attempts: list[Attempt] = Field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether it is never run again: measured, or the system under test failed."""
        last = self.attempts[-1] if self.attempts else None
        return last is not None and (last.outcome in ("ok", "invalid") or last.failure == "system")

    @property
    def run_id(self) -> str | None:
        """The run that counts."""
        return self.attempts[-1].run_id if self.done else None

    def __str__(self) -> str:
        return f"{self.arm.upper() + ', ' if self.arm else ''}{self.load} tx/s, repeat {self.repeat}"


class Journal(CollectionJournal):
    """What `sweep.json` holds."""

    sweep_id: str
    requests: dict[str, dict[str, Any]]
    """What was asked for, by arm; it must be the same when the sweep is resumed."""
    commits: dict[str, str] = Field(default_factory=dict)
    """What each arm's commit turned out to be."""
    seed: int | None = None
    """Of the random order; null where the order is the one given."""
    slots: list[Slot]
    """In the order in which they run."""

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms, in order."""
        return tuple(self.requests)

    @property
    def identity(self) -> str:
        """The sweep's id."""
        return self.sweep_id

    @property
    def command(self) -> str:
        """The command that began it, and resumes it: `run` or `compare`."""
        return "run" if self.arms == ("",) else "compare"


def slots(arms: Sequence[str], loads: Sequence[int], repeat: int, seed: int | None) -> list[Slot]:
    """Return the runs in order: all loads of all arms once, then all once more, `repeat` times.

    What drifts on a testbed then touches every load and arm alike. With a seed every such round has a random order of
    its own (a randomised complete block design: Fisher 1935).
    """
    shuffle = random.Random(seed)
    found: list[Slot] = []
    for index in range(1, repeat + 1):
        turn = [Slot(arm=arm, load=load, repeat=index) for load in loads for arm in arms]
        if seed is not None:
            shuffle.shuffle(turn)
        found += turn
    return found


class SweepFolder(Collection[Journal]):
    """The folder of a sweep."""

    FILE, KIND, KINDS = SWEEP, "sweep", "sweeps"

    @classmethod
    def parse(cls, text: str) -> Journal:
        """Read `sweep.json`."""
        return Journal.model_validate_json(text)

    @classmethod
    def upgrade(cls, document: JsonObject) -> None:
        """Convert `sweep.json` of schema 1."""
        upgrade_sweep(document)

    def begin(self, slot: Slot, run_id: str | None) -> Attempt:
        """Record that a run begins."""
        attempt = Attempt(run_id=run_id, began=datetime.now(UTC))
        slot.attempts.append(attempt)
        self.save()
        return attempt

    def end(self, attempt: Attempt, summary: Summary) -> None:
        """Record what came of a run."""
        attempt.outcome, attempt.failure, attempt.reason = summary.status, summary.failure, "; ".join(summary.reasons)
        self.save()

    def fail(self, slot: Slot, attempt: Attempt | None, error: BaseException) -> None:
        """Record that a run, or what comes before it, failed."""
        attempt = attempt or self.begin(slot, None)
        attempt.outcome = "interrupted" if _interrupts(error) else "failed"
        attempt.failure = None if _interrupts(error) else failure_kind(error)
        attempt.reason = str(error) if isinstance(error, TestbedError) else repr(error)
        self.save()

    def settle(self) -> None:
        """Find out what became of the runs that this journal still calls running: their runner was killed."""
        for attempt in (attempt for slot in self.journal.slots for attempt in slot.attempts):
            if attempt.outcome == "running":
                summary = self.summary(attempt.run_id)
                if summary:
                    self.end(attempt, summary)
                else:
                    attempt.outcome, attempt.reason = "killed", "the runner was killed before the run had a result"
        self.save()

    def summaries(self, arm: str | None = None) -> list[Summary]:
        """Return the summaries of the runs that count, in the order they ran; of one arm, or of all."""
        chosen = [slot for slot in self.journal.slots if arm is None or slot.arm == arm]
        return [found for slot in chosen if (found := self.summary(slot.run_id))]


def new_journal(
    testbed_id: str,
    requests: dict[str, dict[str, Any]],
    options: dict[str, Any],
    plan: Sequence[Slot],
    seed: int | None,
) -> Journal:
    """Return the journal of a sweep that has not begun."""
    now = datetime.now(UTC)
    kind = "compare" if len(requests) > 1 else "sweep"
    return Journal(
        schema=2,
        sweep_id=f"{now:%Y%m%dT%H%M%SZ}-{kind}-{secrets.token_hex(2)}",
        testbed_id=testbed_id,
        created_at=now,
        options=options,
        requests=requests,
        seed=seed,
        slots=list(plan),
    )


def _interrupts(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", None) == 130

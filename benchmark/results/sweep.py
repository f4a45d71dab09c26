"""The journal of a sweep: the planned runs in order, and the attempts and outcome of each."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from benchmark.errors import FailureKind, TestbedError, failure_kind
from benchmark.model import EditableModel
from benchmark.results.experiment import ExperimentFolder, Journal, validate_journal
from benchmark.results.layout import SWEEP
from benchmark.results.summary import Summary
from benchmark.results.upgrade import JsonObject, upgrade_sweep

Outcome = Literal["running", "ok", "invalid", "failed", "interrupted", "killed"]


class Attempt(EditableModel):
    """One attempt at a planned run."""

    run_id: str | None
    """Null where it failed before the run began, because hosts were unreachable for example."""
    began: datetime
    outcome: Outcome = "running"
    failure: FailureKind | None = None
    reason: str = ""


class PlannedRun(EditableModel):
    """A run of the sweep, whether it took place or not."""

    arm: str = ""
    """Which of the compared requests it belongs to, `a` or `b`; empty in a sweep."""
    requested_tps: int
    repeat: int
    attempts: list[Attempt] = Field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether it is not run again: it was measured, or the system under test failed."""
        last = self.attempts[-1] if self.attempts else None
        return last is not None and (last.outcome in ("ok", "invalid") or last.failure == "system")

    @property
    def run_id(self) -> str | None:
        """The run that counts."""
        return self.attempts[-1].run_id if self.done else None

    def __str__(self) -> str:
        return f"{self.arm.upper() + ', ' if self.arm else ''}{self.requested_tps} tx/s, repeat {self.repeat}"


class Sweep(Journal):
    """What `sweep.json` holds."""

    sweep_id: str
    requests: dict[str, JsonObject]
    """The requests by arm; a resumed sweep must have the same."""
    commits: dict[str, str] = Field(default_factory=dict)
    """The commit that each arm's request resolved to."""
    hosts: dict[str, str] = Field(default_factory=dict)
    """Hardware and operating system of each host."""
    seed: int | None = None
    """Seed of the random order; null where the loads run in the order given."""
    planned_runs: list[PlannedRun]
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
    def run_ids(self) -> list[str]:
        """The ids of all its runs, in the order they are planned."""
        attempts = (attempt for planned in self.planned_runs for attempt in planned.attempts)
        return [attempt.run_id for attempt in attempts if attempt.run_id]

    @property
    def command(self) -> str:
        """The command that began it, and resumes it: `run` or `compare`."""
        return "run" if self.arms == ("",) else "compare"


def plan_runs(arms: Sequence[str], loads: Sequence[int], repeat: int, seed: int | None) -> list[PlannedRun]:
    """Return the runs in order: all loads of all arms once, then all again, `repeat` times.

    A drift of the testbed then affects every load and arm alike. With a seed every round has its own random order (a
    randomised complete block design: Fisher 1935).
    """
    shuffle = random.Random(seed)
    planned: list[PlannedRun] = []
    for index in range(1, repeat + 1):
        block = [PlannedRun(arm=arm, requested_tps=load, repeat=index) for load in loads for arm in arms]
        if seed is not None:
            shuffle.shuffle(block)
        planned += block
    return planned


class SweepFolder(ExperimentFolder[Sweep]):
    """The folder of a sweep, or of a comparison that was run as one."""

    FILE, KIND = SWEEP, "sweep"

    @classmethod
    def parse(cls, document: JsonObject) -> Sweep:
        """Read `sweep.json`."""
        if document.get("schema") == 1:
            upgrade_sweep(document)
        return validate_journal(Sweep, document)

    def begin(self, planned: PlannedRun, run_id: str | None) -> Attempt:
        """Record that an attempt begins."""
        attempt = Attempt(run_id=run_id, began=datetime.now(UTC))
        planned.attempts.append(attempt)
        self.save()
        return attempt

    def end(self, attempt: Attempt, summary: Summary) -> None:
        """Record the outcome of an attempt that has a summary."""
        attempt.outcome, attempt.failure, attempt.reason = summary.status, summary.failure, "; ".join(summary.reasons)
        self.save()

    def fail(self, planned: PlannedRun, attempt: Attempt | None, error: BaseException) -> None:
        """Record that an attempt failed; None: it failed before the run began."""
        attempt = attempt or self.begin(planned, None)
        interrupted = isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", None) == 130
        attempt.outcome = "interrupted" if interrupted else "failed"
        attempt.failure = None if interrupted else failure_kind(error)
        attempt.reason = str(error) if isinstance(error, TestbedError) else repr(error)
        self.save()

    def recover_interrupted(self) -> None:
        """Settle the attempts that are still marked as running, because the runner was killed, by their results."""
        for attempt in (attempt for planned in self.journal.planned_runs for attempt in planned.attempts):
            if attempt.outcome == "running":
                self.require_ended(attempt.run_id)
                summary = self.summary(attempt.run_id)
                if summary:
                    self.end(attempt, summary)
                else:
                    attempt.outcome, attempt.reason = "killed", "the runner was killed before the run had a result"
        self.save()

    def summaries(self, arm: str | None = None) -> list[Summary]:
        """Return the summaries of the runs that count, in the order they ran; of one arm, or of all."""
        chosen = [planned for planned in self.journal.planned_runs if arm is None or planned.arm == arm]
        return [found for planned in chosen if (found := self.summary(planned.run_id))]


def new_sweep(
    testbed_id: str,
    requests: dict[str, JsonObject],
    options: JsonObject,
    planned_runs: Sequence[PlannedRun],
    seed: int | None,
) -> Sweep:
    """Return the journal of a sweep that has not begun."""
    now = datetime.now(UTC)
    kind = "compare" if len(requests) > 1 else "sweep"
    return Sweep(
        schema=2,
        sweep_id=f"{now:%Y%m%dT%H%M%SZ}-{kind}-{secrets.token_hex(2)}",
        testbed_id=testbed_id,
        created_at=now,
        options=options,
        requests=requests,
        seed=seed,
        planned_runs=list(planned_runs),
    )

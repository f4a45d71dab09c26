"""The journal of a search: what was asked for, each step, and the answer."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from benchmark.errors import UsageError
from benchmark.results.experiment import Collection, CollectionJournal, Entry
from benchmark.results.run_folder import SEARCH
from benchmark.results.summary import Summary
from benchmark.results.upgrade import JsonObject, upgrade_search


@dataclass(frozen=True)
class Limits:
    """What a load must meet."""

    p99_s: float = 1.0
    """The upper bound of the p99 latency's bucket must not exceed this: the limit is then met for sure."""
    achieved: float = 0.98
    """Least throughput as a share of the load."""

    def violations(self, summary: Summary) -> list[str]:
        """Return the limits that a measured run violates, `throughput` and `p99`; empty if it meets both."""
        share = (summary.completed_tps or 0.0) / summary.requested_tps
        upper = summary.latency_s.p99.upper if summary.latency_s else None
        violated = {"throughput": share < self.achieved, "p99": upper is None or upper > self.p99_s}
        return [name for name, is_violated in violated.items() if is_violated]


@dataclass(frozen=True)
class Trial:
    """One measured run of the search."""

    requested_tps: int
    met: bool


@dataclass(frozen=True)
class Plan:
    """How the search goes about it."""

    start_tps: int
    """First load; doubled while it meets the limits, halved while it does not."""
    maximum_tps: int
    """No load above this is tried."""
    precision: float = 0.05
    """The answer is at most this share below a load that fails."""
    confirmations: int = 2
    """How many further runs must meet the limits at the load found."""
    max_runs: int = 20
    """Runs in all, confirmations included."""

    def __post_init__(self) -> None:
        if not 1 <= self.start_tps <= self.maximum_tps:
            found = f"{self.start_tps} and {self.maximum_tps}"
            raise UsageError(f"a search needs 1 <= start <= maximum (tx/s), found {found}")
        if not 0 < self.precision < 1 or self.confirmations < 0 or self.max_runs < 1:
            found = f"{self.precision}, {self.confirmations}, {self.max_runs}"
            raise UsageError(f"a search needs 0 < precision < 1, confirmations >= 0, max_runs >= 1, found {found}")


@dataclass(frozen=True)
class Step:
    """What to do next: run `requested_tps`, or if that is None stop with `answer_tps`."""

    requested_tps: int | None
    answer_tps: int | None
    """The highest load that met the limits in every run so far; None if none did."""
    confirmed: bool
    """Whether the answer met the limits in all the confirmation runs as well."""
    reason: str


def meets(summary: Summary, limits: Limits) -> tuple[bool, str]:
    """Return whether a run met the limits, and the numbers that say so.

    A run that is not `ok` has no numbers to go by: UsageError.
    """
    if summary.status != "ok" or summary.completed_tps is None:
        why = "; ".join(summary.reasons)
        raise UsageError(f"run {summary.run_id} is {summary.status} and cannot decide a search: {why}")
    # Rounded down: what is short of the limit must not read as if it met it.
    achieved = math.floor(round(summary.completed_tps / summary.requested_tps * 1000, 6)) / 1000
    upper = summary.latency_s.p99.upper if summary.latency_s else None
    text = (
        f"achieved {achieved:.1%} of {summary.requested_tps:g} tx/s (at least {limits.achieved * 100:g}%), p99 at most "
    )
    text += f"{upper:.3g} s" if upper is not None else "unknown"
    return not limits.violations(summary), f"{text} (limit {limits.p99_s:g} s)"


def next_step(plan: Plan, trials: Sequence[Trial]) -> Step:
    """Decide what to run next after `trials`: doubling, then bisection, then confirmation.

    A load that failed once has failed, and everything above it with it, even if it had passed before.
    """
    fails = min((trial.requested_tps for trial in trials if not trial.met), default=None)
    passed = [trial.requested_tps for trial in trials if trial.met and (fails is None or trial.requested_tps < fails)]
    answer = max(passed, default=None)
    wanted = _probe(plan, answer, fails)
    confirmed = answer is not None and wanted is None and passed.count(answer) > plan.confirmations
    if len(trials) >= plan.max_runs:
        return Step(
            None, answer, confirmed, f"stopped after {len(trials)} runs{'' if confirmed else ', not confirmed'}"
        )
    if wanted is not None:
        return Step(wanted, answer, False, _between(answer, fails))
    if answer is None:
        return Step(None, None, False, f"{fails} tx/s fails already, the least load to be tried")
    if not confirmed:
        runs = f"{passed.count(answer)} of {plan.confirmations + 1}"
        return Step(answer, answer, False, f"confirming {answer} tx/s: met the limits in {runs} runs")
    return Step(None, answer, True, f"{answer} tx/s met the limits in {passed.count(answer)} runs; {_beyond(fails)}")


def _probe(plan: Plan, passes: int | None, fails: int | None) -> int | None:
    """Return the next load to try between what passes and what fails; None if they are close enough."""
    if passes is None and fails is None:
        return plan.start_tps
    if fails is None:
        assert passes is not None
        return min(2 * passes, plan.maximum_tps) if passes < plan.maximum_tps else None
    if passes is None:
        return fails // 2 if fails > 1 else None
    if fails - passes <= max(1, math.floor(plan.precision * fails)):
        return None
    return (passes + fails) // 2


def _between(passes: int | None, fails: int | None) -> str:
    if passes is None and fails is None:
        return "first load"
    if fails is None:
        return f"{passes} tx/s meets the limits, nothing fails yet"
    if passes is None:
        return f"{fails} tx/s fails, nothing meets the limits yet"
    return f"{passes} tx/s meets the limits, {fails} tx/s fails"


def _beyond(fails: int | None) -> str:
    return f"{fails} tx/s fails" if fails is not None else "it is the greatest load to be tried"


class Taken(Entry):
    """One step: a load that was run until it could be judged."""

    requested_tps: int
    run_ids: list[str] = Field(default_factory=list)
    """More than one where runs had to be repeated; the last one counts."""
    met: bool | None = None
    """Null as long as no run counts."""
    text: str = ""
    """The numbers that say so, or why there are none."""

    def judge(self, summary: Summary, limits: Limits) -> None:
        """Settle whether the load meets the limits, by the run that counts; UsageError if it cannot count."""
        if summary.status == "failed" and summary.failure == "system":
            self.met, self.text = False, f"the system failed: {'; '.join(summary.reasons)}"
        else:
            self.met, self.text = meets(summary, limits)


class Search(CollectionJournal):
    """What `search.json` holds."""

    search_id: str
    request: dict[str, Any]
    """What was asked for; it must be the same when the search is resumed."""
    limits: Limits
    plan: Plan
    commit: str = ""
    """What the commit turned out to be; empty until that is known."""
    steps: list[Taken] = Field(default_factory=list)
    answer_tps: int | None = None
    """The highest load that met the limits in every run; None if none did, or the search has not ended."""
    confirmed: bool = False
    reason: str = "not ended"

    @property
    def identity(self) -> str:
        """The search's id."""
        return self.search_id

    def next_step(self) -> Step:
        """Decide what to do after the steps that were judged."""
        trials = [Trial(step.requested_tps, step.met) for step in self.steps if step.met is not None]
        return next_step(self.plan, trials)


class SearchFolder(Collection[Search]):
    """The folder of a search."""

    FILE, KIND, KINDS = SEARCH, "search", "searches"

    @classmethod
    def parse(cls, text: str) -> Search:
        """Read `search.json`."""
        return Search.model_validate_json(text)

    @classmethod
    def upgrade(cls, document: JsonObject) -> None:
        """Convert `search.json` of schema 1."""
        upgrade_search(document)

    def begin(self, run_id: str) -> None:
        """Record that a run of the last step begins."""
        self.journal.steps[-1].run_ids.append(run_id)
        self.save()

    def open_step(self, load: int) -> Taken:
        """Return the step that has not been judged yet, which was interrupted, or a new one."""
        if not self.journal.steps or self.journal.steps[-1].met is not None:
            self.journal.steps.append(Taken(requested_tps=load))
        return self.journal.steps[-1]

    def settle(self) -> None:
        """Judge the step that was under way by a run that had its result when the runner was killed, if it had one."""
        step = self.journal.steps[-1] if self.journal.steps else None
        summary = self.summary(step.run_ids[-1]) if step and step.met is None and step.run_ids else None
        if step and summary and (summary.status == "ok" or summary.failure == "system"):
            step.judge(summary, self.journal.limits)
            self.save()

    def summaries(self) -> list[Summary]:
        """Return the summaries of all its runs in the order they ran, also of those that do not count."""
        every = [run_id for step in self.journal.steps for run_id in step.run_ids]
        return [found for run_id in every if (found := self.summary(run_id))]


def new_search(testbed_id: str, limits: Limits, plan: Plan, options: dict[str, Any], request: dict[str, Any]) -> Search:
    """Return a search that has not begun."""
    now = datetime.now(UTC)
    return Search(
        schema=2,
        search_id=f"{now:%Y%m%dT%H%M%SZ}-search-{secrets.token_hex(2)}",
        testbed_id=testbed_id,
        created_at=now,
        options=options,
        request=request,
        limits=limits,
        plan=plan,
    )

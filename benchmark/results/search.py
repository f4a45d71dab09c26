"""The journal of a search for the highest load within limits, and the rule that decides its next step."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from benchmark.errors import UsageError
from benchmark.model import EditableModel
from benchmark.results.experiment import ExperimentFolder, Journal, validate_journal
from benchmark.results.layout import SEARCH
from benchmark.results.summary import Summary
from benchmark.results.upgrade import JsonObject, upgrade_search

Violation = Literal["throughput", "p99"]


@dataclass(frozen=True)
class Limits:
    """What a load must meet."""

    p99_s: float = 1.0
    """Largest p99 latency of all requests, failed ones included; the upper bound of its bucket counts, so that the
    limit is met for certain."""
    achieved: float = 0.98
    """Least completed rate as a share of the requested one."""

    def violations(self, summary: Summary) -> list[Violation]:
        """Return the limits that a run does not meet; what was not measured does not meet its limit."""
        achieved = None if summary.completed_tps is None else summary.completed_tps / summary.requested_tps
        p99 = summary.latency_s.p99.upper if summary.latency_s and summary.latency_s.p99 else None
        found: list[Violation] = []
        if achieved is None or achieved < self.achieved:
            found.append("throughput")
        if p99 is None or p99 > self.p99_s:
            found.append("p99")
        return found


@dataclass(frozen=True)
class Trial:
    """One measured run of the search."""

    requested_tps: int
    met: bool


@dataclass(frozen=True)
class SearchConfig:
    """How to search; UsageError for values that make no sense."""

    start_tps: int
    """First load; doubled while it meets the limits, halved while it does not."""
    maximum_tps: int
    """No higher load is tried."""
    precision: float = 0.05
    """The answer is at most this share below a load that fails."""
    confirmations: int = 2
    """How many further runs must meet the limits at the answer."""
    max_runs: int = 20
    """Loads to try at most, confirmations included."""

    def __post_init__(self) -> None:
        if not 1 <= self.start_tps <= self.maximum_tps:
            found = f"{self.start_tps} and {self.maximum_tps}"
            raise UsageError(f"a search needs 1 <= start <= maximum (tx/s), found {found}")
        if not 0 < self.precision < 1 or self.confirmations < 0 or self.max_runs < 1:
            found = f"{self.precision}, {self.confirmations}, {self.max_runs}"
            raise UsageError(f"a search needs 0 < precision < 1, confirmations >= 0, max_runs >= 1, found {found}")


@dataclass(frozen=True)
class NextAction:
    """What to do next: run `requested_tps`, or if that is None stop with `answer_tps`."""

    requested_tps: int | None
    answer_tps: int | None
    """The highest load that met the limits in every run so far; None if none did."""
    confirmed: bool
    """Whether the answer met the limits in all confirmation runs as well."""
    reason: str


def judge(summary: Summary, limits: Limits) -> tuple[bool, str]:
    """Return whether a run meets the limits, and its numbers beside them; UsageError unless its status is `ok`."""
    if summary.status != "ok" or summary.completed_tps is None:
        why = "; ".join(summary.reasons)
        raise UsageError(f"run {summary.run_id} is {summary.status} and cannot decide a search: {why}")
    # Rounded down: what is short of the limit must not read as if it met it.
    achieved = math.floor(round(summary.completed_tps / summary.requested_tps * 1000, 6)) / 1000
    p99 = "unknown"
    if summary.latency_s and summary.latency_s.p99:
        lower, upper = summary.latency_s.p99.lower, summary.latency_s.p99.upper
        p99 = f"more than {lower:.3g} s" if upper is None else f"at most {upper:.3g} s"
    text = (
        f"achieved {achieved * 100:.1f} % of {summary.requested_tps:g} tx/s (at least {limits.achieved * 100:g} %), "
        f"p99 {p99} (limit {limits.p99_s:g} s)"
    )
    if summary.failed:
        text += f", {summary.failed} requests failed"
    elif summary.failed is None:
        text += ", failed requests unknown"
    return not limits.violations(summary), text


def next_action(config: SearchConfig, trials: Sequence[Trial]) -> NextAction:
    """Decide what to run next after `trials`: doubling, then bisection, then confirmation.

    Once a load fails, it and all higher loads are ruled out, even if it passed before.
    """
    fails = min((trial.requested_tps for trial in trials if not trial.met), default=None)
    passed = [trial.requested_tps for trial in trials if trial.met and (fails is None or trial.requested_tps < fails)]
    answer = max(passed, default=None)
    probe = _next_load(config, answer, fails)
    confirmed = answer is not None and probe is None and passed.count(answer) > config.confirmations
    if len(trials) >= config.max_runs:
        reason = f"stopped after {len(trials)} runs{'' if confirmed else ', not confirmed'}"
        return NextAction(None, answer, confirmed, reason)
    if probe is not None:
        met = f"{answer} tx/s meets the limits" if answer is not None else "nothing meets the limits yet"
        failed = f"{fails} tx/s fails" if fails is not None else "nothing fails yet"
        reason = ", ".join([met, failed] if answer is not None else [failed, met]) if trials else "first load"
        return NextAction(probe, answer, False, reason)
    if answer is None:
        return NextAction(None, None, False, f"{fails} tx/s, the lowest load to be tried, fails")
    if not confirmed:
        runs = f"{passed.count(answer)} of {config.confirmations + 1}"
        return NextAction(answer, answer, False, f"confirming {answer} tx/s: met the limits in {runs} runs")
    beyond = f"{fails} tx/s fails" if fails is not None else "it is the highest load to be tried"
    return NextAction(None, answer, True, f"{answer} tx/s met the limits in {passed.count(answer)} runs; {beyond}")


def _next_load(config: SearchConfig, passes: int | None, fails: int | None) -> int | None:
    """Return the next load to try between what passes and what fails; None if they are close enough."""
    if passes is None and fails is None:
        return config.start_tps
    if fails is None:
        assert passes is not None
        return min(2 * passes, config.maximum_tps) if passes < config.maximum_tps else None
    if passes is None:
        return fails // 2 if fails > 1 else None
    if fails - passes <= max(1, math.floor(config.precision * fails)):
        return None
    return (passes + fails) // 2


class SearchStep(EditableModel):
    """One step: a load that was run until it could be judged."""

    requested_tps: int
    run_ids: list[str] = Field(default_factory=list)
    """More than one where runs had to be repeated; the last one counts."""
    met: bool | None = None
    """Null as long as no run counts."""
    text: str = ""
    """The numbers that justify the verdict, or why there are none."""

    def judge(self, summary: Summary, limits: Limits) -> None:
        """Decide whether the load meets the limits, by the run that counts; UsageError if it cannot count."""
        if summary.status == "failed" and summary.failure == "system":
            self.met, self.text = False, f"the system failed: {'; '.join(summary.reasons)}"
        else:
            self.met, self.text = judge(summary, limits)


class Search(Journal):
    """What `search.json` holds."""

    search_id: str
    request: JsonObject
    """A resumed search must have the same."""
    limits: Limits
    config: SearchConfig
    commit: str = ""
    """The commit that the request resolved to; empty until that is known."""
    hosts: dict[str, str] = Field(default_factory=dict)
    """Hardware and operating system of each host."""
    steps: list[SearchStep] = Field(default_factory=list)
    answer_tps: int | None = None
    """The highest load that met the limits in every run; None if none did, or the search has not ended."""
    confirmed: bool = False
    reason: str = "not ended"

    @property
    def identity(self) -> str:
        """The search's id."""
        return self.search_id

    @property
    def run_ids(self) -> list[str]:
        """The ids of all its runs in the order they ran, also of those that do not count."""
        return [run_id for step in self.steps for run_id in step.run_ids]

    def next_action(self) -> NextAction:
        """Decide what to do after the steps that were judged."""
        trials = [Trial(step.requested_tps, step.met) for step in self.steps if step.met is not None]
        return next_action(self.config, trials)


class SearchFolder(ExperimentFolder[Search]):
    """The folder of a search."""

    FILE, KIND = SEARCH, "search"

    @classmethod
    def parse(cls, document: JsonObject) -> Search:
        """Read `search.json`."""
        if document.get("schema") == 1:
            upgrade_search(document)
        return validate_journal(Search, document)

    def begin(self, run_id: str) -> None:
        """Record that a run of the last step begins."""
        self.journal.steps[-1].run_ids.append(run_id)
        self.save()

    def open_step(self, load: int) -> SearchStep:
        """Return the step that was interrupted before it was judged, or a new one."""
        if not self.journal.steps or self.journal.steps[-1].met is not None:
            self.journal.steps.append(SearchStep(requested_tps=load))
        return self.journal.steps[-1]

    def recover_interrupted(self) -> None:
        """Judge the last step by the result that its run had when the runner was killed, if it had one."""
        step = self.journal.steps[-1] if self.journal.steps else None
        if step and step.met is None and step.run_ids:
            self.require_ended(step.run_ids[-1])
        summary = self.summary(step.run_ids[-1]) if step and step.met is None and step.run_ids else None
        if step and summary and (summary.status == "ok" or summary.failure == "system"):
            step.judge(summary, self.journal.limits)
            self.save()

    def summaries(self) -> list[Summary]:
        """Return the summaries of all its runs in the order they ran, also of those that do not count."""
        return [found for run_id in self.journal.run_ids if (found := self.summary(run_id))]


def new_search(
    testbed_id: str, limits: Limits, config: SearchConfig, options: JsonObject, request: JsonObject
) -> Search:
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
        config=config,
    )

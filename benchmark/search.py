"""The search for the highest load that meets stated limits, as a function of the runs made so far.

Nothing is kept between steps, so a search that was interrupted goes on from its results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.errors import UsageError
from benchmark.summary import Summary


@dataclass(frozen=True)
class Limits:
    """What a load must meet."""

    p99_s: float = 1.0
    """The upper bound of the p99 latency's bucket must not exceed this: the limit is then met for sure."""
    achieved: float = 0.98
    """Least throughput as a share of the load."""


@dataclass(frozen=True)
class Trial:
    """One measured run of the search."""

    load_tps: int
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
    """What to do next: run `load_tps`, or if that is None stop with `answer_tps`."""

    load_tps: int | None
    answer_tps: int | None
    """The highest load that met the limits in every run so far; None if none did."""
    confirmed: bool
    """Whether the answer met the limits in all the confirmation runs as well."""
    reason: str


def meets(summary: Summary, limits: Limits) -> tuple[bool, str]:
    """Return whether a run met the limits, and the numbers that say so.

    A run that is not `ok` has no numbers to go by: UsageError.
    """
    if summary.status != "ok" or summary.throughput_tps is None:
        why = "; ".join(summary.reasons)
        raise UsageError(f"run {summary.run_id} is {summary.status} and cannot decide a search: {why}")
    achieved = summary.throughput_tps / summary.load_tps
    upper = summary.latency_s.p99.upper if summary.latency_s else None
    text = f"achieved {achieved:.1%} of {summary.load_tps:g} tx/s (at least {limits.achieved:.0%}), p99 at most "
    text += f"{upper:.3g} s" if upper is not None else "unknown"
    met = achieved >= limits.achieved and upper is not None and upper <= limits.p99_s
    return met, f"{text} (limit {limits.p99_s:g} s)"


def next_step(plan: Plan, trials: Sequence[Trial]) -> Step:
    """Decide what to run next after `trials`: doubling, then bisection, then confirmation.

    A load that failed once has failed, and everything above it with it, even if it had passed before.
    """
    fails = min((trial.load_tps for trial in trials if not trial.met), default=None)
    passed = [trial.load_tps for trial in trials if trial.met and (fails is None or trial.load_tps < fails)]
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

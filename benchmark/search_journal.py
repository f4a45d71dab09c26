"""The journal of a search: what was asked for, each step, and the answer."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from benchmark.collection import Collection, CollectionJournal, Entry
from benchmark.results import SEARCH
from benchmark.search import Limits, Plan, Step, Trial, meets, next_step
from benchmark.summary import Summary


class Taken(Entry):
    """One step: a load that was run until it could be judged."""

    load_tps: int
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
        trials = [Trial(step.load_tps, step.met) for step in self.steps if step.met is not None]
        return next_step(self.plan, trials)


class SearchFolder(Collection[Search]):
    """The folder of a search."""

    FILE, KIND, KINDS = SEARCH, "search", "searches"

    @classmethod
    def parse(cls, text: str) -> Search:
        """Read `search.json`."""
        return Search.model_validate_json(text)

    def begin(self, run_id: str) -> None:
        """Record that a run of the last step begins."""
        self.journal.steps[-1].run_ids.append(run_id)
        self.save()

    def open_step(self, load: int) -> Taken:
        """Return the step that has not been judged yet, which was interrupted, or a new one."""
        if not self.journal.steps or self.journal.steps[-1].met is not None:
            self.journal.steps.append(Taken(load_tps=load))
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
        schema=1,
        search_id=f"{now:%Y%m%dT%H%M%SZ}-search-{secrets.token_hex(2)}",
        testbed_id=testbed_id,
        created_at=now,
        options=options,
        request=request,
        limits=limits,
        plan=plan,
    )

"""The journal of a search: what was asked for, each step, and the answer.

`search.json` in the search's own folder is written anew before and after every run, so a search that was killed goes
on from it, as a sweep does from its own.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.errors import UsageError
from benchmark.results import find_collection, read_summary, write_atomically
from benchmark.search import Limits, Plan, Step, Trial, meets, next_step
from benchmark.summary import Summary

SEARCH = "search.json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Taken(_Model):
    """One step: a load that was run until it could be judged."""

    load_tps: int
    run_ids: list[str] = []
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


class Search(_Model):
    """What `search.json` holds."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    search_id: str
    testbed_id: str
    created_at: datetime
    options: dict[str, Any]
    """The options as given: `--resume` takes them up again."""
    request: dict[str, Any]
    """What was asked for; it must be the same when the search is resumed."""
    limits: Limits
    plan: Plan
    commit: str = ""
    """What the commit turned out to be; empty until that is known."""
    steps: list[Taken] = []
    answer_tps: int | None = None
    """The highest load that met the limits in every run; None if none did, or the search has not ended."""
    confirmed: bool = False
    reason: str = "not ended"

    def to_json(self) -> str:
        """Return the text of `search.json`."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    def next_step(self) -> Step:
        """Decide what to do after the steps that were judged."""
        trials = [Trial(step.load_tps, step.met) for step in self.steps if step.met is not None]
        return next_step(self.plan, trials)


class SearchFolder:
    """The folder of a search and its journal, which is on disk whenever a method has returned."""

    def __init__(self, path: Path, search: Search) -> None:
        self.path = path
        self.search = search

    @classmethod
    def create(cls, results_dir: Path, search: Search) -> SearchFolder:
        """Make the folder of a new search; UsageError if it cannot be written."""
        folder = cls(results_dir / search.testbed_id / search.search_id, search)
        try:
            folder.path.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"cannot write results to {folder.path}: {error.strerror}; see results_dir") from None
        folder.save()
        return folder

    def save(self) -> None:
        """Write the journal."""
        write_atomically(self.path / SEARCH, self.search.to_json())

    def begin(self, run_id: str) -> None:
        """Record that a run of the last step begins."""
        self.search.steps[-1].run_ids.append(run_id)
        self.save()

    def open_step(self, load: int) -> Taken:
        """Return the step that has not been judged yet, which was interrupted, or a new one."""
        if not self.search.steps or self.search.steps[-1].met is not None:
            self.search.steps.append(Taken(load_tps=load))
        return self.search.steps[-1]

    def settle(self) -> None:
        """Judge the step that was under way by a run that had its result when the runner was killed, if it had one."""
        step = self.search.steps[-1] if self.search.steps else None
        summary = self.summary(step.run_ids[-1]) if step and step.met is None and step.run_ids else None
        if step and summary and (summary.status == "ok" or summary.failure == "system"):
            step.judge(summary, self.search.limits)
            self.save()

    def summary(self, run_id: str) -> Summary | None:
        """Return the summary of one of its runs; None if it has none."""
        return read_summary(self.path.parent / run_id)

    def summaries(self) -> list[Summary]:
        """Return the summaries of all its runs in the order they ran, also of those that do not count."""
        every = [run_id for step in self.search.steps for run_id in step.run_ids]
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


def read_search(path: Path) -> SearchFolder:
    """Read the search in the folder `path`; UsageError if there is none."""
    try:
        return SearchFolder(path, Search.model_validate_json((path / SEARCH).read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path} is not the folder of a search: {error.strerror}") from None
    except ValidationError as error:
        raise UsageError(f"{path / SEARCH} is not a search's journal: {error.errors()[0]['msg']}") from None


def find_search(results_dir: Path, name: str) -> SearchFolder:
    """Return the search called `name`: a folder, an id or the beginning of one, or `latest`; UsageError otherwise."""
    return read_search(find_collection(results_dir, name, SEARCH, "searches"))

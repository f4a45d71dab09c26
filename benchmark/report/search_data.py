"""The data of a search's report: its folder and the summaries of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmark.measure.run_metrics import Quantile
from benchmark.results.search import NextAction, Search, SearchFolder, SearchStep
from benchmark.results.summary import Summary


@dataclass(frozen=True)
class Point:
    """A judged load with the results of the run that counts; None if nothing was measured."""

    number: int
    requested_tps: int
    met: bool
    run_id: str
    completed_tps: float | None = None
    p99_s: Quantile | None = None

    @property
    def row(self) -> list[object]:
        """The step's data in the order of `COLUMNS`, unrounded."""
        p99 = self.p99_s
        bounds = [p99.estimate, p99.lower, p99.upper] if p99 else [None] * 3
        return [self.number, self.requested_tps, self.met, self.completed_tps, *bounds, self.run_id]


COLUMNS = ("step", "requested_tps", "met", "completed_tps", "p99_s", "p99_lower_s", "p99_upper_s", "run_id")


@dataclass(frozen=True)
class SearchRecord:
    """One search, read from its folder and the folders of its runs."""

    folder: SearchFolder

    @property
    def search(self) -> Search:
        """Its journal."""
        return self.folder.journal

    @cached_property
    def runs(self) -> dict[str, Summary]:
        """The summary of each run that has one, in the order they ran."""
        return {run.run_id: run for run in self.folder.summaries()}

    @cached_property
    def next_action(self) -> NextAction:
        """What follows from the steps so far: the answer, or the next load to run."""
        return self.search.next_action()

    @cached_property
    def points(self) -> list[Point]:
        """The judged steps."""
        points = []
        for number, step in enumerate(self.search.steps, 1):
            if step.met is not None:
                run, last = self.counted(step), step.run_ids[-1] if step.run_ids else ""
                p99 = run.latency_s.p99 if run and run.latency_s else None
                points.append(
                    Point(number, step.requested_tps, step.met, last, run.completed_tps if run else None, p99)
                )
        return points

    @property
    def at_answer(self) -> list[Point]:
        """The steps at the highest load within the limits."""
        return [point for point in self.points if point.requested_tps == self.next_action.answer_tps]

    @property
    def lowest_failing_tps(self) -> int | None:
        """The lowest load that violates the limits."""
        return min((point.requested_tps for point in self.points if not point.met), default=None)

    def counted(self, step: SearchStep) -> Summary | None:
        """Return the measured run that a step is judged by; None if there is none."""
        run = self.runs.get(step.run_ids[-1]) if step.run_ids and step.met is not None else None
        return run if run and run.status == "ok" else None

    def violations(self, step: SearchStep) -> list[str]:
        """Return the limits that a judged step violates; empty if it meets them."""
        run = self.counted(step)
        if run:
            return [*self.search.limits.violations(run)]
        return [] if step.met else ["no measurement"]


def read_search_record(folder: Path) -> SearchRecord:
    """Read the search in `folder`; UsageError if there is none."""
    return SearchRecord(SearchFolder.read(folder))

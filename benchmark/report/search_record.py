"""What a report says of a search, read from its folder and those of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmark.report.search_charts import Point
from benchmark.results.search import Limits, Search, SearchFolder, Step, Taken
from benchmark.results.summary import Summary


@dataclass(frozen=True)
class SearchRecord:
    """A search as its folder and those of its runs tell it."""

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
    def step(self) -> Step:
        """What follows from the steps so far: the answer, or what is to be run next."""
        return self.search.next_step()

    @cached_property
    def points(self) -> list[Point]:
        """The steps that were judged."""
        return [self._point(number, step) for number, step in enumerate(self.search.steps, 1) if step.met is not None]

    @property
    def at_answer(self) -> list[Point]:
        """The steps at the highest load within the limits."""
        return [point for point in self.points if point.requested_tps == self.step.answer_tps]

    @property
    def fails(self) -> int | None:
        """The least load that does not meet the limits."""
        return min((point.requested_tps for point in self.points if not point.met), default=None)

    def counted(self, step: Taken) -> Summary | None:
        """Return the measured run that a step rests on; None if there is none."""
        run = self.runs.get(step.run_ids[-1]) if step.run_ids and step.met is not None else None
        return run if run and run.status == "ok" else None

    def missed(self, step: Taken) -> list[str]:
        """Return why a step that was judged does not meet the limits; empty if it does."""
        run = self.counted(step)
        return [] if step.met else missed(run, self.search.limits) if run else ["no measurement"]

    def _point(self, number: int, step: Taken) -> Point:
        run, last = self.counted(step), step.run_ids[-1] if step.run_ids else ""
        p99 = run.latency_s.p99 if run and run.latency_s else None
        return Point(number, step.requested_tps, bool(step.met), last, run.completed_tps if run else None, p99)


def read_search_record(folder: Path) -> SearchRecord:
    """Read the search in `folder`; UsageError if it holds none."""
    return SearchRecord(SearchFolder.read(folder))


def missed(run: Summary, limits: Limits) -> list[str]:
    """Return which limits a measured run does not meet: `throughput`, `p99`."""
    p99 = run.latency_s.p99 if run.latency_s else None
    slow = p99 is None or p99.upper is None or p99.upper > limits.p99_s
    few = run.completed_tps is None or run.completed_tps / run.requested_tps < limits.achieved
    return [name for name, failed in (("throughput", few), ("p99", slow)) if failed]

"""The search for the highest load within limits, run by run on a testbed; its folder keeps every step."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark.errors import InfrastructureError, LockedError, SystemFailure
from benchmark.events import Observer
from benchmark.request import Request
from benchmark.results import write_atomically
from benchmark.search import Limits, Plan, Step, Trial, meets, next_step
from benchmark.summary import Summary
from benchmark.sweep import RETRIES, Bench
from benchmark.testbed import Testbed

SEARCH = "search.json"


@dataclass(frozen=True)
class Taken:
    """One step that was taken."""

    load_tps: int
    run_ids: list[str]
    """More than one where runs had to be repeated; the last one counts."""
    met: bool
    text: str


@dataclass
class Search:
    """A search and what it found; `search.json` holds it after every step."""

    search_id: str
    limits: Limits
    plan: Plan
    commit: str = ""
    steps: list[Taken] = field(default_factory=list)
    answer_tps: int | None = None
    """The highest load that met the limits in every run; None if none did."""
    confirmed: bool = False
    reason: str = "not ended"

    def to_json(self) -> str:
        """Return the text of `search.json`."""
        return json.dumps({"schema": 1} | dataclasses.asdict(self), indent=2) + "\n"


def new_search(limits: Limits, plan: Plan) -> Search:
    """Return a search that has not begun."""
    return Search(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-search-{secrets.token_hex(2)}", limits, plan)


def run_search(
    testbed: Testbed, request: Request, search: Search, observer: Observer, began: float, retries: int = RETRIES
) -> Path:
    """Search until the plan says to stop, at most `plan.max_runs` loads, and return the folder of the search.

    A load at which the system fails does not meet the limits, nor does one that could not be measured validly in
    `retries` + 1 runs: the answer never rests on a run that is not `ok`. Raises InfrastructureError after as many
    failures of the testbed in a row.
    """
    folder = request.results_dir / testbed.inventory.testbed_id / search.search_id
    folder.mkdir(parents=True)
    # Made ready for the greatest load: the one with the most clients.
    request = dataclasses.replace(request, loads=(search.plan.maximum_tps,))
    with Bench(testbed, observer, began) as bench:
        bench.announce(request)
        search.commit = bench.ready(request).commit
        while (step := _next(search)).load_tps is not None:
            bench.timeline.tell("step", text=f"step {len(search.steps) + 1}: {step.load_tps} tx/s ({step.reason})")
            taken = _try(bench, request, step.load_tps, search.limits, retries)
            search.steps.append(taken)
            write_atomically(folder / SEARCH, search.to_json())
            bench.timeline.tell("step", text=f"  {'met' if taken.met else 'not met'}: {taken.text}")
    search.answer_tps, search.confirmed, search.reason = step.answer_tps, step.confirmed, step.reason
    write_atomically(folder / SEARCH, search.to_json())
    return folder


def _next(search: Search) -> Step:
    return next_step(search.plan, [Trial(step.load_tps, step.met) for step in search.steps])


def _try(bench: Bench, request: Request, load: int, limits: Limits, retries: int) -> Taken:
    """Run one load until it is measured, and judge it."""
    run_ids: list[str] = []
    for left in range(retries, -1, -1):
        try:
            summary = bench.run(request, load, run_ids.append)
        except LockedError:
            raise
        except SystemFailure as error:
            return Taken(load, run_ids, False, f"the system failed: {error}")
        except InfrastructureError as error:
            if not left:
                raise
            bench.timeline.tell("warning", text=f"the infrastructure failed, repeating {load} tx/s: {error}")
            continue
        if summary.status == "ok":
            return Taken(load, run_ids, *meets(summary, limits))
        if left:
            _say_invalid(bench.timeline.tell, summary)
    return Taken(load, run_ids, False, f"no valid run in {retries + 1}: {'; '.join(summary.reasons)}")


def _say_invalid(tell: Callable[..., Any], summary: Summary) -> None:
    why = "; ".join(summary.reasons)
    tell("warning", text=f"{summary.run_id} is {summary.status}, repeating {summary.load_tps:g} tx/s: {why}")

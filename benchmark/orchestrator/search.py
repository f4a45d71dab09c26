"""Search for the highest load within limits, run by run on a testbed that stays locked."""

from __future__ import annotations

import dataclasses

from benchmark.errors import SystemFailure
from benchmark.orchestrator.outlook import Position
from benchmark.orchestrator.retry import RETRIES, with_retries
from benchmark.orchestrator.runner import Runner, require_same_commit, require_same_hosts
from benchmark.plan.request import Request
from benchmark.results.events import Observer, Step
from benchmark.results.search import SearchFolder, SearchStep
from benchmark.results.summary import Summary
from benchmark.testbed.testbed import Testbed


def run_search(
    testbed: Testbed, request: Request, folder: SearchFolder, observer: Observer, began: float, retries: int = RETRIES
) -> None:
    """Search until the plan ends, at most `plan.max_runs` loads; `folder` keeps every step.

    An interrupted search continues: steps that were judged are not run again. A load does not meet the limits if the
    system fails, or if none of `retries` + 1 runs is valid: the answer never rests on a run that is not `ok`. Raises
    InfrastructureError after as many failures of the testbed in a row.
    """
    search = folder.journal
    folder.recover_interrupted()
    # Prepared for the highest load, the one with the most clients.
    request = dataclasses.replace(request, loads=(search.config.maximum_tps,))
    with Runner(testbed, observer, began) as runner:
        emit = runner.events.emit
        if search.next_action().requested_tps is None:
            emit(Step(f"nothing to do: search {search.search_id} has ended"))
        else:
            runner.announce(request, 1)
        while (step := search.next_action()).requested_tps is not None:
            taken = folder.open_step(step.requested_tps)
            runner.position = Position(len(search.steps), None)
            emit(Step(f"step {len(search.steps)}: {step.requested_tps} tx/s ({step.reason})"))
            _take(runner, request, folder, taken, retries)
            folder.save()
            emit(Step(f"  {'met' if taken.met else 'not met'}: {taken.text}"))
    search.answer_tps, search.confirmed, search.reason = step.answer_tps, step.confirmed, step.reason
    folder.save()


def _take(runner: Runner, request: Request, folder: SearchFolder, taken: SearchStep, retries: int) -> None:
    """Run one load until it is measured validly, and judge it."""
    search = folder.journal

    def attempt() -> Summary | None:
        # A system that cannot be built or installed does not judge a load, so its failure is raised.
        prepared = runner.prepare(request)
        search.commit = require_same_commit(f"search {search.search_id}", search.commit, prepared.commit)
        search.hosts = require_same_hosts(f"search {search.search_id}", search.hosts, prepared.facts)
        try:
            summary = runner.run(request, taken.requested_tps, folder.begin)
        except SystemFailure as error:
            taken.met, taken.text = False, f"the system failed: {error}"
            return None
        if summary.status == "ok":
            taken.judge(summary, search.limits)
        return summary

    def unusable(summary: Summary | None) -> str | None:
        if summary is None or summary.status == "ok":
            return None
        return f"{summary.run_id} is {summary.status}: {'; '.join(summary.reasons)}"

    summary = with_retries(
        runner,
        attempt,
        retries=retries,
        name=f"{taken.requested_tps} tx/s",
        resume=f"search --resume {search.search_id}",
        unusable=unusable,
    )
    if taken.met is None and summary:
        taken.met, taken.text = False, f"no valid run in {retries + 1}: {'; '.join(summary.reasons)}"

"""The search for the highest load within limits, run by run on a testbed that is held throughout."""

from __future__ import annotations

import dataclasses

from benchmark.errors import InfrastructureError, LockedError, SystemFailure
from benchmark.orchestrator.runner import RETRIES, Bench, same_commit
from benchmark.plan.request import Request
from benchmark.results.events import Observer, Step, WarningIssued
from benchmark.results.search import SearchFolder, Taken
from benchmark.results.summary import Summary
from benchmark.testbed.testbed import Testbed


def run_search(
    testbed: Testbed, request: Request, folder: SearchFolder, observer: Observer, began: float, retries: int = RETRIES
) -> None:
    """Search until the plan says to stop, at most `plan.max_runs` loads; `folder` keeps every step.

    A search that was interrupted goes on: what has been judged is not run again. A load at which the system fails does
    not meet the limits, nor does one that could not be measured validly in `retries` + 1 runs: the answer never rests
    on a run that is not `ok`. Raises InfrastructureError after as many failures of the testbed in a row.
    """
    search = folder.journal
    folder.settle()
    # Made ready for the greatest load: the one with the most clients.
    request = dataclasses.replace(request, loads=(search.plan.maximum_tps,))
    with Bench(testbed, observer, began) as bench:
        emit = bench.events.emit
        if search.next_step().requested_tps is None:
            emit(Step(f"nothing to do: search {search.search_id} has ended"))
        else:
            bench.announce(request, 1)
        while (step := search.next_step()).requested_tps is not None:
            taken = folder.open_step(step.requested_tps)
            emit(Step(f"step {len(search.steps)}: {step.requested_tps} tx/s ({step.reason})"))
            _try(bench, request, folder, taken, retries)
            folder.save()
            emit(Step(f"  {'met' if taken.met else 'not met'}: {taken.text}"))
    search.answer_tps, search.confirmed, search.reason = step.answer_tps, step.confirmed, step.reason
    folder.save()


def _try(bench: Bench, request: Request, folder: SearchFolder, taken: Taken, retries: int) -> None:
    """Run one load until it is measured, and judge it."""
    for left in range(retries, -1, -1):
        try:
            summary = _measure(bench, request, folder, taken)
        except LockedError:
            raise
        except InfrastructureError as error:
            bench.close()
            if not left:
                again = f"`python -m benchmark search --resume {folder.journal.search_id}` goes on from here"
                raise InfrastructureError(
                    f"{taken.requested_tps} tx/s: failed {retries + 1} times, {again}; the last time: {error}"
                ) from None
            bench.events.emit(
                WarningIssued(f"the infrastructure failed, repeating {taken.requested_tps} tx/s: {error}")
            )
            continue
        if taken.met is not None:
            return
        why = "; ".join(summary.reasons) if summary else ""
        if left:
            bench.events.emit(WarningIssued(f"{taken.run_ids[-1]} is invalid, repeating it: {why}"))
    taken.met, taken.text = False, f"no valid run in {retries + 1}: {why}"


def _measure(bench: Bench, request: Request, folder: SearchFolder, taken: Taken) -> Summary | None:
    """Run the load of a step once, and judge it unless the run is invalid; a system that failed has no summary."""
    search = folder.journal
    # A system that cannot be built or installed says nothing of a load, so this is not part of what is judged.
    search.commit = same_commit(f"search {search.search_id}", search.commit, bench.ready(request).commit)
    try:
        summary = bench.run(request, taken.requested_tps, folder.begin)
    except SystemFailure as error:
        taken.met, taken.text = False, f"the system failed: {error}"
        return None
    if summary.status == "ok":
        taken.judge(summary, search.limits)
    return summary

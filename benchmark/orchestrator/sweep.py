"""The runs of one command, one after the other on a testbed that is held throughout."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.errors import InfrastructureError, LockedError, SystemFailure
from benchmark.orchestrator.runner import RETRIES, Bench, same_commit
from benchmark.plan.request import Request
from benchmark.results.events import Observer, Step, WarningIssued
from benchmark.results.summary import Summary
from benchmark.results.sweep import Attempt, Slot, SweepFolder
from benchmark.testbed.testbed import Testbed


def run_benchmark(testbed: Testbed, request: Request, observer: Observer, began: float) -> list[Summary]:
    """Run every load and return the summaries, in order; `began` is when the process did, in Unix seconds.

    The first failure ends it: UsageError before anything is touched, InfrastructureError, SystemFailure or
    Interrupted later.
    """
    with Bench(testbed, observer, began) as bench:
        bench.announce(request, len(request.loads))
        return [bench.run(request, load) for load in request.loads]


def run_sweep(
    testbed: Testbed,
    requests: Mapping[str, Request],
    folder: SweepFolder,
    observer: Observer,
    began: float,
    retries: int = RETRIES,
) -> None:
    """Do the runs of a sweep that are not done yet; `requests` are by arm, `folder` keeps what came of each.

    A system that fails is recorded, and the next run begins. A failure of the infrastructure is repeated, `retries`
    times at most: then it is raised, as is everything else.
    """
    folder.settle()
    with Bench(testbed, observer, began) as bench:
        slots = folder.journal.slots
        for arm, request in requests.items():
            bench.announce(request, sum(slot.arm == arm and not slot.done for slot in slots))
        for number, slot in enumerate(slots, 1):
            if slot.done:
                continue
            bench.events.emit(Step(f"run {number} of {len(slots)}: {slot}"))
            _fill(bench, requests[slot.arm], slot, folder, retries)


def _fill(bench: Bench, request: Request, slot: Slot, folder: SweepFolder, retries: int) -> None:
    """Try a run until it has a result or its failure is not the infrastructure's."""
    for left in range(retries, -1, -1):
        before = len(slot.attempts)
        try:
            _know_commit(folder, slot.arm, bench.ready(request).commit)
            summary = bench.run(request, slot.load, lambda run_id: _begin(folder, slot, run_id))
            folder.end(slot.attempts[-1], summary)
            return
        except LockedError:
            raise
        except SystemFailure as error:
            folder.fail(slot, _tried(slot, before), error)
            bench.events.emit(WarningIssued(f"{slot}: the system failed, which is a result: {error}"))
            return
        except InfrastructureError as error:
            bench.close()
            folder.fail(slot, _tried(slot, before), error)
            if not left:
                journal = folder.journal
                again = f"`python -m benchmark {journal.command} --resume {journal.sweep_id}` goes on from here"
                raise InfrastructureError(
                    f"{slot}: failed {retries + 1} times, {again}; the last time: {error}"
                ) from None
            bench.events.emit(WarningIssued(f"{slot}: the infrastructure failed, repeating it: {error}"))
        except BaseException as error:
            folder.fail(slot, _tried(slot, before), error)
            raise


def _begin(folder: SweepFolder, slot: Slot, run_id: str) -> None:
    folder.begin(slot, run_id)


def _tried(slot: Slot, before: int) -> Attempt | None:
    """Return the attempt that was begun since there were `before` of them."""
    return slot.attempts[-1] if len(slot.attempts) > before else None


def _know_commit(folder: SweepFolder, arm: str, commit: str) -> None:
    """Record the commit of an arm, which must stay the same."""
    known = folder.journal.commits.get(arm, "")
    folder.journal.commits[arm] = same_commit(f"sweep {folder.journal.sweep_id}", known, commit)

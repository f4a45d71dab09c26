"""Run the loads of a benchmark or a sweep, one after the other on a testbed that stays locked."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.errors import LockedError, SystemFailure
from benchmark.orchestrator.outlook import Position
from benchmark.orchestrator.retry import RETRIES, with_retries
from benchmark.orchestrator.runner import Runner, require_same_commit, require_same_hosts
from benchmark.plan.request import Request
from benchmark.results.events import Observer, Step, WarningIssued
from benchmark.results.summary import Summary
from benchmark.results.sweep import Attempt, PlannedRun, SweepFolder
from benchmark.testbed.testbed import Testbed


def run_benchmark(testbed: Testbed, request: Request, observer: Observer, began: float) -> list[Summary]:
    """Run every load and return the summaries, in order; `began` is when the process began, in Unix seconds.

    The first failure ends it: UsageError before any host is reached, InfrastructureError, SystemFailure or Interrupted
    later.
    """
    with Runner(testbed, observer, began) as runner:
        runner.announce(request, len(request.loads))
        summaries = []
        for number, load in enumerate(request.loads, 1):
            later = len(request.loads) - number
            runner.position = Position(number, len(request.loads), (request.load_s,) * later)
            summaries.append(runner.run(request, load))
        return summaries


def run_sweep(
    testbed: Testbed,
    requests: Mapping[str, Request],
    folder: SweepFolder,
    observer: Observer,
    began: float,
    retries: int = RETRIES,
) -> None:
    """Do the runs of a sweep that are not done yet; `requests` are by arm, `folder` keeps the outcome of each.

    If the system fails, that is recorded and the next run begins. If the infrastructure fails, the run is repeated, up
    to `retries` times. Everything else ends the sweep.
    """
    folder.recover_interrupted()
    journal = folder.journal
    with Runner(testbed, observer, began) as runner:
        for arm, request in requests.items():
            runner.announce(request, sum(planned.arm == arm and not planned.done for planned in journal.planned_runs))
        for number, planned in enumerate(journal.planned_runs, 1):
            if planned.done:
                continue
            later = [requests[each.arm] for each in journal.planned_runs[number:] if not each.done]
            runner.position = Position(number, len(journal.planned_runs), tuple(each.load_s for each in later))
            runner.events.emit(Step(f"run {number} of {len(journal.planned_runs)}: {planned}"))
            with_retries(
                runner,
                lambda planned=planned: _attempt(runner, requests[planned.arm], planned, folder),  # type: ignore[misc]
                retries=retries,
                name=str(planned),
                resume=f"{journal.command} --resume {journal.sweep_id}",
            )


def _attempt(runner: Runner, request: Request, planned: PlannedRun, folder: SweepFolder) -> None:
    """Run a planned once and record the outcome; a failure of the system is one, every other error is raised."""
    journal = folder.journal
    begun: list[Attempt] = []
    try:
        prepared = runner.prepare(request)
        what, known = f"sweep {journal.sweep_id}", journal.commits.get(planned.arm, "")
        journal.commits[planned.arm] = require_same_commit(what, known, prepared.commit)
        journal.hosts = require_same_hosts(what, journal.hosts, prepared.facts)
        summary = runner.run(request, planned.requested_tps, lambda run_id: begun.append(folder.begin(planned, run_id)))
        folder.end(begun[-1], summary)
    except LockedError:
        raise
    except BaseException as error:
        folder.fail(planned, begun[-1] if begun else None, error)
        if not isinstance(error, SystemFailure):
            raise
        runner.events.emit(WarningIssued(f"{planned}: the system failed, which is a result: {error}"))

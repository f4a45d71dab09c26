"""Which runs are repeated: the one rule of sweeps and searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from benchmark.errors import InfrastructureError, LockedError
from benchmark.orchestrator.runner import Runner
from benchmark.results.events import WarningIssued

RETRIES = 2
"""How often a run is repeated by default."""

T = TypeVar("T")


def with_retries(
    runner: Runner,
    attempt: Callable[[], T],
    *,
    retries: int,
    name: str,
    resume: str,
    unusable: Callable[[T], str | None] = lambda _: None,
) -> T:
    """Return what `attempt` returns, and repeat it up to `retries` times if the infrastructure fails.

    `unusable` may also reject a result by returning a reason; the last result is returned nevertheless. Every other
    error is raised at once: a failure of the system is a result, a locked testbed stays locked, an interrupt is meant.
    `name` and `resume` (a command) are for messages. Raises InfrastructureError after the last attempt.
    """
    for left in range(retries, -1, -1):
        try:
            result = attempt()
        except LockedError:
            raise
        except InfrastructureError as error:
            runner.close()
            if not left:
                raise InfrastructureError(
                    f"{name}: failed {retries + 1} times; `geobench {resume}` continues from here. "
                    f"The last error: {error}"
                ) from None
            runner.events.emit(WarningIssued(f"{name}: the infrastructure failed, trying again: {error}"))
            continue
        reason = unusable(result)
        if reason is None or not left:
            return result
        runner.events.emit(WarningIssued(f"{name}: {reason}; trying again"))
    raise AssertionError("unreachable")

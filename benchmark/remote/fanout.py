"""One command on its way to each host, and what comes back: answers and failures, both kept."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import BinaryIO, Generic, TypeVar

from benchmark.errors import HostError
from benchmark.remote.session import OUTPUT_LIMIT, Session

T = TypeVar("T")


@dataclass(frozen=True)
class Completed:
    """A remote command that ended by itself."""

    host: str
    stdout: str
    stderr: str
    exit_code: int
    seconds: float


@dataclass(frozen=True)
class Results(Generic[T]):
    """What each host answered, and why the others did not; in the order the hosts were given."""

    ok: dict[str, T] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def raise_for_failures(self, message: str) -> dict[str, T]:
        """Return the answers of all hosts; HostError with `message` and each reason if any failed."""
        if self.failed:
            raise HostError(message, self.failed)
        return self.ok


@dataclass(eq=False)
class Job:
    """One command on its way to one host."""

    host: str
    command: str
    stdin: Iterable[str | bytes]
    deadline: float
    keep_open: bool = False
    sink: BinaryIO | None = None
    limit: int = OUTPUT_LIMIT
    ends: float | None = None
    session: Session | None = None
    started: Future[None] | None = None
    abandoned: bool = False
    reason: str | None = None

    def settle(self) -> bool:
        """Note the `reason` of a failure; return whether there is nothing more to wait for."""
        self.reason = self._failure()
        return self.reason is not None or self._finished()

    def _failure(self) -> str | None:
        if self.ends is not None and time.monotonic() >= self.ends and not self._finished():
            return f"no answer within {self.deadline:g} s: {brief(self.command)}"
        if self.started is not None and self.started.done() and (error := self.started.exception()):
            return str(error) or type(error).__name__
        if self.session and self.session.overflowed and not self.keep_open:
            return f"more than {self.limit >> 20} MiB of output: {brief(self.command)}"
        if self.session and self.session.failure and not self.keep_open:
            return f"{self.session.failure}: {brief(self.command)}"
        return None

    def _finished(self) -> bool:
        """Whether the command did what was waited for: start if its input is kept open, else end."""
        if self.started is None or not self.started.done():
            return False
        return self.keep_open or (self.session is not None and self.session.ended)


def collect(jobs: Iterable[Job], check: bool) -> Results[Completed]:
    results: Results[Completed] = Results()
    for job in jobs:
        if job.reason or job.session is None:
            results.failed[job.host] = job.reason or "not started"
            continue
        session = job.session
        completed = Completed(job.host, session.stdout, session.stderr, session.exit_status or 0, session.seconds)
        if check and completed.exit_code:
            results.failed[job.host] = exit_reason(completed, job.command)
        else:
            results.ok[job.host] = completed
    return results


def brief(command: str) -> str:
    """The beginning of a command, for messages."""
    line = " ".join(command.split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def exit_reason(completed: Completed, command: str) -> str:
    last = (completed.stderr.strip() or completed.stdout.strip()).splitlines()[-5:]
    return "\n    ".join([f"exit code {completed.exit_code}: {brief(command)}", *last])

"""Track one remote command per host and collect the results, those of hosts that failed included."""

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
    """A remote command that ended by itself; `seconds` is how long it ran."""

    host: str
    stdout: str
    stderr: str
    exit_code: int
    seconds: float
    preamble: str = ""
    """What the login shell's start-up files printed before it; it is not part of `stdout`."""


@dataclass(frozen=True)
class Results(Generic[T]):
    """The result of each host, and the reason of each host that failed; in the order the hosts were given."""

    ok: dict[str, T] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def raise_for_failures(self, message: str) -> dict[str, T]:
        """Return the results of all hosts; HostError with `message` and each reason if any failed."""
        if self.failed:
            raise HostError(message, self.failed)
        return self.ok


@dataclass(eq=False)
class RemoteCall:
    """One command on one host, from the request to its end; `deadline` (s) counts from when it is submitted."""

    host: str
    command: str
    stdin: Iterable[str | bytes]
    deadline: float
    keep_open: bool = False
    sink: BinaryIO | None = None
    limit: int = OUTPUT_LIMIT
    ends: float | None = None
    """When the deadline passes (monotonic time); None until a thread of the pool takes the call up."""
    session: Session | None = None
    started: Future[None] | None = None
    abandoned: bool = False
    reason: str | None = None
    """Why the call failed; None while it has not."""

    def poll(self) -> bool:
        """Return whether the call is over; a failed one gets its `reason`."""
        # With an open standard input the start is all that is waited for, otherwise the end of the command.
        up = self.started is not None and self.started.done()
        over = up and (self.keep_open or (self.session is not None and self.session.ended))
        if self.ends is not None and time.monotonic() >= self.ends and not over:
            self.reason = f"no answer within {self.deadline:g} s: {brief(self.command)}"
        elif self.started is not None and up and (error := self.started.exception()):
            self.reason = str(error) or type(error).__name__
        elif self.session and self.session.overflowed and not self.keep_open:
            self.reason = f"more than {self.limit >> 20} MiB of output: {brief(self.command)}"
        elif self.session and self.session.failure and not self.keep_open:
            self.reason = f"{self.session.failure}: {brief(self.command)}"
        else:
            self.reason = None
        return self.reason is not None or over


def collect(calls: Iterable[RemoteCall], check: bool) -> Results[Completed]:
    """Return the results of calls that are over; with `check`, an exit code other than 0 is a failure."""
    results: Results[Completed] = Results()
    for call in calls:
        if call.reason or call.session is None:
            results.failed[call.host] = call.reason or "not started"
            continue
        session = call.session
        completed = Completed(
            call.host, session.stdout, session.stderr, session.exit_status or 0, session.seconds, session.preamble
        )
        if check and completed.exit_code:
            results.failed[call.host] = exit_reason(completed, call.command)
        else:
            results.ok[call.host] = completed
    return results


def brief(command: str) -> str:
    """Return the beginning of a command, in one line of at most 80 characters."""
    line = " ".join(command.split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def exit_reason(completed: Completed, command: str) -> str:
    """Describe a non-zero exit code by the command and the last five lines of its output."""
    last = (completed.stderr.strip() or completed.stdout.strip()).splitlines()[-5:]
    full = "its disk is full; " if "No space left on device" in completed.stderr else ""
    return "\n    ".join([f"{full}exit code {completed.exit_code}: {brief(command)}", *last])

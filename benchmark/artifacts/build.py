"""Resolve a commit and build it on one host of the testbed; nothing is built on the operator's machine."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from benchmark.artifacts import store as hosts
from benchmark.artifacts.source import Origin, Revision, parse_revision, unreadable
from benchmark.artifacts.toolchains import TOOLCHAINS
from benchmark.errors import HostError, InfrastructureError, SystemFailure
from benchmark.protocols.process import Build
from benchmark.remote.deadlines import CHANGE_S
from benchmark.remote.fleet import Fleet, Session, Sessions

_FETCH_DEADLINE_S = 1800.0
_BUILD_DEADLINE_S = 3 * 3600.0
_POLL_S = 0.02
_TAIL_LINES = 20
GIT_FAILED, BUILD_FAILED = 4, 5


@dataclass(frozen=True)
class Built:
    """The result of a build: the artifact's name, tracked files that the build changed, and its duration in seconds."""

    name: str
    changed: tuple[str, ...]
    seconds: float


def build_key(origin: Origin, commit: str, build: Build, architecture: str) -> str:
    """Return a digest of everything that a build depends on: builds with equal keys are interchangeable."""
    inputs = [origin.url, commit, build.command, build.outputs, build.packages, architecture]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def resolve(fleet: Fleet, working_dir: str, host: str, origin: Origin) -> Revision:
    """Update the host's mirror of the repository and resolve the requested commit in it.

    Raises UsageError if it does not exist or the repository cannot be read, InfrastructureError if it is unreachable.
    """
    command = hosts.command(working_dir, "resolve", origin.url, origin.ref, *TOOLCHAINS)
    session = _follow(fleet, host, command, origin, _FETCH_DEADLINE_S)
    if session.exit_status == GIT_FAILED:
        raise unreadable(origin, session.stderr)
    if session.exit_status != 0:
        raise HostError(f"could not resolve {origin.ref} of {origin.url}:", {host: _reason(origin, session)})
    return parse_revision(origin, session.stdout.splitlines())


def build_artifact(
    fleet: Fleet, working_dir: str, host: str, origin: Origin, commit: str, build: Build, key: str, log: Path
) -> Built:
    """Check out `commit` on the host, verify the checkout, build it, and store the outputs as an artifact.

    The output of git and the build is appended to `log`. Raises SystemFailure with the last lines of the build.
    """
    command = hosts.command(working_dir, "build", origin.url, commit, key, build.command, *build.outputs)
    began = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        session = _follow(fleet, host, command, origin, _BUILD_DEADLINE_S, file)
    lines = [line.partition(" ") for line in session.stderr.strip().splitlines()]
    if session.exit_status == 0:
        changed = tuple(value for kind, _, value in lines if kind == "changed")
        name = next(value for kind, _, value in lines if kind == "artifact")
        return Built(name, changed, time.monotonic() - began)
    tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-_TAIL_LINES:])
    if session.exit_status == GIT_FAILED:
        raise unreadable(origin, tail)
    where = f"{commit[:8]} of {origin.url} on {host}"
    verdict, _, detail = lines[-1] if lines else ("", "", "")
    problems = {
        "failed": f"failed with exit code {detail}",
        "missing": f"left no file {detail}" if detail else "left no executable file; name its `outputs`",
        "ambiguous": f"left several files of one name; name the path of one in `outputs`: {detail}",
    }
    if problem := problems.get(verdict):
        message = f"building {where} {problem} (see {log}): {build.command.strip()}"
        raise SystemFailure(message, process="build", log_tail=tail)
    raise HostError(f"building {where} did not complete (see {log}):", {host: _reason(origin, session)})


def _follow(
    fleet: Fleet, host: str, command: str, origin: Origin, deadline_s: float, log: TextIO | None = None
) -> Session:
    """Run a command with the repository's credentials on its input until it ends; append its output to `log`.

    If this side closes the channel, the command's input ends and with it the command.
    """
    session = fleet.open(command, hosts=[host], deadline=CHANGE_S).raise_for_failures("cannot build:")[host]
    with closing(session):
        session.send(origin.secret_input)
        watched = Sessions([session])
        ends = time.monotonic() + deadline_s
        while True:
            ended = session.ended  # before the last lines are read
            if log is not None and (lines := session.read_lines()):
                log.writelines(origin.hide(line) + "\n" for line in lines)
                log.flush()
            if ended:
                return session
            if time.monotonic() > ends:
                raise InfrastructureError(f"{host} did not finish with {origin.url} within {deadline_s:.0f} s")
            watched.wait(_POLL_S)


def _reason(origin: Origin, session: Session) -> str:
    tail = "\n    ".join(origin.hide(session.stderr).strip().splitlines()[-5:])
    return f"{session.failure or f'exit code {session.exit_status}'}: {tail}"

"""Finding a commit and building it, both on one host of the testbed; nothing is built on the operator's machine."""

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
from benchmark.errors import HostError, InfrastructureError, SystemFailure
from benchmark.protocols.process import Build
from benchmark.remote.fleet import Fleet, Session, Sessions

_START_DEADLINE_S = 30.0
_FETCH_DEADLINE_S = 1800.0
_BUILD_DEADLINE_S = 3 * 3600.0
_LOOK_S = 0.02
_TAIL = 20
GIT_FAILED, BUILD_FAILED = 4, 5


@dataclass(frozen=True)
class Built:
    """What a build left: the artifact's name, tracked files that the build changed, and how long it took (s)."""

    name: str
    changed: tuple[str, ...]
    seconds: float


def key_of(origin: Origin, commit: str, build: Build, architecture: str) -> str:
    """Name what a build is made from: equal keys need no second build."""
    made_from = [origin.url, commit, build.command, build.outputs, build.packages, architecture]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def resolve(fleet: Fleet, working_dir: str, host: str, origin: Origin) -> Revision:
    """Bring the host's mirror of the repository up to date and find the commit there.

    Raises UsageError if there is none or the repository cannot be read, InfrastructureError if it is not reached.
    """
    command = hosts.command(working_dir, "resolve", origin.url, origin.ref)
    session = _follow(fleet, host, command, origin, _FETCH_DEADLINE_S)
    if session.exit_status == GIT_FAILED:
        raise unreadable(origin, session.stderr)
    if session.exit_status != 0:
        raise HostError("the commit cannot be found out:", {host: _reason(origin, session)})
    return parse_revision(origin, session.stdout.splitlines())


def build_artifact(
    fleet: Fleet, working_dir: str, host: str, origin: Origin, commit: str, build: Build, key: str, log: Path
) -> Built:
    """Check out `commit` on the host, verify that, build it, and keep what came out under its name.

    What git and the build print goes to `log` as it comes. Raises SystemFailure with the build's last lines.
    """
    command = hosts.command(working_dir, "build", origin.url, commit, key, build.command, *build.outputs)
    began = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        session = _follow(fleet, host, command, origin, _BUILD_DEADLINE_S, file)
    found = session.stderr.splitlines()
    if session.exit_status == 0:
        words = [line.partition(" ") for line in found]
        changed = tuple(value for kind, _, value in words if kind == "changed")
        name = next(value for kind, _, value in words if kind == "artifact")
        return Built(name, changed, time.monotonic() - began)
    raise _failure(session, origin, commit, build, log)


def _failure(session: Session, origin: Origin, commit: str, build: Build, log: Path) -> Exception:
    where = f"{commit[:8]} of {origin.url} on {session.host}"
    tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-_TAIL:])
    verdict, _, detail = (session.stderr.strip().splitlines() or [""])[-1].partition(" ")
    if session.exit_status == GIT_FAILED:
        return unreadable(origin, tail)
    if verdict == "failed":
        message = f"building {where} failed with exit code {detail} ({log} has it all): {build.command.strip()}"
        return SystemFailure(message, process="build", log_tail=tail)
    if verdict == "missing":
        message = f"building {where} left no file {detail} ({log} has it all): {build.command.strip()}"
        return SystemFailure(message, process="build", log_tail=tail)
    return HostError(f"building {where} came to no end ({log} has it all):", {session.host: _reason(origin, session)})


def _follow(
    fleet: Fleet, host: str, command: str, origin: Origin, deadline_s: float, log: TextIO | None = None
) -> Session:
    """Run a command that has the repository's secret on its input, until it ends; its output goes to `log`.

    It ends with this side: when the channel closes, so does its input.
    """
    session = fleet.open(command, hosts=[host], deadline=_START_DEADLINE_S).raise_for_failures("cannot build:")[host]
    with closing(session):
        session.send(origin.secret_input)
        watched = Sessions([session])
        ends = time.monotonic() + deadline_s
        while True:
            ended = session.ended
            if log is not None:
                _write(log, origin, session.read_lines())
            if ended:
                return session
            if time.monotonic() > ends:
                raise InfrastructureError(f"{host} was still busy with {origin.url} after {deadline_s:.0f} s")
            watched.wait(_LOOK_S)


def _write(log: TextIO, origin: Origin, lines: list[str]) -> None:
    for line in lines:
        log.write(origin.hide(line) + "\n")
    if lines:
        log.flush()


def _reason(origin: Origin, session: Session) -> str:
    said = "\n    ".join(origin.hide(session.stderr).strip().splitlines()[-5:])
    return f"{session.failure or f'exit code {session.exit_status}'}: {said}"

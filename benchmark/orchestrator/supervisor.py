"""Start, watch and stop the processes of one run through the script supervise.sh on each host.

The script is a remote command whose standard input is held open. It starts processes at a given time, reports when they
started, became ready and exited, and stops them on request or when the runner is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol as Interface

from benchmark.errors import HostError, SystemFailure
from benchmark.host_scripts import read_script
from benchmark.protocols.process import AGREEMENT, Process
from benchmark.remote.fleet import Fleet

RUN_DIRECTORY = "run"
SCRIPT_NAME = "supervise.sh"
_PINGS = 5
_PING_S, _SILENT_S = 1.0, 7.0
"""While processes start, hosts are asked for an answer this often, and lost if there is none for so long."""
_ANSWERING = 'while read -r verb; do [ $verb != stop ] || { echo stopped; exit; }; echo "pong $EPOCHREALTIME"; done'
WATCH_COMMAND = f"exec bash -c 'export LC_ALL=C; {_ANSWERING}'"
"""Answers like a supervisor without processes."""
_LATEST = 32503680000.0
"""The year 3000 in Unix seconds."""
_TAIL, _SHOWN = 20, 8
_WHY_S = 7.0
"""Readiness checks end within 5 s."""


class Session(Interface):
    """A remote command that runs until it is closed."""

    def send(self, text: str) -> None:
        """Write to the command's standard input."""

    def read_lines(self) -> list[str]:
        """Return the complete lines printed since the last call, without waiting."""

    @property
    def ended(self) -> bool:
        """Whether the command has ended or its host is unreachable."""

    @property
    def failure(self) -> str | None:
        """Why the command did not run to its end; None if it did, or still runs."""

    def close(self) -> None:
        """End the command."""


@dataclass(frozen=True)
class Clock:
    """Offset of a host's clock from the operator's, positive if it is ahead, and the error bound; in seconds."""

    offset_s: float
    error_s: float


@dataclass
class ProcessState:
    """State of one process; times in Unix seconds of the operator's clock."""

    started: float | None = None
    ready: float | None = None
    exit_code: int | None = None
    """Null again if the process was started again."""
    started_again: float | None = None
    """The last start after a planned death; None if there was none."""
    ready_again: float | None = None


def read_clocks(fleet: Fleet, hosts: Sequence[str], deadline_s: float) -> dict[str, Clock]:
    """Measure the clocks of hosts that need not have any process; HostError if one does not answer."""
    opened = fleet.open(WATCH_COMMAND, hosts=hosts, deadline=deadline_s)
    try:
        return Supervisor(opened.raise_for_failures("could not read clocks:"), ()).measure_clocks(deadline_s)
    finally:
        for session in opened.ok.values():
            session.close()


def files(processes: Sequence[Process], working_dir: str, binaries: str | None = None) -> dict[str, bytes]:
    """Return the files of one host's run folder, content by path on the host.

    `binaries` is a folder within the working folder that comes first in PATH.
    """
    # A process starts in its own folder below the run's folder, from where the pattern gives the working folder.
    search = f'export PATH="${{PWD%/*/*}}/{binaries}:$PATH"\n' if binaries else ""
    base = f"{working_dir}/{RUN_DIRECTORY}"
    # The script comes first: it marks the folder as that of a run, which may be removed.
    found = {f"{base}/{SCRIPT_NAME}": read_script(SCRIPT_NAME).encode()}
    for process in processes:
        folder = f"{base}/{process.name}"
        found[f"{folder}/command"] = (search + process.script()).encode()
        for name, script in (("prepare", process.prepare_script()), (AGREEMENT, process.agreement_script())):
            if script:
                found[f"{folder}/{name}"] = (search + script).encode()
        found[f"{folder}/ready"] = (process.ready + "\n").encode() if process.ready else b""
        found[f"{folder}/alive"] = (process.alive + "\n").encode() if process.alive else found[f"{folder}/ready"]
        found[f"{folder}/grace"] = f"{process.grace}\n".encode()
        for path, content in process.files.items():
            found[f"{folder}/{path}"] = content.encode() if isinstance(content, str) else content
    return found


def prepare_command(processes: Sequence[Process], working_dir: str) -> str | None:
    """Return the command that prepares one host's processes and writes their logs; None if none needs it.

    If a preparation fails, the command prints the name of the process and its last log lines and ends with 1.
    """
    names = [process.name for process in processes if process.prepare]
    if not names:
        return None
    one = f'(cd "$name" && . ./prepare) >>logs/"$name".log 2>&1 || {{ echo "$name"; tail -n {_TAIL} logs/"$name".log; '
    loop = f"for name in {' '.join(names)}; do {one}exit 1; }}; done"
    return f"cd {working_dir}/{RUN_DIRECTORY} && mkdir -p logs && {loop}"


def command(working_dir: str) -> str:
    """Return the command that runs the script on a host."""
    return f"exec bash {working_dir}/{RUN_DIRECTORY}/{SCRIPT_NAME} {working_dir}/{RUN_DIRECTORY}"


@dataclass
class Supervisor:
    """Control all processes of one run; `sessions` maps each host's name to its script.

    Hosts that are `optional` have no processes: the run goes on without them.

    Life cycle: measure_clocks, then start and wait_ready for nodes and for clients, check as often as needed, stop.
    """

    sessions: Mapping[str, Session]
    processes: Sequence[Process]
    optional: Collection[str] = ()
    lost: dict[str, str] = field(default_factory=dict)
    """Optional hosts that were lost, and why."""
    clocks: dict[str, Clock] = field(default_factory=dict)
    states: dict[str, ProcessState] = field(default_factory=dict)
    planned_deaths: set[str] = field(default_factory=set)
    """Processes that may end, and have not been started again."""
    _reborn: set[str] = field(default_factory=set)
    """Processes that were started again."""
    _reported: set[str] = field(default_factory=set)
    _stopped: set[str] = field(default_factory=set)
    _silent: set[str] = field(default_factory=set)
    """Hosts that are lost although their session has not ended yet."""
    _found: dict[str, str] = field(default_factory=dict)
    """What the readiness checks of processes that are not ready found."""
    _answering: set[str] = field(default_factory=set)
    """Processes that still are ready, once they were asked."""
    _pongs: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.states = {process.name: ProcessState() for process in self.processes}

    def measure_clocks(self, deadline_s: float) -> dict[str, Clock]:
        """Measure the offset of every host's clock from the operator's.

        Of several exchanges the one with the shortest round trip counts, half of which bounds the error (Cristian
        1989). Raises HostError for hosts that do not answer.
        """
        for _ in range(_PINGS):
            self._pongs.clear()
            sent: dict[str, float] = {}
            for host, session in self.sessions.items():
                sent[host] = time.time()
                session.send("ping\n")
            if not self._wait(lambda: len(self._pongs) == len(self.sessions), deadline_s, pause_s=0.0005):
                silent = {h: f"no answer within {deadline_s:g} s" for h in self.sessions if h not in self._pongs}
                raise HostError("supervisors do not answer:", silent)
            for host, (remote, received) in self._pongs.items():
                half = (received - sent[host]) / 2
                if host not in self.clocks or half < self.clocks[host].error_s:
                    self.clocks[host] = Clock(offset_s=remote - (sent[host] + half), error_s=half)
        return self.clocks

    def start(self, processes: Sequence[Process], at: float) -> None:
        """Start `processes` at time `at` (Unix s, operator's clock), converted to each host's clock."""
        for process in processes:
            local = at + self.offset(process.host.name)
            self.sessions[process.host.name].send(f"start {process.name} {local:.6f}\n")

    def start_again(self, process: Process) -> None:
        """Start a process that has ended, at once; from now on it must not end."""
        state = self.states[process.name]
        state.exit_code = state.started_again = state.ready_again = None
        self._reborn.add(process.name)
        self.planned_deaths.discard(process.name)
        self.start([process], time.time())

    def end(self, process: Process) -> None:
        """Let a process end as at the end of a run, as planned."""
        self.planned_deaths.add(process.name)
        self.sessions[process.host.name].send(f"stop {process.name}\n")

    def wait_ready(self, processes: Sequence[Process], deadline_s: float) -> None:
        """Wait until all processes have started and those with a readiness check are ready.

        Raises SystemFailure if a process ends or the deadline passes first.
        """

        def missing() -> list[str]:
            states = [(process, self.states[process.name]) for process in processes]
            return [each.name for each, state in states if (state.ready if each.ready else state.started) is None]

        if not self._wait(lambda: not missing(), deadline_s, watch=True):
            names = missing()
            raise SystemFailure(
                f"{len(names)} of {len(processes)} processes not ready after {deadline_s:g} s, the "
                f"`health_check_timeout`:\n{self._why([each for each in processes if each.name in names])}",
                process=names[0],
            )

    def _why(self, processes: Sequence[Process]) -> str:
        """Return a line for each process with its readiness check and what the check found."""
        shown = processes[:_SHOWN]
        for process in shown:
            if process.ready and self.states[process.name].started is not None:
                self.sessions[process.host.name].send(f"why {process.name}\n")
        asked = {process.name for process in shown if process.ready and self.states[process.name].started is not None}
        self._wait(lambda: asked <= self._found.keys(), _WHY_S)
        lines = []
        for process in shown:
            found = self._found.get(process.name, "no answer") if process.name in asked else "it has not started"
            check = f"`{process.ready}`: " if process.ready else ""
            lines.append(f"  {process.name} on {process.host.name}: {check}{found}")
        more = [f"  and {len(processes) - _SHOWN} more"] if len(processes) > _SHOWN else []
        return "\n".join([*lines, *more])

    def unresponsive(self, processes: Sequence[Process]) -> dict[str, str]:
        """Return the reasons of those processes that no longer pass their readiness check, by name."""
        asked = [process for process in processes if process.ready]
        self._answering.clear()
        self._found.clear()
        for process in asked:
            self.sessions[process.host.name].send(f"probe {process.name}\n")
        names = {process.name for process in asked}
        self._wait(lambda: names <= self._answering | self._found.keys(), 2 * _WHY_S)
        return {name: self._found.get(name, "no answer") for name in sorted(names - self._answering)}

    def skew(self, processes: Sequence[Process]) -> float:
        """Return the time between the first and the last start of `processes` in seconds."""
        times = [began for process in processes if (began := self.states[process.name].started) is not None]
        return max(times) - min(times) if times else 0.0

    def send(self, processes: Sequence[Process], text: Callable[[Process], str]) -> None:
        """Send a line to the standard input of each process."""
        for process in processes:
            self.sessions[process.host.name].send(f"send {process.name} {text(process)}\n")

    def start_load(self, processes: Sequence[Process], at: float) -> None:
        """Let clients start their load at time `at` (Unix s, operator's clock), converted to each host's clock."""
        self.send(processes, lambda process: f"go {at + self.offset(process.host.name):.6f}")

    def check(self) -> None:
        """Raise SystemFailure if a process has ended, HostError if the connection to a host is lost."""
        self._read()
        for process in self.processes:
            code = self.states[process.name].exit_code
            if code is not None and process.name not in self.planned_deaths:
                how = f"by signal {code - 128}" if code > 128 else f"with exit code {code}"
                raise SystemFailure(f"{process.name} on {process.host.name} ended {how}", process=process.name)
        gone = {h: s.failure or "its supervise.sh ended" for h, s in self.sessions.items() if s.ended}
        if gone := self._required(gone):
            raise HostError("lost the connection to hosts during the run:", gone)

    def stop(self, deadline_s: float) -> list[str]:
        """Stop all processes; return the hosts that did not confirm it before the deadline, or cannot any more.

        Clients stop first, so that they can complete their requests and write what they have. An interrupt
        is raised only after that. All sessions are closed, which also ends the processes.
        """

        def answering() -> list[str]:
            waited_for = self.sessions.keys() - self._stopped - self._silent
            return [host for host in waited_for if not self.sessions[host].ended]

        def order(host: str, text: str) -> None:
            try:
                self.sessions[host].send(text)
            except HostError:
                self._silent.add(host)

        def running_clients() -> list[Process]:
            hosts, states = answering(), self.states
            clients = [each for each in self.processes if each.job != "node" and each.host.name in hosts]
            return [each for each in clients if states[each.name].started and states[each.name].exit_code is None]

        def stop_clients() -> None:
            clients = running_clients()
            for process in clients:
                order(process.host.name, f"stop {process.name}\n")
            if clients:
                self._wait(lambda: not running_clients(), min(deadline_s, max(each.grace for each in clients) + 1.0))

        def confirm() -> list[str]:
            for host in answering():
                order(host, "stop\n")
            self._wait(lambda: not answering(), deadline_s)
            return [host for host in self.sessions if host not in self._stopped]

        try:
            try:
                stop_clients()
                return confirm()
            except KeyboardInterrupt:
                confirm()
                raise
        finally:
            for session in self.sessions.values():
                session.close()

    def new_losses(self) -> dict[str, str]:
        """Return the optional hosts that were lost since the last call, and why."""
        found = {host: reason for host, reason in self.lost.items() if host not in self._reported}
        self._reported |= found.keys()
        return found

    def _required(self, gone: Mapping[str, str]) -> dict[str, str]:
        """Do without those lost hosts that are optional, and return the others."""
        self.lost |= {host: reason for host, reason in gone.items() if host in self.optional}
        for host in self.lost.keys() & self.sessions.keys():
            self.sessions[host].close()
        self.sessions = {host: session for host, session in self.sessions.items() if host not in self.lost}
        return {host: reason for host, reason in gone.items() if host not in self.lost}

    def offset(self, host: str) -> float:
        """Return by how many seconds the clock of a host is ahead of the operator's; 0 if it was not measured."""
        clock = self.clocks.get(host)
        return clock.offset_s if clock else 0.0

    def _wait(
        self, done: Callable[[], bool], deadline_s: float, *, pause_s: float = 0.005, watch: bool = False
    ) -> bool:
        """Read until `done` or the deadline, return whether `done`.

        With `watch`, SystemFailure if a process ends meanwhile, HostError if a host does not answer for some seconds:
        the connections to it would take longer to fail.
        """
        end = time.monotonic() + deadline_s
        next_ping = time.monotonic() + _PING_S
        answered = dict.fromkeys(self.sessions, time.monotonic())
        while True:
            self._read()
            if done():
                return True
            if watch:
                self.check()
                now = time.monotonic()
                answered |= dict.fromkeys(self._pongs, now)
                if now >= next_ping:
                    self._pongs.clear()
                    for session in self.sessions.values():
                        session.send("ping\n")
                    next_ping = now + _PING_S
                    reason = f"no answer within {_SILENT_S:g} s"
                    silent = {host: reason for host in self.sessions if now - answered[host] > _SILENT_S}
                    if silent := self._required(silent):
                        self._silent = set(silent)
                        raise HostError("lost hosts while processes started:", silent)
            if time.monotonic() > end:
                return False
            time.sleep(pause_s)

    def _read(self) -> None:
        for host, session in self.sessions.items():
            for line in session.read_lines():
                with suppress(KeyError, ValueError):
                    self._take(host, line.split())

    def _take(self, host: str, words: Sequence[str]) -> None:
        """Note one line; what is not a line of the script is ignored."""
        match words:
            case ["pong", at]:
                self._pongs[host] = (_moment(at), time.time())
            case ["started" | "ready" as what, name, at]:
                attribute = f"{what}_again" if name in self._reborn else what
                setattr(self.states[name], attribute, _moment(at) - self.offset(host))
            case ["answers", name]:
                self._answering.add(name)
            case ["found", name, *rest]:
                self._found[name] = " ".join(rest)
            case ["exited", name, code]:
                self.states[name].exit_code = int(code)
            case ["stopped"]:
                self._stopped.add(host)


def _moment(text: str) -> float:
    """Read a Unix time; ValueError if it is none of this millennium, with which nothing could be computed."""
    found = float(text)
    if not 0 <= found < _LATEST:
        raise ValueError(text)
    return found

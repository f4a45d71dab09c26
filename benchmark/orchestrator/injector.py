"""Inject the faults of a run through the script inject.pyz on each host of a node, prove them, heal them, record them.

Every fault is prepared, injected, proved in force, held, healed and proved healed. What is not proved makes the run
invalid. The hosts heal faults themselves when their deadline passes or the connection to the runner is lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from shlex import join

from pydantic import JsonValue, TypeAdapter, ValidationError

from benchmark.errors import HostError, InfrastructureError, UsageError
from benchmark.faults.kinds import Crash, Pause, Restart
from benchmark.faults.record import FaultRecord
from benchmark.faults.schedule import ScheduledFault, resolve
from benchmark.faults.targets import Committee
from benchmark.host_scripts import build_archive
from benchmark.orchestrator.mechanisms import mechanism_names, mechanisms
from benchmark.orchestrator.supervisor import RUN_DIRECTORY, Supervisor
from benchmark.protocols.process import Process
from benchmark.remote.fleet import Session
from benchmark.results.events import Event, FaultHealed, FaultInjected, WarningIssued

SCRIPT_NAME = "inject.pyz"
_PREPARE_S = 0.5
"""Faults whose nodes are known are prepared this long before they begin: a probe takes a round trip."""
_ANSWER_S = 15.0
_PROVE_S = 5.0
"""Time in which a fault must be seen in force, and seen healed."""
_AGAIN_S = 0.1
_SLACK_S = 20.0
"""Time after its planned end until a host heals a fault without an order."""
_LONGEST_TEXT = 300
_UNREACHABLE = ("reach", "loss", "flap")
"""Changes of links by which probes may get no answer."""
_Steps = Generator[None, None, None]


@dataclass(frozen=True)
class _Answer:
    """One line of the script; times by its host's clock."""

    do: str
    id: str
    began: float
    at: float
    ok: bool
    text: str


_ANSWERS = TypeAdapter(_Answer)


class _FaultError(Exception):
    """Why a fault makes the run invalid."""


def files(working_dir: str) -> dict[str, bytes]:
    """Return the files that a host with faults needs, content by path on the host."""
    return {f"{working_dir}/{RUN_DIRECTORY}/{SCRIPT_NAME}": build_archive("inject")}


def command(working_dir: str, run_id: str, *, root: bool) -> str:
    """Return the command that runs the script on a host, as `root` or through sudo if faults require that."""
    folder = f"{working_dir}/{RUN_DIRECTORY}"
    words = join(["python3", "-I", "-S", f"{folder}/{SCRIPT_NAME}", "serve", folder, run_id])
    plain = f"exec {words} $SSH_CONNECTION"
    return f'[ "$(id -u)" = 0 ] || exec sudo -n {words} $SSH_CONNECTION; {plain}' if root else plain


@dataclass
class Injector:
    """All faults of one run; `sessions` maps the host of each node to its script.

    Life cycle: `check` before anything starts, `begin` when the measured window does, `advance` as often as needed,
    `finish` when the window is over, `close` in every case.
    """

    sessions: Mapping[str, Session]
    schedule: list[ScheduledFault]
    committee: Committee
    supervisor: Supervisor
    find_leader: Callable[[], str]
    """Returns the host of the leading node; InfrastructureError if it is unknown."""
    emit: Callable[[Event], None]
    ready_s: float
    """Time in which processes that start again must be ready."""
    records: dict[str, FaultRecord] = field(default_factory=dict)
    """By the fault's id, in the order of the schedule."""
    _lives: dict[str, _Steps] = field(default_factory=dict)
    _answers: dict[tuple[str, str, str], _Answer] = field(default_factory=dict)
    """By host, fault and order."""
    _window: tuple[float, float] = (0.0, 0.0)
    _over: bool = False
    _addresses: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        processes = (*self.committee.nodes, *self.committee.clients)
        self._addresses = {process.host.name: process.host.address for process in processes}
        for fault in self.schedule:
            effect = fault.effect
            self.records[fault.id] = FaultRecord(
                kind=fault.kind.name,
                target=fault.target,
                nodes=effect.nodes if effect else (),
                hosts=effect.hosts if effect else (),
                bridge=effect.bridge if effect else (),
                parameters=fault.kind.model_dump(mode="json", exclude_none=True),
                seed=fault.seed,
                scheduled_start_s=fault.start_s,
                scheduled_end_s=fault.end_s,
                injected=None,
                in_force=None,
                healing=None,
                healed=None,
                problem="it was not injected: the run ended before",
            )

    def check(self) -> None:
        """Require that all hosts can inject the scheduled faults; HostError names the others."""
        kinds = sorted({name for fault in self.schedule for name in mechanism_names(fault.kind)})
        for session in self.sessions.values():
            session.send(json.dumps({"do": "check", "id": "", "kinds": kinds}) + "\n")
        end = time.monotonic() + _ANSWER_S
        while time.monotonic() < end and not all(
            session.ended or (host, "", "check") in self._answers for host, session in self.sessions.items()
        ):
            time.sleep(0.005)
            self._read()
        problems = {}
        for host, session in self.sessions.items():
            answer = self._answers.get((host, "", "check"))
            if answer is None:
                problems[host] = session.stderr.strip() or session.failure or f"no answer within {_ANSWER_S:g} s"
            elif not answer.ok:
                problems[host] = answer.text
        if problems:
            raise HostError("faults cannot be injected on hosts:", problems)

    def begin(self, start: float, end: float) -> None:
        """Set the measured window, Unix s of the operator's clock, to which the schedule refers."""
        self._window = start, end
        self._lives = {fault.id: self._live(index) for index, fault in enumerate(self.schedule)}

    def advance(self) -> None:
        """Do what is due; HostError if a script has ended."""
        self._read()
        if gone := {
            host: each.failure or f"its {SCRIPT_NAME} ended" for host, each in self.sessions.items() if each.ended
        }:
            raise HostError("lost the fault injection on hosts:", gone)
        for name, life in list(self._lives.items()):
            try:
                next(life)
            except StopIteration:
                del self._lives[name]

    def finish(self, watch: Callable[[], None]) -> None:
        """Heal all faults and wait until they are; `watch` is called meanwhile."""
        self._over = True
        while self._lives:
            watch()
            self.advance()
            time.sleep(0.01)

    def close(self, deadline_s: float) -> list[str]:
        """End the scripts, which heal what is left; return the hosts that did not end before the deadline."""
        for session in self.sessions.values():
            with suppress(HostError):
                session.finish_input()
        end = time.monotonic() + deadline_s
        while (left := [host for host, each in self.sessions.items() if not each.ended]) and time.monotonic() < end:
            time.sleep(0.01)
        for session in self.sessions.values():
            session.close()
        return [host for host, session in self.sessions.items() if host in left or session.exit_status]

    def _live(self, index: int) -> _Steps:
        """Go through the life of a fault; each step returns at once."""
        fault = self.schedule[index]
        begin = self._window[0] + fault.start_s
        yield from self._until(begin - (_PREPARE_S if fault.effect else 0.0))
        problems = []
        try:
            try:
                fault = self._resolve(fault)
                self.schedule[index] = fault
                parts = mechanisms(fault, self.committee, self._addresses)
                yield from self._order(fault, parts, "prepare")
                yield from self._until(begin)
                if time.time() < begin:
                    raise _FaultError("the measured window was over")
            except (_FaultError, InfrastructureError, UsageError) as error:
                raise _FaultError(f"was not injected: {error}") from None
            yield from self._inject(fault, parts)
            yield from self._hold(fault, parts)
        except _FaultError as error:
            problems.append(str(error))
        if self.records[fault.id].injected is not None:
            try:
                yield from self._heal(fault, parts)
            except _FaultError as error:
                problems.append(f"was not healed: {error}")
        self._note(fault, problem="; ".join(problems))
        for problem in problems:
            self.emit(WarningIssued(f"fault {self.records[fault.id]} {problem}"))

    def _resolve(self, fault: ScheduledFault) -> ScheduledFault:
        leader = None
        if fault.effect is None and fault.depends_on_leader:
            host = self.find_leader()
            leader = next((node.name for node in self.committee.nodes if node.host.name == host), None)
        found = resolve(fault, self.committee, self.schedule, leader)
        assert found.effect is not None
        self._note(found, nodes=found.effect.nodes, hosts=found.effect.hosts, bridge=found.effect.bridge)
        return found

    def _inject(self, fault: ScheduledFault, parts: Mapping[str, list[JsonValue]]) -> _Steps:
        """Inject a fault and wait until it is proved; _FaultError if it is not."""
        end = self._window[1] if fault.end_s is None else self._window[0] + fault.end_s
        deadline_s = max(0.0, end - time.time()) + _SLACK_S
        if fault.kind.ends_processes or (fault.kind.stops_processes and not isinstance(fault.kind, Pause)):
            self.supervisor.planned_deaths |= {process.name for process in self._processes(fault)}
        self._note(fault, injected=time.time(), problem="the run ended before it was healed")
        done = yield from self._order(fault, parts, "inject", deadline_s=deadline_s)
        self._note(fault, injected=min(self._local(host, answer.began) for host, answer in done.items()))
        if isinstance(fault.kind, Restart):
            for process in self._processes(fault):
                self.supervisor.end(process)
        patience = fault.kind.patience_s + max([_PROVE_S, *(each.grace + _PROVE_S for each in self._processes(fault))])
        proved = yield from self._prove(fault, parts, "prove", patience)
        force = proved if isinstance(fault.kind, Restart) else done
        self._note(
            fault,
            in_force=max(self._local(host, answer.at) for host, answer in force.items()),
            proof=_join(proved),
        )
        self.emit(
            FaultInjected(str(self.records[fault.id]), self.records[fault.id].nodes, self.records[fault.id].proof)
        )

    def _hold(self, fault: ScheduledFault, parts: Mapping[str, list[JsonValue]]) -> _Steps:
        """Wait for the end of a fault; _FaultError if it is no longer in force then."""
        if fault.end_s is None:
            yield from self._until(float("inf"))
        elif fault.end_s > fault.start_s:
            early = min(fault.kind.held_proof_s, (fault.end_s - fault.start_s) / 2)
            yield from self._until(self._window[0] + fault.end_s - early)
        else:
            return
        held = yield from self._order(fault, parts, "prove_held", check=False)
        if failed := {host: answer for host, answer in held.items() if not answer.ok}:
            raise _FaultError(f"was no longer in force at its end: {_join(failed)}")
        if (text := _join(held)) != self.records[fault.id].proof:
            self._note(fault, proof=f"{self.records[fault.id].proof}; at its end: {text}")
        if fault.end_s is not None:
            yield from self._until(self._window[0] + fault.end_s)

    def _heal(self, fault: ScheduledFault, parts: Mapping[str, list[JsonValue]]) -> _Steps:
        """Heal a fault and wait until that is proved; _FaultError if it is not."""
        again = self._processes(fault) if fault.kind.stops_processes and not isinstance(fault.kind, Pause) else ()
        if fault.end_s is None and isinstance(fault.kind, Crash):
            return  # it is permanent
        done = yield from self._order(fault, parts, "heal")
        self._note(fault, healing=min(self._local(host, answer.began) for host, answer in done.items()))
        healed = max(self._local(host, answer.at) for host, answer in done.items())
        if again and fault.end_s is not None:
            yield from self._start_again(again)
            states = [self.supervisor.states[process.name] for process in again]
            healed = max([healed, *(each.ready_again or each.started_again or healed for each in states)])
        cut: list[JsonValue] = [
            self._addresses[host]
            for other in self.schedule
            if other.id != fault.id
            and other.id in self._lives
            and self.records[other.id].injected
            and other.kind.changes in _UNREACHABLE
            and other.effect
            for host in other.effect.hosts
        ]
        proved = yield from self._prove(fault, parts, "prove_healed", _PROVE_S, cut=cut)
        text = _join(proved)
        if fault.kind.ends_processes:
            text += yield from self._restore(fault)
        self._note(fault, healed=healed, healed_proof=text)
        self.emit(
            FaultHealed(str(self.records[fault.id]), self.records[fault.id].nodes, self.records[fault.id].healed_proof)
        )

    def _restore(self, fault: ScheduledFault) -> Generator[None, None, str]:
        """Start the processes again that ended of a fault, unless it was permanent; return what was done."""
        states, processes = self.supervisor.states, self._processes(fault)
        codes = {each.name: states[each.name].exit_code for each in processes}
        self.supervisor.planned_deaths -= {name for name, code in codes.items() if code is None}
        ended = [each for each in processes if codes[each.name] is not None]
        if ended and fault.end_s is not None:
            yield from self._start_again(ended)
        again = "" if fault.end_s is None else ", and is ready again"
        return "".join(f"; {each.name} had ended with exit code {codes[each.name]}{again}" for each in ended)

    def _start_again(self, processes: Sequence[Process]) -> _Steps:
        states = self.supervisor.states
        end = time.monotonic() + _PROVE_S
        while missing := [each.name for each in processes if states[each.name].exit_code is None]:
            if time.monotonic() > end:
                raise _FaultError(f"{', '.join(missing)} did not end")
            yield
        for process in processes:
            self.supervisor.start_again(process)
        end = time.monotonic() + self.ready_s
        while missing := [
            each.name
            for each in processes
            if (states[each.name].ready_again if each.ready else states[each.name].started_again) is None
        ]:
            if time.monotonic() > end:
                raise _FaultError(f"{', '.join(missing)} not ready within {self.ready_s:g} s of another start")
            yield

    def _until(self, moment: float) -> _Steps:
        while time.time() < moment and not self._over:
            yield

    def _prove(
        self,
        fault: ScheduledFault,
        hosts: Collection[str],
        do: str,
        patience: float,
        **details: JsonValue,
    ) -> Generator[None, None, dict[str, _Answer]]:
        """Repeat an order until all hosts have proved what it is about; _FaultError if they do not."""
        end = time.monotonic() + patience
        found: dict[str, _Answer] = {}
        while True:
            found |= yield from self._order(
                fault, [host for host in hosts if host not in found or not found[host].ok], do, check=False, **details
            )
            if all(answer.ok for answer in found.values()):
                return found
            if time.monotonic() > end:
                failed = {host: answer for host, answer in found.items() if not answer.ok}
                raise _FaultError(f"{'was not in force: ' if do == 'prove' else ''}{_join(failed)}")
            again = time.monotonic() + _AGAIN_S
            while time.monotonic() < again:
                yield

    def _order(
        self,
        fault: ScheduledFault,
        hosts: Collection[str] | Mapping[str, list[JsonValue]],
        do: str,
        *,
        check: bool = True,
        **details: JsonValue,
    ) -> Generator[None, None, dict[str, _Answer]]:
        """Order hosts to do something and wait for their answers; with `check`, _FaultError if one failed."""
        for host in hosts:
            order: dict[str, JsonValue] = {"do": do, "id": fault.id, **details}
            if do == "prepare" and isinstance(hosts, Mapping):
                order["mechanisms"] = hosts[host]
            self._answers.pop((host, fault.id, do), None)
            self.sessions[host].send(f"{json.dumps(order)}\n")
        end = time.monotonic() + _ANSWER_S
        while missing := [host for host in hosts if (host, fault.id, do) not in self._answers]:
            if time.monotonic() > end:
                raise _FaultError(f"no answer to `{do}` within {_ANSWER_S:g} s from {', '.join(missing)}")
            yield
        found = {host: self._answers[host, fault.id, do] for host in hosts}
        if check and (failed := {host: answer for host, answer in found.items() if not answer.ok}):
            raise _FaultError(_join(failed))
        return found

    def _read(self) -> None:
        for host, session in self.sessions.items():
            for line in session.read_lines():
                with suppress(ValidationError):
                    answer = _ANSWERS.validate_json(line)
                    self._answers[host, answer.id, answer.do] = answer

    def _processes(self, fault: ScheduledFault) -> list[Process]:
        assert fault.effect is not None
        return [node for node in self.committee.nodes if node.name in fault.effect.nodes]

    def _local(self, host: str, moment: float) -> float:
        """Convert a time of a host's clock to the operator's."""
        return moment - self.supervisor.offset(host)

    def _note(self, fault: ScheduledFault, **known: object) -> None:
        self.records[fault.id] = self.records[fault.id].model_copy(update=known)


def _join(answers: Mapping[str, _Answer]) -> str:
    """Return what hosts said, as one line without control characters."""
    texts = [f"{host}: {answer.text}" if answer.text else host for host, answer in answers.items()]
    return "".join(letter if letter.isprintable() else " " for letter in "; ".join(texts))[:_LONGEST_TEXT]

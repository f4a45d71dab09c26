"""Ask all nodes for what they must agree on, once the load is over and all faults are healed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from benchmark.orchestrator.context import RunContext, RunState
from benchmark.orchestrator.supervisor import Supervisor
from benchmark.protocols.process import AGREEMENT, Process
from benchmark.results.verification import Agreement

_COMMAND_S = 10
_AGAIN_S, _POLL_S = 0.5, 0.01
_SLACK_S = 1.0
_SHOWN = 200
_KEPT = 1000


def settle(run: RunContext, state: RunState, supervisor: Supervisor, watch: Callable[[], None]) -> None:
    """End the load and wait until all nodes agree, in runs that verify this; `watch` is called meanwhile."""
    if not run.request.verify or "agreement" not in run.request.protocol.checks:
        return
    with run.events.phase("settle"):
        load = [process for process in run.deployment.processes if process.job != "node"]
        for process in load:
            supervisor.end(process)
        deadline = time.monotonic() + max((process.grace for process in load), default=0) + _SLACK_S
        while time.monotonic() < deadline and any(supervisor.states[each.name].exit_code is None for each in load):
            _pause(watch, _POLL_S)
        state.agreement = _agree(run, supervisor, watch)


def _agree(run: RunContext, supervisor: Supervisor, watch: Callable[[], None]) -> Agreement:
    """Ask all nodes until they give the same answer, or until the time that the protocol has for that is over.

    Nodes that a fault has stopped for good are not asked, so that the verdict cannot be `ok`.
    """
    began, nodes = time.monotonic(), run.deployment.nodes
    asked = [node for node in nodes if node.name not in supervisor.planned_deaths]
    while True:
        watch()
        answers = _ask(run, asked)
        seconds = time.monotonic() - began
        found = judge_answers([node.name for node in nodes], answers, seconds)
        if found.verdict == "ok" or seconds > run.request.protocol.agreement_within_s:
            return found
        _pause(watch, _AGAIN_S)


def _pause(watch: Callable[[], None], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watch()
        time.sleep(_POLL_S)


def judge_answers(nodes: Sequence[str], answers: Mapping[str, str], seconds: float) -> Agreement:
    """Return the verdict on the answers of nodes, by name."""
    silent = [node for node in nodes if node not in answers]
    groups: dict[str, list[str]] = {}
    for node, answer in answers.items():
        groups.setdefault(answer, []).append(node)
    kept = {node: answer[:_KEPT] for node, answer in answers.items()}
    if len(groups) > 1:
        texts = [f"{_shorten(answer)!r} on {', '.join(members)}" for answer, members in groups.items()]
        return Agreement(verdict="violation", reason="; ".join(texts[:8]), answers=kept, seconds=seconds)
    if silent:
        reason = f"no answer from {', '.join(silent)}; {len(answers)} of {len(nodes)} nodes agree"
        return Agreement(verdict="unknown", reason=reason, answers=kept, seconds=seconds)
    return Agreement(verdict="ok", answers=kept, seconds=seconds)


def _shorten(answer: str) -> str:
    return answer if len(answer) <= _SHOWN else f"{answer[:_SHOWN]}…"


def _ask(run: RunContext, nodes: Sequence[Process]) -> dict[str, str]:
    """Return the answers of nodes by name; a command that fails or prints nothing is no answer."""
    commands = {
        node.host.name: f"cd {run.directory}/{node.name} && timeout -s KILL {_COMMAND_S} bash ./{AGREEMENT}"
        for node in nodes
    }
    done = run.testbed.fleet.run(commands, deadline=_COMMAND_S + 5.0, check=False).ok
    answers = {node.name: done[node.host.name] for node in nodes if node.host.name in done}
    return {
        name: answer.stdout.strip()
        for name, answer in answers.items()
        if answer.exit_code == 0 and answer.stdout.strip()
    }

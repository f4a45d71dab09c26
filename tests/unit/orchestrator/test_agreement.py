"""Nodes are asked what they agree on once the load is over; a node that gives no answer is no agreement."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from fakes.fleet import FakeFleet
from fakes.recorder import Recorder

from benchmark.orchestrator.agreement import judge_answers
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.protocols.process import Plan, Process
from benchmark.results.summary import Summary
from benchmark.settings import parse_fault

pytestmark = pytest.mark.usefixtures("fast")
NODES = ("node-0", "node-1", "node-2")


class Agreeing(Etcd):
    """A system whose nodes print what they agree on."""

    checks = ("agreement",)
    agreement_within_s = 0.05

    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        return tuple(dataclasses.replace(each, agreement=("hash", each.name)) for each in super().nodes(plan))


@pytest.mark.parametrize(
    ("answers", "verdict", "reason"),
    [
        ({"node-0": "a", "node-1": "a", "node-2": "a"}, "ok", ""),
        ({"node-0": "a", "node-1": "b", "node-2": "a"}, "violation", "'a' on node-0, node-2; 'b' on node-1"),
        ({"node-0": "a", "node-2": "a"}, "unknown", "no answer from node-1; 2 of 3 nodes agree"),
        ({"node-0": "a", "node-2": "b"}, "violation", "'a' on node-0; 'b' on node-2"),
        ({}, "unknown", "no answer from node-0, node-1, node-2; 0 of 3 nodes agree"),
    ],
)
def test_every_node_must_give_the_same_answer(answers: dict[str, str], verdict: str, reason: str) -> None:
    found = judge_answers(NODES, answers, 1.5)
    assert (found.verdict, found.reason, found.answers) == (verdict, reason, answers)


def test_long_answers_are_compared_whole() -> None:
    found = judge_answers(NODES, {"node-0": "a" * 5000, "node-1": "a" * 5000 + "b", "node-2": "a" * 5000}, 0.0)
    assert found.verdict == "violation"
    assert len(found.reason) < 600
    assert {len(answer) for answer in found.answers.values()} == {1000}


def test_nodes_are_asked_after_the_clients_have_ended(
    execute: Callable[..., Summary], fleet: FakeFleet, recorder: Recorder
) -> None:
    fleet.answers = {"bash ./agreement": "height 7\n"}
    found = execute(protocol=Agreeing(EtcdNode(), EtcdClient()), verify=True)
    assert found.agreement is not None
    assert (found.agreement.verdict, found.agreement.answers) == ("ok", dict.fromkeys(NODES, "height 7"))
    assert found.verification is None
    assert recorder.phases()[-4:] == ["measure", "settle", "stop", "collect"]
    orders = [line for session in fleet.supervisors() for line in session.sent if line.startswith("stop")]
    assert {f"stop client-{index}" for index in range(3)} <= set(orders)
    asked = [command for command in fleet.commands if "./agreement" in command]
    assert len(asked) == 3
    assert "geobench/run/node-0 && timeout -s KILL 10 bash ./agreement" in "".join(asked)


def test_nodes_that_disagree_make_the_run_invalid(execute: Callable[..., Summary], fleet: FakeFleet) -> None:
    first, *others = fleet.hosts
    del first  # the monitoring host
    fleet.replies = {host: {"bash ./agreement": f"height {index // 2}"} for index, host in enumerate(others)}
    found = execute(protocol=Agreeing(EtcdNode(), EtcdClient()), verify=True)
    assert found.status == "invalid"
    assert found.reasons[0].startswith("the nodes disagree: 'height ")


def test_a_node_that_a_fault_stopped_for_good_is_no_agreement(
    execute: Callable[..., Summary], fleet: FakeFleet
) -> None:
    fleet.answers = {"bash ./agreement": "height 7\n"}
    fault = parse_fault("crash:node-1@5ms")
    found = execute(protocol=Agreeing(EtcdNode(), EtcdClient()), verify=True, faults=(fault,), duration_s=1.0)
    assert found.agreement is not None
    assert (found.agreement.verdict, sorted(found.agreement.answers)) == ("unknown", ["node-0", "node-2"])
    assert "whether the nodes agree is unknown: no answer from node-1; 2 of 3 nodes agree" in found.warnings


def test_nodes_are_not_asked_without_verify(execute: Callable[..., Summary], fleet: FakeFleet) -> None:
    assert execute(protocol=Agreeing(EtcdNode(), EtcdClient())).agreement is None
    assert not any("./agreement" in command for command in fleet.commands)

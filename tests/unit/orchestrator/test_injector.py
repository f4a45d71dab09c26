"""Faults of runs on hosts that are fakes: their life cycle, and runs that are invalid because a proof is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.fleet import FakeFleet
from fakes.recorder import Recorder
from pydantic import TypeAdapter

from benchmark.errors import HostError, SystemFailure
from benchmark.faults.kinds import Flap, Jitter, Kind
from benchmark.faults.record import FaultRecord
from benchmark.orchestrator import injector
from benchmark.results.events import Event, FaultHealed, FaultInjected, WarningIssued
from benchmark.results.manifest import Manifest, read_manifest
from benchmark.results.summary import Summary
from benchmark.settings import parse_fault

pytestmark = pytest.mark.usefixtures("fast", "impatient")
PARAMETERS = {
    "loss": ",share=30%", "delay": ",delay=9ms", "jitter": ",jitter=9ms", "bandwidth": ",rate=9Mbit",
    "flap": ",period=1s",
}  # fmt: skip
Run = Callable[..., tuple[Summary, Manifest]]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what is waited for where something is not proved."""
    for name, seconds in {"_PROVE_S": 0.2, "_AGAIN_S": 0.005, "_PREPARE_S": 0.01}.items():
        monkeypatch.setattr(injector, name, seconds)


@pytest.fixture
def run(execute: Callable[..., Summary], folder: Callable[[], Path]) -> Run:
    """Run with faults for 0.7 s: enough for each step of a fault on a machine that is busy."""

    def run(*texts: str, **fields: object) -> tuple[Summary, Manifest]:
        summary = execute(duration_s=0.7, faults=tuple(map(parse_fault, texts)), **fields)
        return summary, read_manifest(folder())

    return run


def orders(fleet: FakeFleet) -> list[str]:
    """The orders that scripts got, without repetitions."""
    sent = [line.partition('"do": "')[2].partition('"')[0] for each in fleet.injectors() for line in each.sent]
    return list(dict.fromkeys(sent))


def require_moments(fault: FaultRecord, manifest: Manifest) -> None:
    """Require that a fault went through its states at the times of its schedule."""
    assert manifest.times
    assert None not in (fault.injected, fault.in_force, fault.healing, fault.healed)
    assert fault.injected is not None
    assert fault.in_force is not None
    assert fault.healing is not None
    assert fault.healed is not None
    assert manifest.times.start + fault.scheduled_start_s <= fault.injected <= fault.in_force
    assert fault.in_force < manifest.times.start + (fault.scheduled_end_s or 1) <= fault.healing <= fault.healed


def test_a_fault_is_prepared_injected_proved_held_healed_and_proved_healed(
    run: Run, fleet: FakeFleet, recorder: Recorder
) -> None:
    summary, manifest = run("partition:node-1@50ms-500ms")
    assert orders(fleet) == ["check", "prepare", "inject", "prove", "prove_held", "heal", "prove_healed"]
    (fault,) = manifest.faults
    require_moments(fault, manifest)
    host = manifest.placement.nodes[1]
    assert (fault.nodes, fault.hosts) == (("node-1",), (host,))
    assert fault.proof == f"{host}: prove seen; at its end: {host}: prove_held seen"
    assert (fault.healed_proof, fault.problem) == (f"{host}: prove_healed seen", "")
    assert not any("fault" in reason for reason in summary.reasons)
    shown = [event for event in recorder.events if isinstance(event, FaultInjected | FaultHealed)]
    assert [(type(event), event.fault, event.nodes) for event in shown] == [
        (FaultInjected, "partition:node-1@0.05s-0.5s", ("node-1",)),
        (FaultHealed, "partition:node-1@0.05s-0.5s", ("node-1",)),
    ]
    assert all(session.closed for session in fleet.sessions)


@pytest.mark.parametrize(
    ("kind", "order", "problem"),
    [
        ("partition", "prepare", "was not injected: "),
        ("partition", "inject", ""),
        ("partition", "prove", "was not in force: "),
        ("crash", "prove", "was not in force: "),
        ("pause", "prove", "was not in force: "),
        ("loss", "prove_held", "was no longer in force at its end: "),
        ("delay", "prove", "was not in force: "),
        ("jitter", "prove_held", "was no longer in force at its end: "),
        ("bandwidth", "prove", "was not in force: "),
        ("flap", "prove", "was not in force: "),
        ("pause", "heal", "was not healed: "),
        ("crash", "prove_healed", "was not healed: "),
    ],
)
def test_a_run_is_invalid_if_any_step_of_a_fault_fails(
    run: Run, fleet: FakeFleet, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, kind: str, order: str, problem: str
) -> None:
    fleet.unproved = {order: "pid 7 still runs"}
    monkeypatch.setattr(Kind, "patience_s", 0.0)
    monkeypatch.setattr(Jitter, "patience_s", 0.0)
    monkeypatch.setattr(Flap, "patience_s", 0.0)
    summary, manifest = run(f"{kind}:node-1{PARAMETERS.get(kind, '')}@20ms-400ms")
    (fault,) = manifest.faults
    hosts = manifest.placement.nodes if kind in ("delay", "jitter") else manifest.placement.nodes[1:2]
    assert sorted(fault.problem.removeprefix(problem).split("; ")) == sorted(
        f"{host}: pid 7 still runs" for host in hosts
    )
    assert summary.status == "invalid"
    assert f"fault {kind}:node-1 {fault.problem}" in summary.reasons
    warnings = [event.text for event in recorder.events if isinstance(event, WarningIssued)]
    assert any(fault.problem in warning for warning in warnings)
    assert order == "prepare" or "heal" in orders(fleet)  # it may be in force without a proof
    assert (fault.injected is None) == (order == "prepare")
    assert (fault.in_force is None) == (order in ("prepare", "inject", "prove"))
    assert (fault.healed is None) == (order in ("prepare", "heal", "prove_healed"))


def test_a_script_that_does_not_answer_makes_the_run_invalid(
    run: Run, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injector, "_ANSWER_S", 0.1)
    not_understood = TypeAdapter(int)
    recorder.act_in("measure", lambda: monkeypatch.setattr(injector, "_ANSWERS", not_understood))
    summary, manifest = run("pause:node-1@20ms-400ms")
    assert manifest.faults[0].problem.startswith("was not injected: no answer to `prepare` within 0.1 s from ")
    assert summary.status == "invalid"


def test_a_planned_death_does_not_end_the_run_and_the_process_starts_again(run: Run, fleet: FakeFleet) -> None:
    _, manifest = run("crash:node-1@50ms-500ms")
    (fault,) = manifest.faults
    require_moments(fault, manifest)
    state = manifest.processes["node-1"]
    assert state.started_again is not None
    assert state.started is not None
    assert fault.in_force is not None
    assert state.started < fault.in_force < state.started_again
    assert state.ready_again == fault.healed
    assert manifest.start_skew_s is not None
    assert manifest.start_skew_s < 0.05  # of the first starts


def test_a_permanent_crash_is_not_healed(run: Run, fleet: FakeFleet) -> None:
    summary, manifest = run("crash:node-1@50ms")
    (fault,) = manifest.faults
    assert (fault.problem, fault.healing, fault.healed) == ("", None, None)
    assert manifest.processes["node-1"].exit_code == 137
    assert manifest.processes["node-1"].started_again is None
    assert not any("node-1" in reason for reason in summary.reasons)
    assert not any("probe node-1" in each.sent for each in fleet.supervisors())


def test_a_process_that_ends_of_a_full_disk_does_not_end_the_run_and_starts_again(
    run: Run, fleet: FakeFleet, recorder: Recorder
) -> None:
    def fill(event: Event) -> None:
        if isinstance(event, FaultInjected):
            host = next(host for host, files in fleet.files.items() if any("/node-1/" in path for path in files))
            fleet.exits[host] = ["exited node-1 1"]

    recorder.events = Notified(fill)
    _, manifest = run("disk_full:node-1@20ms-500ms", dedicated_clients=1)
    (fault,) = manifest.faults
    assert fault.problem == ""
    assert fault.healed_proof.endswith("prove_healed seen; node-1 had ended with exit code 1, and is ready again")
    assert manifest.processes["node-1"].started_again is not None


def test_a_process_that_survives_a_full_disk_must_not_end_later(run: Run, fleet: FakeFleet, recorder: Recorder) -> None:
    def kill(event: Event) -> None:
        if isinstance(event, FaultHealed):
            host = next(host for host, files in fleet.files.items() if any("/node-1/" in path for path in files))
            fleet.exits[host] = ["exited node-1 1"]

    recorder.events = Notified(kill)
    with pytest.raises(SystemFailure, match=r"node-1 on .* ended with exit code 1"):
        run("disk_full:node-1@20ms-400ms", dedicated_clients=1)


def test_another_death_than_the_planned_one_ends_the_run(
    run: Run, fleet: FakeFleet, recorder: Recorder, folder: Callable[[], Path]
) -> None:
    def kill_another() -> None:
        host = next(host for host, files in fleet.files.items() if any("/node-2/" in path for path in files))
        fleet.exits[host] = ["exited node-2 1"]

    recorder.act_in("measure", kill_another)
    with pytest.raises(SystemFailure, match=r"node-2 on .* ended with exit code 1"):
        run("crash:node-1@50ms-500ms")
    assert read_manifest(folder()).faults[0].problem == "it was not injected: the run ended before"
    assert all(session.closed for session in fleet.sessions)


def test_a_process_that_ends_after_it_was_started_again_ends_the_run(
    run: Run, fleet: FakeFleet, recorder: Recorder
) -> None:
    def kill_again(event: Event) -> None:
        if isinstance(event, FaultHealed):
            host = next(host for host, files in fleet.files.items() if any("/node-1/" in path for path in files))
            fleet.exits[host] = ["exited node-1 1"]

    recorder.events = Notified(kill_again)
    with pytest.raises(SystemFailure, match=r"node-1 on .* ended with exit code 1"):
        run("crash:node-1@20ms-400ms")


class Notified(list[Event]):
    """A list that passes on what is appended."""

    def __init__(self, notify: Callable[[Event], None]) -> None:
        super().__init__()
        self._notify = notify

    def append(self, item: Event) -> None:
        super().append(item)
        self._notify(item)


def test_a_host_that_cannot_drop_packets_ends_the_run_before_anything_starts(run: Run, fleet: FakeFleet) -> None:
    fleet.unproved = {"check": "it has no nft; install the package nftables"}
    with pytest.raises(HostError, match=r"faults cannot be injected on hosts:\n  .*: it has no nft"):
        run("partition:node-1@20ms-400ms")
    assert not any(line.startswith("start") for each in fleet.supervisors() for line in each.sent)


def test_faults_are_healed_where_scripts_do_not_confirm_it(run: Run, fleet: FakeFleet, recorder: Recorder) -> None:
    recorder.act_in("measure", lambda: setattr(fleet, "lost", {"b-0"}))
    with pytest.raises(HostError, match=r"lost the connection to hosts during the run:\n  b-0"):
        run("pause:node-1@50ms-500ms")
    assert any(" kill " in command for command in fleet.commands)


def test_the_end_of_a_script_ends_the_run(
    run: Run, fleet: FakeFleet, recorder: Recorder, folder: Callable[[], Path]
) -> None:
    def lose() -> None:
        (session, *_) = fleet.injectors()
        session.closed = True

    recorder.act_in("measure", lose)
    with pytest.raises(HostError, match=r"lost the fault injection on hosts:\n  .*: its inject.pyz ended"):
        run("pause:node-1@20ms-400ms")


def test_the_leader_is_that_of_the_moment_of_the_injection(run: Run, fleet: FakeFleet, recorder: Recorder) -> None:
    recorder.act_in("measure", lambda: setattr(fleet, "leader", "b-0"))
    _, manifest = run("crash:leader@50ms-500ms")
    (fault,) = manifest.faults
    assert fault.hosts == ("b-0",)
    assert fault.nodes == (f"node-{manifest.placement.nodes.index('b-0')}",)


def test_a_fault_of_an_unknown_leader_makes_the_run_invalid(run: Run, fleet: FakeFleet) -> None:
    summary, manifest = run("pause:leader@20ms-400ms")
    assert manifest.faults[0].problem.startswith("was not injected: who leads is unknown: no node had etcd_server_is_l")
    assert summary.status == "invalid"


def test_times_of_faults_are_those_of_the_operators_clock(run: Run, fleet: FakeFleet) -> None:
    fleet.clock_offset_s = 100.0
    _, manifest = run("pause:node-1@50ms-500ms")
    require_moments(manifest.faults[0], manifest)


def test_a_restart_ends_the_process_as_at_the_end_of_a_run(run: Run, fleet: FakeFleet) -> None:
    _, manifest = run("restart:node-1@50ms")
    (fault,) = manifest.faults
    assert fault.problem == ""
    assert fault.in_force is not None
    assert fault.healed is not None
    (sent,) = [each.sent for each in fleet.supervisors() if "stop node-1" in each.sent]
    later = sent[sent.index("stop node-1") :]
    assert any(line.startswith("start node-1 ") for line in later)


def test_without_faults_no_script_is_opened(execute: Callable[..., Summary], fleet: FakeFleet) -> None:
    execute()
    assert fleet.injectors() == []


def test_links_are_cut_once_in_each_direction(run: Run, fleet: FakeFleet) -> None:
    _, manifest = run("loss:node-0+node-1,share=10%@20ms-400ms")
    rules = [
        (each.host, peer["address"], direction)
        for each in fleet.injectors()
        for line in each.sent
        for mechanism in json.loads(line).get("mechanisms", ())
        for peer in mechanism["peers"]
        for direction in ("in", "out")
        if peer[direction]
    ]
    a, b, c = (fleet.hosts[name] for name in manifest.placement.nodes)
    assert sorted(rules) == sorted(
        [
            (a.name, b.address, "out"), (b.name, a.address, "out"), (a.name, c.address, "out"),
            (a.name, c.address, "in"), (b.name, c.address, "out"), (b.name, c.address, "in"),
        ]
    )  # fmt: skip


def orders_by_host(fleet: FakeFleet) -> dict[str, list[dict[str, object]]]:
    """What the hosts do of faults of links."""
    return {
        each.host: mechanisms
        for each in fleet.injectors()
        for line in each.sent
        if (mechanisms := json.loads(line).get("mechanisms"))
    }


def test_delayed_packets_are_held_where_they_arrive(run: Run, fleet: FakeFleet) -> None:
    _, manifest = run("delay:node-0,delay=100ms@20ms-400ms")
    a, b, c = (fleet.hosts[name] for name in manifest.placement.nodes)

    def order(*peers: str) -> list[dict[str, object]]:
        held = [{"address": each, "port": 9100, "in": True, "out": False, "ways": 2} for each in peers]
        return [{"kind": "impair", "impairment": "delay", "parameters": {"delay_s": 0.1}, "peers": held}]

    assert orders_by_host(fleet) == {
        a.name: order(b.address, c.address), b.name: order(a.address), c.name: order(a.address)
    }  # fmt: skip
    assert manifest.faults[0].hosts == (a.name,)


def test_a_limited_rate_is_shared_by_all_packets_of_a_host(run: Run, fleet: FakeFleet) -> None:
    _, manifest = run("bandwidth:node-0,rate=1Mbit,one_way=out@20ms-400ms")
    a, *others = (fleet.hosts[name] for name in manifest.placement.nodes)
    peers = [{"address": each.address, "port": 9100, "in": False, "out": True, "ways": 1} for each in others]
    order = {"kind": "impair", "impairment": "rate", "parameters": {"rate_bps": 1e6}, "peers": peers}
    assert orders_by_host(fleet) == {a.name: [order]}


def test_a_partition_with_a_bridge_records_it(run: Run, fleet: FakeFleet) -> None:
    _, manifest = run("partition:node-0,bridge=node-2@20ms-400ms")
    (fault,) = manifest.faults
    assert (fault.nodes, fault.bridge) == (("node-0",), ("node-2",))
    b = fleet.hosts[manifest.placement.nodes[1]]
    [[order]] = orders_by_host(fleet).values()
    assert [peer["address"] for peer in order["peers"]] == [b.address]  # type: ignore[attr-defined]

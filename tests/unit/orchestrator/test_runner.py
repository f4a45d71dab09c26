"""The runner on hosts that are fakes: connected, locked and prepared once, and released in every case."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from factories.hosts import inventory, of_provider
from factories.latency_logs import recent
from fakes.fleet import FakeFleet
from fakes.prometheus import fake_testbed
from fakes.recorder import Recorder

from benchmark.errors import HostError, LockedError, UsageError
from benchmark.inventory import HostCapabilities
from benchmark.orchestrator.runner import Runner, require_same_commit, require_same_hosts
from benchmark.plan.request import Request
from benchmark.protocols.base import Protocol
from benchmark.results.events import AnnouncedLoad, PlanAnnounced
from benchmark.settings import parse_fault
from benchmark.testbed.facts import Facts
from benchmark.testbed.testbed import Testbed

pytestmark = pytest.mark.usefixtures("fast")


@pytest.fixture
def runner(testbed: Testbed, recorder: Recorder) -> Iterator[Runner]:
    with Runner(testbed, recorder, began=0.0) as made:
        yield made


def test_runs_are_announced_before_any_host_is_reached(
    runner: Runner, recorder: Recorder, fleet: FakeFleet, make_request: Callable[..., Request]
) -> None:
    runner.announce(make_request(loads=(60, 90)), 2)
    (event,) = recorder.events
    assert isinstance(event, PlanAnnounced)
    assert dict(event.nodes_by_region) == {"a": 2, "b": 1}
    assert (event.clients, event.dedicated_clients) == (3, False)
    assert event.loads == (AnnouncedLoad(60, 60), AnnouncedLoad(90, 90))
    assert fleet.operations == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"committee": 9}, "need 10 hosts"),
        ({"load_shape": "zigzag"}, "load shape: found 'zigzag'"),
        ({"dedicated_clients": 3}, "need 7 hosts"),
        ({"faults": (parse_fault("crash:node-7@0s"),)}, "unknown target 'node-7'"),
        ({"faults": (parse_fault("crash:one@1h"),)}, "it begins at 1h, but the measured window lasts"),
        ({"faults": (parse_fault("host_down:one@0s"),)}, "would stop the load generator on "),
    ],
)
def test_impossible_runs_are_rejected_before_any_host_is_reached(
    runner: Runner, fleet: FakeFleet, make_request: Callable[..., Request], fields: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        runner.announce(make_request(**fields), 1)
    assert fleet.operations == []


def test_missing_monitoring_host_is_an_error_without_latency_logs(
    recorder: Recorder, make_request: Callable[..., Request], unlogged: Protocol
) -> None:
    testbed, fleet = fake_testbed(inventory(monitoring=False, a=3, b=2))
    with Runner(testbed, recorder, began=0.0) as runner, pytest.raises(UsageError, match="no monitoring host"):
        runner.announce(make_request(protocol=unlogged), 1)
    assert fleet.operations == []


def test_leader_is_unknown_without_a_monitoring_host(recorder: Recorder, make_request: Callable[..., Request]) -> None:
    request = make_request(faults=(parse_fault("crash:leader@0s"),), duration_s=60.0)
    for monitoring in (True, False):
        testbed, _ = fake_testbed(inventory(monitoring=monitoring, a=3, b=2))
        expected = nullcontext() if monitoring else pytest.raises(UsageError, match="the leader is unknown without")
        with Runner(testbed, recorder, began=0.0) as runner, expected:
            runner.announce(request, 1)


def test_latency_logs_give_results_without_a_monitoring_host(
    recorder: Recorder, make_request: Callable[..., Request]
) -> None:
    testbed, fleet = fake_testbed(inventory(monitoring=False, a=3, b=2))
    fleet.stored = {"latencies.hlog": recent}
    with Runner(testbed, recorder, began=0.0) as runner:
        request = make_request(duration_s=0.4, warm_up_s=0.1)
        runner.announce(request, 1)
        summary = runner.run(request, 60)
    assert summary.status == "ok", summary.reasons
    assert summary.completed_tps == pytest.approx(60)
    assert any(text.startswith("there is no monitoring host: ") for text in summary.warnings)
    assert "monitor" not in recorder.phases()
    assert fleet.tunnels == 0


def test_runner_connects_locks_and_prepares_once_per_request(
    runner: Runner, recorder: Recorder, fleet: FakeFleet, make_request: Callable[..., Request]
) -> None:
    request = make_request(loads=(60, 90))
    first, second = (runner.run(request, load) for load in request.loads)
    assert fleet.operations.count("connect") == 1
    assert len(fleet.locks()) == 1
    assert not fleet.locks()[0].closed
    assert recorder.phases()[:4] == ["connect", "monitor", "check", "install"]
    assert recorder.phases().count("install") == 1
    assert (first.requested_tps, second.requested_tps) == (60.0, 90.0)


def test_leftovers_are_killed_before_every_run_but_hosts_are_probed_once(
    runner: Runner, fleet: FakeFleet, make_request: Callable[..., Request]
) -> None:
    request = make_request()
    for _ in range(3):
        runner.run(request, 60)
    probes = [command for command in fleet.commands if command.startswith("exec bash -s -- geobench remove ")]
    assert len(probes) == 3 * len(fleet.hosts)
    assert sum("etcd-server" in command for command in probes) == 3  # the hosts of nodes, once
    assert probes[-2 * len(fleet.hosts) :] == ["exec bash -s -- geobench remove ''"] * 2 * len(fleet.hosts)


def test_second_request_is_prepared_under_the_same_lock(
    runner: Runner, recorder: Recorder, fleet: FakeFleet, make_request: Callable[..., Request]
) -> None:
    first, second = make_request(), make_request()
    runner.run(first, 60)
    runner.run(second, 60)
    assert (recorder.phases().count("connect"), recorder.phases().count("install")) == (1, 2)
    assert (len(fleet.locks()), fleet.tunnels) == (1, 1)


def test_deployment_is_created_once_per_load(
    runner: Runner, make_request: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request()
    made: list[float] = []
    original = type(request.protocol).nodes

    def counted(self: object, plan: object) -> object:
        made.append(plan.load)  # type: ignore[attr-defined]
        return original(self, plan)  # type: ignore[arg-type]

    monkeypatch.setattr(type(request.protocol), "nodes", counted)
    for load in (60, 60, 30, 60):
        runner.run(request, load)
    assert made == [60, 60, 30]  # the first is for ports and targets, before the round trips are known


def test_runs_use_the_measured_round_trips(
    runner: Runner, make_request: Callable[..., Request], fleet: FakeFleet
) -> None:
    request = make_request()
    runner.run(request, 60)
    assert dict(runner.prepare(request).rtt_ms) == {("a", "b"): 80.0, ("b", "a"): 80.0}
    command = fleet.files["a-1"]["geobench/run/node-0/command"]
    assert b"--heartbeat-interval=100" in command


def test_closing_releases_the_lock_and_the_tunnel(
    testbed: Testbed, recorder: Recorder, fleet: FakeFleet, make_request: Callable[..., Request]
) -> None:
    with Runner(testbed, recorder, began=0.0) as runner:
        runner.prepare(make_request())
        assert (fleet.tunnels, fleet.locks()[0].closed) == (1, False)
    assert (fleet.tunnels, fleet.locks()[0].closed) == (0, True)


def test_runner_closes_after_an_infrastructure_failure_and_reopens_for_the_next_run(
    runner: Runner, recorder: Recorder, fleet: FakeFleet, make_request: Callable[..., Request]
) -> None:
    request = make_request()
    fleet.failed = {"b-0": "no route"}
    with pytest.raises(HostError):
        runner.run(request, 60)
    assert fleet.tunnels == 0
    assert all(session.closed for session in fleet.sessions)
    fleet.failed = {}
    runner.run(request, 60)
    assert recorder.phases().count("connect") == 2


def test_locked_testbed_is_not_changed(runner: Runner, fleet: FakeFleet, make_request: Callable[..., Request]) -> None:
    fleet.lock_answer = "held by ada@laptop (process 7) since 2026-01-01 00:00:00 UTC"
    with pytest.raises(LockedError, match=r"testbed t is held by ada@laptop .*stop --force"):
        runner.run(make_request(), 60)
    assert fleet.operations[-2:] == ["open", "read"]
    assert fleet.tunnels == 0


def test_runs_that_outlast_a_host_are_rejected_before_anything_is_prepared(
    recorder: Recorder, make_request: Callable[..., Request]
) -> None:
    found = inventory(a=3, b=2)
    ephemeral = HostCapabilities(ephemeral=True)
    hosts = tuple(of_provider(host, "aws", capabilities=ephemeral) for host in found.hosts)
    testbed, fleet = fake_testbed(found.model_copy(update={"hosts": hosts}))
    end = datetime.now(UTC) + timedelta(hours=1)
    fleet.answers = {"expires_at": f"state ready\nend {end.timestamp():.0f}\n"}
    request = make_request(duration_s=3600.0)
    with Runner(testbed, recorder, began=0.0) as runner:
        runner.announce(request, 3)
        with pytest.raises(UsageError, match=r"at least 3h00m, but a-0 terminates automatically .*extend [34]h"):
            runner.prepare(request)
    assert fleet.locks() == []


def test_each_run_reports_its_phases_and_the_first_run_also_the_preparation(
    runner: Runner, make_request: Callable[..., Request]
) -> None:
    request = make_request()
    timings: list[set[str]] = []
    runner.events.observers.append(
        lambda event: timings.append(set(event.timings_s)) if event.kind == "summary_written" else None
    )
    runner.run(request, 60)
    runner.run(request, 60)
    assert {"begin", "connect", "install"} < timings[0]
    assert not {"begin", "connect", "install"} & timings[1]
    assert "check" in timings[1]


def test_run_ids_are_known_before_runs_begin(
    runner: Runner, recorder: Recorder, make_request: Callable[..., Request]
) -> None:
    begun: list[str] = []
    summary = runner.run(make_request(), 60, begun.append)
    assert begun == [summary.run_id]


def test_the_commit_of_a_sweep_stays_the_same() -> None:
    assert require_same_commit("sweep s", "", "c1") == "c1"
    assert require_same_commit("sweep s", "c1", "c1") == "c1"
    with pytest.raises(UsageError, match=r"runs of sweep s are of commit c1, now it is c2; begin a new sweep"):
        require_same_commit("sweep s", "c1", "c2")


def test_the_hosts_of_a_sweep_stay_the_same() -> None:
    facts = Facts(cpus=2, cpu_model="EPYC 7R13", os="Debian GNU/Linux 12 (bookworm)", kernel="6.1.0-18")
    known = require_same_hosts("sweep s", {}, {"a-0": facts})
    assert known == {"a-0": "2 x EPYC 7R13, Debian GNU/Linux 12 (bookworm), 6.1.0-18"}
    assert require_same_hosts("sweep s", known, {"a-1": facts}) == {**known, "a-1": known["a-0"]}
    for change in ({"cpus": 4}, {"cpu_model": "Xeon 8488C"}, {"os": "Debian GNU/Linux 13"}, {"kernel": "6.12"}):
        with pytest.raises(
            UsageError, match=r"earlier runs of sweep s: a-0 was 2 x EPYC .*, now .*; begin a new sweep"
        ):
            require_same_hosts("sweep s", known, {"a-0": dataclasses.replace(facts, **change)})


def test_requests_compare_by_identity(runner: Runner, make_request: Callable[..., Request]) -> None:
    request = make_request()
    prepared = runner.prepare(request)
    assert runner.prepare(request) is prepared
    assert runner.prepare(dataclasses.replace(request)) is not prepared

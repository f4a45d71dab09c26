"""A testbed without hosts, and runs that take milliseconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from factories.hosts import inventory
from fakes.fleet import FakeFleet
from fakes.prometheus import fake_testbed
from fakes.recorder import Recorder

from benchmark.orchestrator import run as run_module
from benchmark.orchestrator.runner import Runner
from benchmark.plan.request import Request
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.protocols.process import Plan, Process
from benchmark.results.summary import Summary
from benchmark.testbed.testbed import Testbed


class Unlogged(Etcd):
    """A system whose clients write no latency logs, so that results depend on Prometheus."""

    def clients(self, plan: Plan) -> tuple[Process, ...]:
        return tuple(dataclasses.replace(each, latency_log="") for each in super().clients(plan))


@pytest.fixture
def unlogged() -> Unlogged:
    return Unlogged(EtcdNode(), EtcdClient())


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the time for hosts to receive orders and the wait between polls."""
    monkeypatch.setattr(run_module, "_LEAD_S", 0.0)
    monkeypatch.setattr(run_module, "_POLL_S", 0.001)


@pytest.fixture
def testbed_and_fleet() -> tuple[Testbed, FakeFleet]:
    """A monitoring host and two hosts in each of two regions."""
    return fake_testbed(inventory(a=3, b=2))


@pytest.fixture
def testbed(testbed_and_fleet: tuple[Testbed, FakeFleet]) -> Testbed:
    return testbed_and_fleet[0]


@pytest.fixture
def fleet(testbed_and_fleet: tuple[Testbed, FakeFleet]) -> FakeFleet:
    return testbed_and_fleet[1]


@pytest.fixture
def make_request(testbed: Testbed, tmp_path: Path) -> Callable[..., Request]:
    """Requests of etcd on three nodes for 20 ms, other fields as given."""

    def make(**fields: object) -> Request:
        known: dict[str, object] = {"loads": (60,), "duration_s": 0.02, "warm_up_s": 0.005, "committee": 3}
        known |= {"protocol": Etcd(EtcdNode(), EtcdClient()), "settings": testbed.settings, "results_dir": tmp_path}
        return Request(**(known | fields))  # type: ignore[arg-type]

    return make


@pytest.fixture
def recorder(fleet: FakeFleet) -> Recorder:
    return Recorder(fleet)


@pytest.fixture
def execute(testbed: Testbed, recorder: Recorder, make_request: Callable[..., Request]) -> Callable[..., Summary]:
    """Run a load as `geobench run` does; the recorder begins when the testbed is prepared."""

    def run(**fields: object) -> Summary:
        with Runner(testbed, recorder, began=0.0) as runner:
            request = make_request(**fields)
            runner.prepare(request)
            recorder.begin()
            return runner.run(request, request.loads[0])

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[], Path]:
    """Return the folder of the only run."""
    return lambda: next(path for path in (tmp_path / "t").iterdir() if not path.is_symlink())

"""A testbed without hosts, and runs that take milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from factories.hosts import inventory
from fakes.fleet import FakeFleet
from fakes.prometheus import fake_testbed

from benchmark.orchestrator import run as run_module
from benchmark.plan.request import Request
from benchmark.protocols.etcd import Etcd, EtcdClient, EtcdNode
from benchmark.results.events import Event, PhaseStarted
from benchmark.testbed.testbed import Testbed


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not give hosts time to receive orders, nor wait between two looks at them."""
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


class Recorder:
    """Keeps events, and acts in the middle of phases."""

    def __init__(self, fleet: FakeFleet) -> None:
        self.events: list[Event] = []
        self._fleet = fleet
        self._begun = False
        self._phase: str | None = None
        self._action: Callable[[], None] = lambda: None

    def act_in(self, phase: str, action: Callable[[], None]) -> None:
        """Call `action` once, with the first operation on hosts or Prometheus in the phase after `begin`."""
        self._phase, self._action = phase, action

    def begin(self) -> None:
        """Forget all events so far."""
        self.events.clear()
        self._begun = True

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if self._begun and isinstance(event, PhaseStarted) and event.name == self._phase:
            self._fleet.hook = self._act

    def _act(self, _operation: str) -> None:
        self._fleet.hook, self._phase = lambda operation: None, None
        self._action()

    def phases(self) -> list[str]:
        """The phases in the order in which they began."""
        return [event.name for event in self.events if isinstance(event, PhaseStarted)]

    def texts(self) -> list[str]:
        """The texts of steps and warnings."""
        return [str(getattr(event, "text", "")) for event in self.events if hasattr(event, "text")]


@pytest.fixture
def recorder(fleet: FakeFleet) -> Recorder:
    return Recorder(fleet)

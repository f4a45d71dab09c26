"""An observer of runs on a fake fleet that can trigger an action in the middle of a phase."""

from __future__ import annotations

from collections.abc import Callable

from fakes.fleet import FakeFleet

from benchmark.results.events import Event, PhaseStarted


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

"""What a benchmark tells while it goes: events, taken by whoever observes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal[
    "connect", "check", "install", "configure", "monitor", "start_nodes", "start_clients",
    "warm_up", "measure", "stop", "collect",
]  # fmt: skip
Kind = Literal["plan", "step", "run", "phase", "phase_end", "progress", "warning", "summary"]
"""`step` is something within a phase that may take long, as a sentence in `text`."""


@dataclass(frozen=True)
class Event:
    """Something that happened: `kind` says what, `data` the rest; `time` in Unix seconds."""

    kind: Kind
    data: dict[str, Any] = field(default_factory=dict)
    time: float = field(default_factory=time.time)


Observer = Callable[[Event], None]


class Events:
    """Tells observers about events and keeps how long each phase took, in seconds."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = list(observers)
        self.phases: dict[str, float] = {}

    def tell(self, kind: Kind, **data: Any) -> None:
        """Tell every observer."""
        event = Event(kind, data)
        for observer in self.observers:
            observer(event)

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Time a phase; a phase entered again adds up."""
        self.tell("phase", name=name)
        begin = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - begin
            self.phases[name] = self.phases.get(name, 0.0) + seconds
            self.tell("phase_end", name=name, seconds=round(seconds, 6))

"""What a live page shows: one run, or the newest one of a testbed, and what its command does between runs."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from benchmark.results.events import Event, PhaseEnded, PhaseStarted, PlanAnnounced, Step, event_to_json
from benchmark.results.layout import LATEST
from benchmark.results.run_folder import EVENTS
from benchmark.web.follow import RunFollower, State

_MOST_RUNS, _MOST_STEPS = 200, 200
_STATES = TypeAdapter(dict[str, State])


class Watch:
    """Follows a run, and with `latest` the next ones; `poll` returns messages for viewers."""

    def __init__(self, folder: Path | None = None, *, latest: Path | None = None) -> None:
        """`folder` is that of a run; `latest` that of a testbed, whose newest run is followed."""
        self.run: RunFollower | None = RunFollower(folder) if folder else None
        self._latest = latest
        self._finished: dict[str, State] = {}
        self._steps: list[str] = []
        """Events of the command since the last run ended."""
        self._fresh: list[str] = []
        """Messages for viewers."""

    def poll(self) -> list[str]:
        """Return what is new; everything about a run that has just begun."""
        if self._latest and (found := self._newest()):
            self.follow(found)
            return self.snapshot()
        self._read()
        messages, self._fresh = self._fresh, []
        return messages

    def follow(self, folder: Path) -> None:
        """Show another run."""
        self._read()  # the end of the last one
        self.run, self._fresh = RunFollower(folder), []
        self.run.poll()

    def between_runs(self, event: Event) -> None:
        """Show an event of the command that belongs to no run: what precedes the next one."""
        if not isinstance(event, PlanAnnounced | PhaseStarted | PhaseEnded | Step):
            return
        self._read()
        if self.run is None or self.run.state.ended:
            text = event_to_json(event)
            self._steps = [*self._steps, text][-_MOST_STEPS:]
            self._fresh.append(f'{{"kind":"steps","value":[{text}]}}')

    def _read(self) -> None:
        """Read what is new of the run."""
        if self.run is None:
            return
        self._fresh += self.run.poll()
        name, state = self.run.folder.name, self.run.state
        if state.ended and state != self._finished.get(name):
            if name not in self._finished:  # what preceded it is over
                self._steps = []
                self._fresh.append('{"kind":"steps","value":[]}')
            self._finished = dict(list((self._finished | {name: state}).items())[-_MOST_RUNS:])
            self._fresh.append(self._runs())

    def snapshot(self) -> list[str]:
        """Return messages with everything so far."""
        run = self.run.snapshot() if self.run else []
        return [
            '{"kind":"reset","value":null}',
            *run,
            self._runs(),
            f'{{"kind":"steps","value":[{",".join(self._steps)}]}}',
        ]

    def _newest(self) -> Path | None:
        """Return the folder of the newest run if it is not followed yet, once it has events."""
        assert self._latest
        try:
            folder = (self._latest / LATEST).resolve(strict=True)
        except OSError:
            return None
        known = self.run and self.run.folder.resolve() == folder
        return None if known or not (folder / EVENTS).exists() else folder

    def _runs(self) -> str:
        return f'{{"kind":"runs","value":{_STATES.dump_json(self._finished).decode()}}}'

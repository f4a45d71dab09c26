"""`python -m benchmark` on the testbed of a stack, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fakes.pulumi_stack import Stack

from benchmark.results.events import PhaseStarted, read_events

DEADLINE_S = 400
_OF_LOAD = (
    "scheduling delay", "backlog from warm-up", "a part of the window is missing", "clients scheduled",
    "before the load, ", "after the run, ",
)  # fmt: skip


class Runner:
    """The runner's command line in the project folder of a stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.printed: list[bytes] = []
        """All that its commands have printed."""

    @property
    def results(self) -> Path:
        """The folder of the testbed's results."""
        return self.stack.project / "results" / self.stack.testbed_id

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "benchmark", *arguments],
            cwd=self.stack.project, env=self.stack.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> tuple[str, str]:
        """Run a command that ends with one of `codes`, and never with a traceback."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += f"\nkilled: it had not ended after {DEADLINE_S} s"
        finally:
            process.kill()
        self.printed += [out.encode(), err.encode()]
        assert process.returncode in codes, f"{' '.join(arguments)}: exit code {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return out, err

    def measure(self, *options: str) -> dict[str, Any]:
        """Run a benchmark of one load and return its summary.

        It may be invalid because of the load on this machine only.
        """
        out, err = self("run", *options, codes=(0, 1))
        found = self.latest()
        assert found["status"] in ("ok", "invalid"), out + err
        assert beside_load(found["reasons"]) == [], out + err
        return found

    def latest(self) -> dict[str, Any]:
        """The summary of the latest run."""
        found: dict[str, Any] = json.loads((self.results / "latest" / "summary.json").read_text(encoding="utf-8"))
        return found


def beside_load(reasons: Iterable[str]) -> list[str]:
    """Return the reasons why a run is invalid that the load of this machine, which is all hosts, does not explain."""
    return [reason for reason in reasons if not any(words in reason for words in _OF_LOAD)]


def phases(run: Path) -> list[str]:
    """Return the phases that a run has begun, from the events in its folder."""
    path = run / "events.jsonl"
    events = read_events(path) if path.exists() else []
    return [event.name for event in events if isinstance(event, PhaseStarted)]


def is_measuring(run: Path) -> bool:
    """Return whether the measured window of a run has begun."""
    return "measure" in phases(run)


@contextmanager
def running(folder: Path, testbed_id: str, settings: str) -> Iterator[Runner]:
    """Yield a runner on a stack that is up; destroy it."""
    stack = Stack(folder, testbed_id, settings)
    try:
        stack.up()
        yield Runner(stack)
    finally:
        stack.destroy()

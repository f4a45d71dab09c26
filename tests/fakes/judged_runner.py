"""A runner whose runs end immediately with results chosen by the test."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from factories.result_factory import store_run, summary

from benchmark.plan.request import Request
from benchmark.results.events import Events
from benchmark.results.summary import Summary

Judge = Callable[[Summary, Request], Summary]


def use_judged_runs(monkeypatch: pytest.MonkeyPatch, judge: Judge = lambda found, _: found) -> list[Summary]:
    """Replace the runner of sweeps and searches; `judge` changes the summary of each run. Return all summaries."""
    numbers, done = count(), list[Summary]()

    class JudgedRunner:
        def __init__(self, *_: object) -> None:
            self.events = Events()

        def __enter__(self) -> JudgedRunner:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def announce(self, request: object, runs: int) -> None:
            pass

        def prepare(self, request: object) -> SimpleNamespace:
            return SimpleNamespace(commit="3.4", facts={})

        def run(self, request: Request, load: int, begin: Callable[[str], object] = str) -> Summary:
            name = f"20260101T0000{next(numbers):02}Z-{load}"
            begin(name)
            done.append(judge(summary(name, float(load)), request))
            store_run(Path("results"), done[-1])
            return done[-1]

    for module in ("sweep", "search"):
        monkeypatch.setattr(f"benchmark.orchestrator.{module}.Runner", JudgedRunner)
    return done

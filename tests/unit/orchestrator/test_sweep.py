"""Which failures are retried, which end a sweep, and what --resume does not repeat; runs are scripted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from factories.result_factory import TESTBED, store_run, summary

from benchmark.errors import HostError, InfrastructureError, Interrupted, LockedError, SystemFailure, UsageError
from benchmark.orchestrator import sweep as module
from benchmark.orchestrator.sweep import run_sweep
from benchmark.results.events import Event, Events
from benchmark.results.sweep import SweepFolder, new_sweep, plan_runs
from benchmark.testbed.facts import Facts

DOWN = HostError("lost hosts:", {"a-1": "no route"})


class ScriptedRunner:
    """Runs that end as scripted: a load measured, or an error; `None` is a failure before there is a run."""

    script: Sequence[BaseException | None] = ()
    results: Path
    commit = "c1"
    facts: Mapping[str, Facts] = {"a-1": Facts(cpus=2, cpu_model="X", os="Debian 12", kernel="6.1")}
    announced = 0

    def __init__(self, testbed: object, observer: Callable[[Event], None], began: float) -> None:
        self.events = Events(observer)
        self.closed = 0

    def __enter__(self) -> ScriptedRunner:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def announce(self, request: object, runs: int) -> None:
        type(self).announced = runs

    def prepare(self, request: object) -> Any:
        return SimpleNamespace(commit=self.commit, facts=self.facts)

    def close(self) -> None:
        self.closed += 1

    def run(self, request: object, load: int, begin: Callable[[str], None]) -> Any:
        name = f"r{len(list(self.results.glob('t/r*')))}"
        begin(name)
        error, *rest = type(self).script or [None]
        type(self).script = rest
        if error:
            raise error
        found = summary(name, float(load))
        store_run(self.results, found)
        return found


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[ScriptedRunner]:
    ScriptedRunner.script, ScriptedRunner.results, ScriptedRunner.commit = (), tmp_path, "c1"
    monkeypatch.setattr(module, "Runner", ScriptedRunner)
    return ScriptedRunner


def begin(results: Path, loads: Sequence[int] = (100, 200), repeat: int = 2) -> SweepFolder:
    plan = plan_runs(("",), loads, repeat, None)
    return SweepFolder.create(results, new_sweep(TESTBED, {"": {}}, {}, plan, None))


def go(folder: SweepFolder, retries: int = 2) -> list[str]:
    told: list[str] = []
    run_sweep(
        cast(Any, None),
        {"": cast(Any, SimpleNamespace(load_s=1.0))},
        folder,
        lambda event: told.append(str(event)),
        0.0,
        retries,
    )
    return told


def outcomes(folder: SweepFolder) -> list[list[tuple[str, str | None]]]:
    stored = SweepFolder.read(folder.path).journal.planned_runs
    return [[(attempt.outcome, attempt.failure) for attempt in planned.attempts] for planned in stored]


def test_runs_are_executed_in_order(runner: type[ScriptedRunner], tmp_path: Path) -> None:
    folder = begin(tmp_path)
    told = go(folder)
    assert outcomes(folder) == [[("ok", None)]] * 4
    assert [each.requested_tps for each in folder.summaries()] == [100, 200, 100, 200]
    assert any("run 3 of 4: 100 tx/s, repeat 2" in text for text in told)
    assert folder.journal.commits == {"": "c1"}


def test_only_infrastructure_failures_are_retried_with_a_warning(runner: type[ScriptedRunner], tmp_path: Path) -> None:
    runner.script = [DOWN, DOWN, None, SystemFailure("node-0 ended")]
    folder = begin(tmp_path)
    told = go(folder)
    down = ("failed", "infrastructure")
    assert outcomes(folder) == [[down, down, ("ok", None)], [("failed", "system")], [("ok", None)], [("ok", None)]]
    assert sum("the infrastructure failed, trying again" in text for text in told) == 2
    assert sum("the system failed" in text for text in told) == 1


def test_repeated_infrastructure_failures_end_the_sweep_and_resume_continues_it(
    runner: type[ScriptedRunner], tmp_path: Path
) -> None:
    runner.script = [None, DOWN, DOWN]
    folder = begin(tmp_path)
    with pytest.raises(InfrastructureError, match=rf"failed 2 times; .*--resume {folder.journal.sweep_id}"):
        go(folder, retries=1)
    go(SweepFolder.read(folder.path))
    down = ("failed", "infrastructure")
    assert outcomes(folder) == [[("ok", None)], [down, down, ("ok", None)], [("ok", None)], [("ok", None)]]


@pytest.mark.parametrize("error", [Interrupted("Ctrl-C"), KeyboardInterrupt(), ZeroDivisionError()])
def test_other_errors_end_the_sweep_at_once(runner: type[ScriptedRunner], tmp_path: Path, error: BaseException) -> None:
    runner.script = [None, error]
    folder = begin(tmp_path)
    with pytest.raises(type(error)):
        go(folder)
    assert [len(tried) for tried in outcomes(folder)] == [1, 1, 0, 0]


def test_a_locked_testbed_is_not_a_failed_run(
    runner: type[ScriptedRunner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begin(tmp_path)

    def taken(self: ScriptedRunner, request: object) -> Any:
        raise LockedError("testbed t is held")

    monkeypatch.setattr(runner, "prepare", taken)
    with pytest.raises(LockedError):
        go(folder)
    assert outcomes(folder) == [[], [], [], []]


def test_finished_runs_are_never_repeated(runner: type[ScriptedRunner], tmp_path: Path) -> None:
    runner.script = [None, SystemFailure("died"), Interrupted("Ctrl-C")]
    folder = begin(tmp_path)
    with pytest.raises(Interrupted):
        go(folder)
    before = outcomes(folder)
    go(SweepFolder.read(folder.path))
    assert runner.announced == 2
    after = outcomes(folder)
    assert after[:2] == before[:2]
    assert after[2] == [("interrupted", None), ("ok", None)]
    go(SweepFolder.read(folder.path))
    assert outcomes(folder) == after


def test_another_commit_is_rejected(runner: type[ScriptedRunner], tmp_path: Path) -> None:
    runner.script = [None, Interrupted("Ctrl-C")]
    folder = begin(tmp_path)
    with pytest.raises(Interrupted):
        go(folder)
    runner.commit = "c2"
    with pytest.raises(UsageError, match="are of commit c1, now it is c2"):
        go(SweepFolder.read(folder.path))

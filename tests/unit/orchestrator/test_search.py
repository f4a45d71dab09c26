"""The search on a system of known capacity: right answer, confirmed, few runs, and only from valid runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from factories.result_factory import TESTBED, failed, store_run, summary

from benchmark.errors import HostError, InfrastructureError, Interrupted, LockedError, SystemFailure, UsageError
from benchmark.orchestrator import search as module
from benchmark.orchestrator.search import run_search
from benchmark.plan.request import Request
from benchmark.protocols.etcd import Etcd
from benchmark.results.events import Event, Events
from benchmark.results.search import Limits, Search, SearchConfig, SearchFolder, new_search
from benchmark.results.summary import Summary
from benchmark.settings import Settings
from benchmark.testbed.facts import Facts

CAPACITY = 730
DOWN = HostError("lost hosts:", {"a": "gone"})


class ScriptedRunner:
    """A runner whose runs do what `behave` says of a load and of how many runs there were."""

    behave: Callable[[int, int], Summary | BaseException]
    results: Path
    made = closed = 0
    commit = "c1"
    facts: Mapping[str, Facts] = {"a-1": Facts(cpus=2, cpu_model="X", os="Debian 12", kernel="6.1")}

    def __init__(self, testbed: object, observer: Callable[[Event], None], began: float) -> None:
        self.events = Events(observer)

    def __enter__(self) -> ScriptedRunner:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def announce(self, request: object, runs: int) -> None:
        pass

    def prepare(self, request: object) -> Any:
        return SimpleNamespace(commit=self.commit, facts=self.facts)

    def close(self) -> None:
        type(self).closed += 1

    def run(self, request: object, load: int, begin: Callable[[str], None]) -> Summary:
        type(self).made += 1
        begin(f"r{self.made}")
        found = type(self).behave(load, self.made)
        if isinstance(found, BaseException):
            raise found
        store_run(self.results, found)
        return found


def known(load: int, number: int) -> Summary:
    """A system that completes at most CAPACITY tx/s, and is slow beyond it."""
    return summary(f"r{number}", load, latency=0.1 if load <= CAPACITY else 3.0, tps=min(load, CAPACITY))


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SearchFolder]:
    """Return a function that begins a search of a system that behaves as given."""
    monkeypatch.setattr(module, "Runner", ScriptedRunner)

    def begin(behave: Callable[[int, int], Summary | BaseException], **plan: Any) -> SearchFolder:
        results = tmp_path / str(len(list(tmp_path.iterdir())))
        ScriptedRunner.results, ScriptedRunner.made, ScriptedRunner.commit, ScriptedRunner.closed = results, 0, "c1", 0
        monkeypatch.setattr(ScriptedRunner, "behave", staticmethod(behave), raising=False)
        search = new_search(TESTBED, Limits(p99_s=1.0, achieved=0.98), SearchConfig(100, 20_000, **plan), {}, {})
        return SearchFolder.create(results, search)

    return begin


def go(folder: SearchFolder) -> tuple[Search, list[str]]:
    """Search until the end; return the stored search and the reported events."""
    protocol = Etcd(Etcd.node_model(), Etcd.client_model())
    request = Request(
        protocol=protocol,
        settings=Settings(regions=("a",)),
        loads=(1,),
        duration_s=1,
        warm_up_s=1,
        results_dir=folder.path.parent.parent,
    )
    told: list[str] = []
    run_search(cast(Any, None), request, folder, lambda event: told.append(str(event)), 0.0)
    assert SearchFolder.read(folder.path).journal == folder.journal
    return folder.journal, told


def test_the_capacity_is_found_within_the_precision_and_confirmed(
    begun: Callable[..., SearchFolder],
) -> None:
    found, told = go(begun(known))
    assert found.answer_tps is not None
    assert 0.95 * CAPACITY <= found.answer_tps <= CAPACITY / 0.98
    assert found.confirmed
    assert ScriptedRunner.made == len(found.steps) <= 12
    assert sum("'  met:" in text or "'  not met:" in text for text in told) == len(found.steps)


def test_search_ends_after_the_maximum_number_of_runs(begun: Callable[..., SearchFolder]) -> None:
    found, _ = go(begun(known, max_runs=5))
    assert (ScriptedRunner.made, found.confirmed) == (5, False)
    assert "stopped after 5 runs" in found.reason


def test_a_failing_system_does_not_meet_the_limits(begun: Callable[..., SearchFolder]) -> None:
    def breaks(load: int, number: int) -> Summary | BaseException:
        return SystemFailure("node-1 ended") if load > 300 else known(load, number)

    found, _ = go(begun(breaks))
    assert found.answer_tps is not None
    assert 285 <= found.answer_tps <= 300
    assert any("the system failed: node-1 ended" in step.text for step in found.steps)


def test_invalid_runs_are_repeated_and_never_meet_the_limits(begun: Callable[..., SearchFolder]) -> None:
    def invalid_above(load: int, number: int) -> Summary:
        made = known(load, number)
        return made.model_copy(update={"status": "invalid", "reasons": ["late"]}) if load > 200 else made

    found, told = go(begun(invalid_above, confirmations=0))
    assert found.answer_tps is not None
    assert 190 <= found.answer_tps <= 200
    repeated = [step for step in found.steps if step.requested_tps > 200]
    assert all(len(step.run_ids) == 3 and "no valid run in 3: late" in step.text for step in repeated)
    assert any("is invalid: late; trying again" in text for text in told)


def test_infrastructure_failures_are_retried_twice(begun: Callable[..., SearchFolder]) -> None:
    def shaky(load: int, number: int) -> Summary | BaseException:
        return DOWN if number % 2 else known(load, number)

    found, _ = go(begun(shaky, confirmations=0))
    assert found.answer_tps is not None
    assert all(len(step.run_ids) == 2 for step in found.steps)
    assert ScriptedRunner.closed == len(found.steps)
    folder = begun(lambda load, number: DOWN)
    with pytest.raises(InfrastructureError, match=rf"failed 3 times; .*search --resume {folder.journal.search_id}"):
        go(folder)


def test_search_may_find_no_load_that_meets_the_limits(begun: Callable[..., SearchFolder]) -> None:
    found, _ = go(begun(lambda load, number: summary(f"r{number}", load, latency=5.0)))
    assert (found.answer_tps, found.confirmed) == (None, False)


@pytest.mark.parametrize("runs", [1, 4, 8])
def test_killed_search_resumes_where_it_stopped(begun: Callable[..., SearchFolder], runs: int) -> None:
    whole, _ = go(begun(known))
    # A kill leaves what is on disk: the run it cuts short has begun, and has no result.
    folder = begun(lambda load, number: Interrupted("kill") if number == runs else known(load, number))
    with pytest.raises(Interrupted):
        go(folder)
    before = SearchFolder.read(folder.path)
    assert [step.met is None for step in before.journal.steps] == [False] * (runs - 1) + [True]
    resumed, told = go(before)
    assert [step.requested_tps for step in resumed.steps] == [step.requested_tps for step in whole.steps]
    assert [step.met for step in resumed.steps] == [step.met for step in whole.steps]
    assert (resumed.answer_tps, resumed.confirmed, resumed.reason) == (whole.answer_tps, True, whole.reason)
    assert ScriptedRunner.made == len(whole.steps) + 1, "nothing is run again but what was cut short"
    assert resumed.steps[: runs - 1] == folder.journal.steps[: runs - 1]
    assert len(resumed.steps[runs - 1].run_ids) == 2
    assert not any(f"step {number}:" in text for text in told for number in range(1, runs))


@pytest.mark.parametrize(
    ("result", "repeated"),
    [
        (summary("r2", 200), False),
        (failed("r2", 200), False),
        (failed("r2", 200, kind="infrastructure"), True),
        (summary("r2", 200).model_copy(update={"status": "invalid", "reasons": ["late"]}), True),
    ],
)
def test_a_run_with_a_result_counts_after_the_runner_was_killed(
    begun: Callable[..., SearchFolder], result: Summary, repeated: bool
) -> None:
    folder = begun(lambda load, number: Interrupted("kill") if number == 2 else known(load, number))
    with pytest.raises(Interrupted):
        go(folder)
    store_run(ScriptedRunner.results, result)
    resumed, told = go(SearchFolder.read(folder.path))
    step = resumed.steps[1]
    assert step.run_ids == (["r2", "r3"] if repeated else ["r2"])
    assert any("step 2: 200 tx/s" in text for text in told) == repeated
    assert step.met is (result.failure != "system")
    assert ("the system failed: node-0 ended" in step.text) == (result.failure == "system")


def test_a_finished_search_is_left_unchanged(
    begun: Callable[..., SearchFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(known)
    found, _ = go(folder)
    made, kept = ScriptedRunner.made, (folder.path / "search.json").read_bytes()

    def touched(self: ScriptedRunner, request: object) -> Any:
        raise AssertionError("no host is asked for anything")

    monkeypatch.setattr(ScriptedRunner, "prepare", touched)
    monkeypatch.setattr(ScriptedRunner, "announce", touched)
    again, told = go(SearchFolder.read(folder.path))
    assert len(told) == 1
    assert f"nothing to do: search {found.search_id} has ended" in told[0]
    assert (again, ScriptedRunner.made, (folder.path / "search.json").read_bytes()) == (found, made, kept)


def test_another_commit_is_rejected(begun: Callable[..., SearchFolder]) -> None:
    folder = begun(lambda load, number: Interrupted("Ctrl-C") if number == 2 else known(load, number))
    with pytest.raises(Interrupted):
        go(folder)
    ScriptedRunner.commit = "c2"
    with pytest.raises(UsageError, match=r"are of commit c1, now it is c2; begin a new search"):
        go(SearchFolder.read(folder.path))
    assert ScriptedRunner.made == 2


@pytest.mark.parametrize("error", [SystemFailure("it cannot be built"), LockedError("testbed t is held")])
def test_failures_before_a_run_do_not_count_against_the_load(
    begun: Callable[..., SearchFolder], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder = begun(known)

    def broken(self: ScriptedRunner, request: object) -> Any:
        raise error

    monkeypatch.setattr(ScriptedRunner, "prepare", broken)
    with pytest.raises(type(error)):
        go(folder)
    assert SearchFolder.read(folder.path).journal.steps == []

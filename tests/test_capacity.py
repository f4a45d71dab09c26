"""The search on a system of known capacity: right answer, confirmed, few runs, and only from valid runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from stored import TESTBED, store_run, summary

from benchmark import capacity
from benchmark.capacity import Search, new_search, run_search
from benchmark.errors import HostError, SystemFailure
from benchmark.events import Event, Timeline
from benchmark.protocols.etcd import Etcd
from benchmark.request import Request
from benchmark.search import Limits, Plan
from benchmark.summary import Summary

CAPACITY = 730


class Bench:
    """A bench whose runs do what `behave` says of a load and of how many runs there were."""

    behave: Callable[[int, int], Summary | BaseException]
    results: Path
    made = 0

    def __init__(self, testbed: object, observer: Callable[[Event], None], began: float) -> None:
        self.timeline = Timeline(observer)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def announce(self, request: object) -> None:
        pass

    def ready(self, request: object) -> Any:
        return type("Prepared", (), {"commit": "c1"})

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


def search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behave: Callable[[int, int], Summary | BaseException], **plan: Any
) -> tuple[Search, list[str]]:
    Bench.results, Bench.made = tmp_path, 0
    monkeypatch.setattr(Bench, "behave", staticmethod(behave), raising=False)
    monkeypatch.setattr(capacity, "Bench", Bench)
    protocol = Etcd(Etcd.node_model(), Etcd.client_model())
    request = Request(protocol=protocol, loads=(1,), duration_s=1, warm_up_s=1, results_dir=tmp_path)
    testbed = type("Testbed", (), {"inventory": type("Inventory", (), {"testbed_id": TESTBED})})
    found = new_search(Limits(p99_s=1.0, achieved=0.98), Plan(100, 20_000, **plan))
    told: list[str] = []
    folder = run_search(cast(Any, testbed), request, found, lambda event: told.append(str(event.data)), 0.0)
    stored = json.loads((folder / "search.json").read_text())
    assert stored["answer_tps"] == found.answer_tps
    assert len(stored["steps"]) == len(found.steps)
    return found, told


def test_the_capacity_is_found_within_the_precision_and_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, told = search(tmp_path, monkeypatch, known)
    assert found.answer_tps is not None
    assert 0.95 * CAPACITY <= found.answer_tps <= CAPACITY / 0.98
    assert found.confirmed
    assert Bench.made == len(found.steps) <= 12
    assert sum("'  met:" in text or "'  not met:" in text for text in told) == len(found.steps)


def test_runs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = search(tmp_path, monkeypatch, known, max_runs=5)
    assert (Bench.made, found.confirmed) == (5, False)
    assert "stopped after 5 runs" in found.reason


def test_a_system_that_breaks_does_not_meet_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(load: int, number: int) -> Summary | BaseException:
        return SystemFailure("node-1 ended") if load > 300 else known(load, number)

    found, _ = search(tmp_path, monkeypatch, breaks)
    assert found.answer_tps is not None
    assert 285 <= found.answer_tps <= 300
    assert any("the system failed: node-1 ended" in step.text for step in found.steps)


def test_invalid_runs_never_decide_for_a_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def invalid_above(load: int, number: int) -> Summary:
        made = known(load, number)
        return made.model_copy(update={"status": "invalid", "reasons": ["late"]}) if load > 200 else made

    found, told = search(tmp_path, monkeypatch, invalid_above, confirmations=0)
    assert found.answer_tps is not None
    assert 190 <= found.answer_tps <= 200
    repeated = [step for step in found.steps if step.load_tps > 200]
    assert all(len(step.run_ids) == 3 and "no valid run in 3: late" in step.text for step in repeated)
    assert any("is invalid, repeating" in text for text in told)


def test_infrastructure_is_given_three_chances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shaky(load: int, number: int) -> Summary | BaseException:
        return HostError("lost hosts:", {"a": "gone"}) if number % 2 else known(load, number)

    found, _ = search(tmp_path, monkeypatch, shaky, confirmations=0)
    assert found.answer_tps is not None
    assert all(len(step.run_ids) == 2 for step in found.steps)
    with pytest.raises(HostError):
        search(tmp_path / "down", monkeypatch, lambda load, number: HostError("lost hosts:", {"a": "gone"}))


def test_no_load_at_all_may_meet_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = search(tmp_path, monkeypatch, lambda load, number: summary(f"r{number}", load, latency=5.0))
    assert (found.answer_tps, found.confirmed) == (None, False)

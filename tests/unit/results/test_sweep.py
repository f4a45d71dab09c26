"""Sweeps: the order of runs, the journal, and recovery after the runner was killed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from factories.result_factory import TESTBED, failed, store_run, store_sweep, summary

from benchmark.errors import HostError, Interrupted, SystemFailure, UsageError
from benchmark.results.find import find_sweep
from benchmark.results.run_folder import find_runs
from benchmark.results.sweep import SweepFolder, new_sweep, plan_runs


def folder(results: Path, repeat: int = 2) -> SweepFolder:
    plan = plan_runs(("",), (100, 200), repeat, None)
    return SweepFolder.create(results, new_sweep(TESTBED, {"": {"loads": [100, 200]}}, {}, plan, None))


def test_each_repeat_runs_all_loads_in_the_given_order() -> None:
    assert [(planned.requested_tps, planned.repeat) for planned in plan_runs(("",), (30, 10), 2, None)] == [
        (30, 1),
        (10, 1),
        (30, 2),
        (10, 2),
    ]


def test_sides_of_a_comparison_alternate() -> None:
    assert [planned.arm for planned in plan_runs(("a", "b"), (10,), 3, None)] == ["a", "b"] * 3


def test_random_order_shuffles_within_repeats_and_is_reproducible() -> None:
    loads = tuple(range(1, 9))
    first, again, other = (plan_runs(("",), loads, 3, seed) for seed in (1, 1, 2))
    assert first == again != other
    rounds = [[planned.requested_tps for planned in first if planned.repeat == turn] for turn in (1, 2, 3)]
    assert all(sorted(turn) == list(loads) for turn in rounds)
    assert len({tuple(turn) for turn in rounds}) == 3
    assert [planned.repeat for planned in first] == sorted(planned.repeat for planned in first)


@pytest.mark.parametrize(("arms", "command"), [(("",), "run"), (("a", "b"), "compare")])
def test_journal_names_the_command_that_started_it(arms: tuple[str, ...], command: str) -> None:
    assert new_sweep(TESTBED, {arm: {} for arm in arms}, {}, plan_runs(arms, (10,), 1, None), None).command == command


def test_every_change_is_saved_immediately(tmp_path: Path) -> None:
    sweep = folder(tmp_path)
    first, second, *_ = sweep.journal.planned_runs
    attempt = sweep.begin(first, "r1")
    assert SweepFolder.read(sweep.path).journal.planned_runs[0].attempts[0].outcome == "running"
    sweep.end(attempt, summary("r1"))
    sweep.fail(second, None, HostError("hosts are gone", {"a-1": "no route"}))
    stored = SweepFolder.read(sweep.path).journal.planned_runs
    assert (stored[0].done, stored[0].run_id) == (True, "r1")
    assert (stored[1].done, stored[1].attempts[0].failure, stored[1].attempts[0].run_id) == (
        False,
        "infrastructure",
        None,
    )
    assert "a-1: no route" in stored[1].attempts[0].reason


@pytest.mark.parametrize(
    ("error", "outcome", "kind", "done"),
    [
        (SystemFailure("node-0 ended"), "failed", "system", True),
        (HostError("gone", {}), "failed", "infrastructure", False),
        (ZeroDivisionError("oops"), "failed", "tool", False),
        (Interrupted("Ctrl-C"), "interrupted", None, False),
        (KeyboardInterrupt(), "interrupted", None, False),
    ],
)
def test_failures_are_classified(tmp_path: Path, error: BaseException, outcome: str, kind: str, done: bool) -> None:
    sweep = folder(tmp_path)
    planned = sweep.journal.planned_runs[0]
    sweep.fail(planned, sweep.begin(planned, "r"), error)
    assert (planned.attempts[0].outcome, planned.attempts[0].failure, planned.done) == (outcome, kind, done)
    assert len(planned.attempts) == 1


def test_runs_of_a_killed_runner_are_recovered_from_their_results(tmp_path: Path) -> None:
    sweep = folder(tmp_path)
    for planned, found in zip(
        sweep.journal.planned_runs, [summary("ok"), failed("bad"), failed("net", kind="infrastructure")], strict=False
    ):
        store_run(tmp_path, found)
        sweep.begin(planned, found.run_id)
    sweep.begin(sweep.journal.planned_runs[3], "never-written")
    again = SweepFolder.read(sweep.path)
    again.recover_interrupted()
    outcomes = [(planned.attempts[0].outcome, planned.done) for planned in again.journal.planned_runs]
    assert outcomes == [("ok", True), ("failed", True), ("failed", False), ("killed", False)]
    assert [found.run_id for found in again.summaries()] == ["ok", "bad"]
    assert SweepFolder.read(sweep.path).journal == again.journal


def test_sweep_is_found_and_not_listed_as_a_run(tmp_path: Path) -> None:
    sweep = store_sweep(tmp_path, [("", summary("20260101T000000Z-x"))])
    assert find_sweep(tmp_path, "latest").path == sweep.path
    assert find_sweep(tmp_path, sweep.journal.sweep_id[:20]).path == sweep.path
    assert find_sweep(tmp_path, str(sweep.path)).path == sweep.path
    assert Counter(path.name for path, _, _ in find_runs(tmp_path)) == {"20260101T000000Z-x": 1}
    with pytest.raises(UsageError, match="no sweep or comparison matches 'nope'"):
        find_sweep(tmp_path, "nope")


def test_damaged_journal_is_a_usage_error(tmp_path: Path) -> None:
    sweep = folder(tmp_path)
    document = json.loads((sweep.path / "sweep.json").read_text())
    (sweep.path / "sweep.json").write_text(json.dumps(document | {"planned_runs": 3}))
    with pytest.raises(UsageError, match=r"sweep\.json is not a sweep's journal"):
        SweepFolder.read(sweep.path)
    with pytest.raises(UsageError, match="is not the folder of a sweep"):
        SweepFolder.read(tmp_path)

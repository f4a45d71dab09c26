"""Verdicts: a difference where there is one, none where there is none, and all that has to be said beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from factories.comparisons import LOADS, compared, noisy, side
from factories.result_factory import failed, store_run, store_sweep, summary

from benchmark.compare.comparison import compare_sides, find_side, find_sides
from benchmark.errors import UsageError
from benchmark.results.summary import Summary


def test_a_difference_is_shown_with_three_repeats_of_three_loads(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 3), noisy("b", 1.2, 3))
    assert found.verdict.startswith("B differs from A: ")
    shown = {figure.figure: figure for figure in found.figures}
    assert shown["p99_s"].shown
    assert shown["p99_s"].relative.estimate == pytest.approx(0.2, abs=0.03)
    assert not shown["completed_tps"].shown
    assert shown["p99_s"].p_adjusted <= 0.05
    assert [at.requested_tps for at in shown["p99_s"].loads] == list(LOADS)


@pytest.mark.parametrize("seed", range(5))
def test_none_is_shown_between_equals(tmp_path: Path, seed: int) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 3, seed=seed), noisy("b", 1.0, 3, seed=seed))
    assert found.verdict == "no difference shown"
    assert not any(figure.shown or any(at.shown for at in figure.loads) for figure in found.figures)


def test_too_few_repeats_say_so(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 3, (100.0,)), noisy("b", 2.0, 3, (100.0,)))
    assert found.verdict == (
        "no difference shown, and none can be with 3 repeats at 1 load(s): 5 of each at one load are needed"
    )
    enough = compared(tmp_path / "more", noisy("a", 1.0, 5, (100.0,)), noisy("b", 2.0, 5, (100.0,)))
    assert "p99 latency +100" in enough.verdict or "p99 latency +99" in enough.verdict


def test_what_else_differs_is_a_warning(tmp_path: Path) -> None:
    a = side(tmp_path, "A", noisy("a", 1.0, 2))
    one = compare_sides(a, side(tmp_path, "B", noisy("b", 1.0, 2), commit="3.5"))
    assert [each.name for each in one.differences] == ["commit"]
    assert one.warnings == []
    two = compare_sides(a, side(tmp_path, "B", noisy("c", 1.0, 2), commit="3.5", versions={"geobench": "9"}))
    assert two.warnings == [
        "A and B differ in 2 things, so what is shown can be due to any: commit: 3.4 against 3.5; "
        "version of geobench: 0.1.0 against 9"
    ]


def later(runs: Sequence[Summary]) -> list[Summary]:
    moved = [run.window.model_copy(update={"start": 9000.0, "end": 9050.0}) for run in runs if run.window]
    return [run.model_copy(update={"window": window}) for run, window in zip(runs, moved, strict=True)]


def elsewhere(runs: Sequence[Summary]) -> list[Summary]:
    return [run.model_copy(update={"leader": "b-0"}) for run in runs]


def partly(runs: Sequence[Summary]) -> list[Summary]:
    return [*runs, failed("gone", 100.0)]


def more(runs: Sequence[Summary]) -> list[Summary]:
    return [*runs, summary("extra", 777.0)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (later, "one after the other"),
        (elsewhere, "of A a-1 led 6; of B b-0 led 6"),
        (partly, "1 of 7 runs of B do not count: 100 tx/s failed (node-0 ended)"),
        (more, "only B was measured at 777 tx/s: not compared"),
    ],
)
def test_what_spoils_a_comparison_is_a_warning(
    tmp_path: Path, change: Callable[[Sequence[Summary]], list[Summary]], said: str
) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 2), change(noisy("b", 1.0, 2)))
    assert any(said in warning for warning in found.warnings), found.warnings


@pytest.mark.parametrize(
    ("factor", "repeats", "outcome"), [(1.2, 3, "fail"), (1.02, 3, "pass"), (0.5, 3, "pass"), (1.2, 1, "inconclusive")]
)
def test_the_gate_fails_only_for_what_is_shown(tmp_path: Path, factor: float, repeats: int, outcome: str) -> None:
    found = compared(tmp_path, noisy("a", 1.0, repeats), noisy("b", factor, repeats), fail_over=0.05)
    assert found.gate is not None
    assert found.gate.outcome == outcome, found.gate


@pytest.mark.parametrize(("factor", "outcome"), [(0.9, "fail"), (0.97, "pass"), (1.1, "pass")])
def test_less_throughput_is_worse_and_more_is_not(tmp_path: Path, factor: float, outcome: str) -> None:
    b = [
        run.model_copy(update={"completed_tps": factor * run.requested_tps - index / 100})
        for index, run in enumerate(noisy("b", 1.0, 6))
    ]
    found = compared(tmp_path, noisy("a", 1.0, 6), b, fail_over=0.05)
    assert found.gate is not None
    assert found.gate.outcome == outcome, found.gate
    assert ("throughput at 100 tx/s by" in found.gate.text) is (outcome == "fail")


def test_the_gate_sees_a_load_that_alone_got_worse(tmp_path: Path) -> None:
    b = [
        run if run.requested_tps < 400 else summary(run.run_id, 400.0, latency=1.0 + index / 1000)
        for index, run in enumerate(noisy("b", 1.0, 6))
    ]
    found = compared(tmp_path, noisy("a", 1.0, 6), b, fail_over=0.05)
    assert found.gate is not None
    assert found.gate.outcome == "fail"
    assert "p99 latency at 400 tx/s" in found.gate.text


def test_the_gate_fails_where_only_b_breaks_the_system(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 2), partly(noisy("b", 1.0, 2)), fail_over=0.05)
    assert found.gate is not None
    assert (found.gate.outcome, found.gate.text) == ("fail", "the system failed in 1 runs of B and 0 of A")


def test_no_load_in_common_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="A was measured at 100 tx/s, B at 200 tx/s"):
        compared(tmp_path, [summary("a", 100)], [summary("b", 200)])


def test_sides_are_found_by_name(tmp_path: Path) -> None:
    first = store_sweep(tmp_path, [("", summary("20260101T000000Z-a", 100)), ("", summary("20260101T000001Z-b", 100))])
    assert len(find_side(tmp_path, first.journal.sweep_id).summaries) == 2
    assert find_side(tmp_path, "20260101T000000Z-a").name == "20260101T000000Z-a"
    assert find_side(tmp_path, "latest").name == first.journal.sweep_id
    with pytest.raises(UsageError, match="holds no two sides"):
        find_sides(tmp_path, [first.journal.sweep_id])
    with pytest.raises(UsageError, match="found 3 names"):
        find_sides(tmp_path, ["x", "y", "z"])


def test_a_comparison_that_was_run_holds_both_sides(tmp_path: Path) -> None:
    runs = [("a", summary("a1", 100)), ("b", summary("b1", 100)), ("a", summary("a2", 100)), ("b", failed("b2", 100))]
    sweep = store_sweep(tmp_path, runs)
    a, b = find_sides(tmp_path, [sweep.journal.sweep_id])
    assert ([run.run_id for run in a.summaries], [run.run_id for run in b.counted]) == (["a1", "a2"], ["b1"])


def test_a_killed_run_cannot_be_compared(tmp_path: Path) -> None:
    (store_run(tmp_path, summary("k")) / "summary.json").unlink()
    with pytest.raises(UsageError, match="run k has no result"):
        find_side(tmp_path, "k")

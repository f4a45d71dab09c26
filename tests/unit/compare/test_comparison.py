"""Comparisons of variants: verdicts, warnings, gates, and how variants are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from factories.comparisons import LOADS, compared, noisy, variant
from factories.result_factory import failed, store_run, store_sweep, summary

from benchmark.compare.comparison import compare_variants, find_variant, find_variants, variant_of
from benchmark.errors import UsageError
from benchmark.measure.run_metrics import Quantile
from benchmark.results.summary import Summary


def test_a_difference_is_significant_with_three_repeats_of_three_loads(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 3), noisy("b", 1.2, 3))
    assert re.match(
        r"B compared with A is worse in mean latency \+[\d.]+ % \(\+[\d.]+ to \+[\d.]+ %\), p50 latency ", found.verdict
    )
    swapped = compared(tmp_path / "swapped", noisy("a", 1.2, 3), noisy("b", 1.0, 3))
    assert swapped.verdict.startswith("B compared with A is better in mean latency -")
    by_name = {each.metric: each for each in found.metrics}
    assert by_name["p99_s"].significant
    assert by_name["p99_s"].relative.estimate == pytest.approx(0.2, abs=0.03)
    assert not by_name["completed_tps"].significant
    assert by_name["p99_s"].p_adjusted <= 0.05
    assert [at.requested_tps for at in by_name["p99_s"].loads] == list(LOADS)


@pytest.mark.parametrize("seed", range(5))
def test_equal_variants_have_no_significant_difference(tmp_path: Path, seed: int) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 3, seed=seed), noisy("b", 1.0, 3, seed=seed))
    assert found.verdict == "no significant difference"
    assert not any(each.significant or any(at.significant for at in each.loads) for each in found.metrics)


def test_too_few_repeats_are_named_in_the_verdict(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 3, (100.0,)), noisy("b", 2.0, 3, (100.0,)))
    assert found.verdict == "not significant; 3 repeats are too few to show any difference, use ≥ 5"
    one_each = compared(tmp_path / "loads", noisy("a", 1.0, 1, (100.0, 200.0)), noisy("b", 2.0, 1, (100.0, 200.0)))
    assert one_each.verdict == ("not significant; 2 runs at 2 loads are too few to show any difference, use ≥ 5 at one")
    single = compared(tmp_path / "single", noisy("a", 1.0, 1, (100.0,)), noisy("b", 2.0, 1, (100.0,)))
    assert single.verdict == "not significant; 1 repeat is too few to show any difference, use ≥ 5"
    enough = compared(tmp_path / "more", noisy("a", 1.0, 5, (100.0,)), noisy("b", 2.0, 5, (100.0,)))
    assert "p99 latency +100" in enough.verdict or "p99 latency +99" in enough.verdict


def test_one_difference_of_the_manifests_is_listed_and_several_are_a_warning(tmp_path: Path) -> None:
    a = variant(tmp_path, "A", noisy("a", 1.0, 2))
    one = compare_variants(a, variant(tmp_path, "B", noisy("b", 1.0, 2), commit="3.5"))
    assert [each.name for each in one.differences] == ["commit"]
    assert one.warnings == []
    two = compare_variants(a, variant(tmp_path, "B", noisy("c", 1.0, 2), commit="3.5", versions={"geobench": "9"}))
    assert two.warnings == [
        "A and B differ in 2 ways (commit: 3.4 against 3.5; version of geobench: 0.1.0 against 9); "
        "the effect cannot be attributed to one"
    ]


def test_long_list_of_differences_is_truncated(tmp_path: Path) -> None:
    a = variant(tmp_path, "A", noisy("a", 1.0, 1))
    changed = {f"tool{index}": "9" for index in range(8)}
    (warning,) = compare_variants(a, variant(tmp_path, "B", noisy("b", 1.0, 1), versions=changed)).warnings
    assert warning.startswith("A and B differ in 8 ways (version of tool0: none against 9; ")
    assert "; 2 more); the effect" in warning


def test_metric_that_is_unknown_in_a_run_is_not_compared_and_named(tmp_path: Path) -> None:
    a, b = noisy("a", 1.0, 3), noisy("b", 1.2, 3)
    known = b[4].latency_s
    assert known is not None
    reason = {"mean_s": "client x: `lat_sum` is NaN"}
    b[4] = b[4].model_copy(update={"latency_s": known.model_copy(update={"mean": None}), "unknown": reason})
    found = compared(tmp_path, a, b)
    assert [each.metric for each in found.metrics] == ["completed_tps", "p50_s", "p99_s"]
    text = "mean latency is not compared: unknown in 1 of 9 runs of B (client x: `lat_sum` is NaN)"
    assert text in found.warnings


def later(runs: Sequence[Summary]) -> list[Summary]:
    moved = [run.window.model_copy(update={"start": 9000.0, "end": 9050.0}) for run in runs if run.window]
    return [run.model_copy(update={"window": window}) for run, window in zip(runs, moved, strict=True)]


def led_by(*leaders: str | None) -> Callable[[Sequence[Summary]], list[Summary]]:
    """Return a function that assigns the leaders to runs alternately."""
    return lambda runs: [
        run.model_copy(update={"leader": leaders[index % len(leaders)]}) for index, run in enumerate(runs)
    ]


def logged(runs: Sequence[Summary]) -> list[Summary]:
    return [run.model_copy(update={"sources": {"latency_s": "latency_log"}}) for run in runs]


def partly(runs: Sequence[Summary]) -> list[Summary]:
    return [*runs, failed("gone", 100.0)]


def more(runs: Sequence[Summary]) -> list[Summary]:
    return [*runs, summary("extra", 777.0)]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (later, "one after the other"),
        (led_by("b-0"), "latency depends on which host leads; A: a-1 in 100 % of runs; B: b-0 in 100 % of runs"),
        (led_by("a-1", "b-0"), "; B: a-1 in 50 % of runs, b-0 in 50 % of runs"),
        (led_by(None), "; B: unknown"),
        (partly, "1 of 7 runs of B do not count: 100 tx/s failed (system): node-0 ended"),
        (logged, "latencies of A are from samples of Prometheus, those of B from latency logs, which count other"),
        (more, "only B was measured at 777 tx/s: not compared"),
    ],
)
def test_limits_of_a_comparison_are_warnings(
    tmp_path: Path, change: Callable[[Sequence[Summary]], list[Summary]], text: str
) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 2), change(noisy("b", 1.0, 2)))
    assert any(text in warning for warning in found.warnings), found.warnings


@pytest.mark.parametrize("repeats", [(2, 6), (1, 3)])
def test_the_same_leader_in_a_different_number_of_runs_is_no_warning(tmp_path: Path, repeats: tuple[int, int]) -> None:
    a, b = (noisy(name, 1.0, count) for name, count in zip("ab", repeats, strict=True))
    assert compared(tmp_path, a, b).warnings == []


def test_equal_shares_of_several_leaders_are_no_warning(tmp_path: Path) -> None:
    a, b = noisy("a", 1.0, 2, (100.0,)), noisy("b", 1.0, 6, (100.0,))
    shared = led_by("a-1", "b-0")
    assert compared(tmp_path, shared(a), shared(b)).warnings == []


@pytest.mark.parametrize(
    ("factor", "repeats", "outcome"), [(1.2, 3, "fail"), (1.02, 3, "pass"), (0.5, 3, "pass"), (1.2, 1, "inconclusive")]
)
def test_the_gate_fails_only_for_significant_differences(
    tmp_path: Path, factor: float, repeats: int, outcome: str
) -> None:
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


def test_gate_fails_if_a_single_load_is_worse(tmp_path: Path) -> None:
    b = [
        run if run.requested_tps < 400 else summary(run.run_id, 400.0, latency=1.0 + index / 1000)
        for index, run in enumerate(noisy("b", 1.0, 6))
    ]
    found = compared(tmp_path, noisy("a", 1.0, 6), b, fail_over=0.05)
    assert found.gate is not None
    assert found.gate.outcome == "fail"
    assert "p99 latency at 400 tx/s" in found.gate.text


def test_gate_fails_if_the_system_fails_only_in_b(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy("a", 1.0, 2), partly(noisy("b", 1.0, 2)), fail_over=0.05)
    assert found.gate is not None
    assert (found.gate.outcome, found.gate.text) == ("fail", "the system failed in 1 runs of B and 0 of A")


def test_variants_without_a_common_load_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both have a valid run; A: valid at 100 tx/s; B: valid at 200 tx/s"):
        compared(tmp_path, [summary("a", 100)], [summary("b", 200)])


def test_runs_that_do_not_count_are_named_if_none_is_left(tmp_path: Path) -> None:
    changes = {"status": "invalid", "reasons": ["client a-1: fewer than 2 samples in the window of 1.0 s"]}
    invalid = summary("a", 100).model_copy(update=changes)
    with pytest.raises(
        UsageError, match=r"A: no valid run, 100 tx/s invalid: client a-1: fewer than 2 samples .*; B: "
    ):
        compared(tmp_path, [invalid], [summary("b", 100)])


def comparison_with_runs(results: Path) -> str:
    """Store a comparison of two runs of A and one of B, whose second run failed; return its id."""
    runs = [("a", summary("a1", 100)), ("b", summary("b1", 100)), ("a", summary("a2", 100)), ("b", failed("b2", 100))]
    return store_sweep(results, runs).journal.sweep_id


def test_variants_are_runs_or_sweeps_by_name(tmp_path: Path) -> None:
    first = store_sweep(tmp_path, [("", summary("20260101T000000Z-a", 100)), ("", summary("20260101T000001Z-b", 100))])
    assert len(find_variant(tmp_path, first.journal.sweep_id).summaries) == 2
    assert find_variant(tmp_path, "20260101T000000Z-a").name == "20260101T000000Z-a"
    assert find_variant(tmp_path, "latest").name == first.journal.sweep_id
    assert find_variant(tmp_path, str(first.path)).name == first.journal.sweep_id


def test_latest_is_a_run_that_is_newer_than_any_sweep(tmp_path: Path) -> None:
    store_sweep(tmp_path, [("", summary("20260101T000000Z-a", 100))])
    store_run(tmp_path, summary("99990101T000000Z-b", 100))
    assert find_variant(tmp_path, "latest").name == "99990101T000000Z-b"


def test_name_of_a_comparison_selects_both_its_variants(tmp_path: Path) -> None:
    a, b = find_variants(tmp_path, [comparison_with_runs(tmp_path)])
    assert ([run.run_id for run in a.summaries], [run.run_id for run in b.counted]) == (["a1", "a2"], ["b1"])


def test_a_variant_of_a_comparison_is_named_by_its_letter(tmp_path: Path) -> None:
    name = comparison_with_runs(tmp_path)
    a, b = find_variants(tmp_path, [f"{name}:a", f"{name[:16]}:b"])
    assert [run.run_id for run in a.summaries] == ["a1", "a2"]
    assert [run.run_id for run in b.summaries] == ["b1", "b2"]
    assert (a.name, b.name) == (f"{name} A", f"{name} B")
    other = store_run(tmp_path, summary("other", 100))
    assert find_variants(tmp_path, [f"{name}:a", other.name])[1].name == "other"


@pytest.mark.parametrize("position", [0, 1])
def test_a_whole_comparison_is_not_pooled_into_one_variant(tmp_path: Path, position: int) -> None:
    name = comparison_with_runs(tmp_path)
    names = ["a1", "a1"]
    names[position] = name
    with pytest.raises(UsageError, match=f"is a comparison of 2 variants; name one of them: {name}:a or {name}:b"):
        find_variants(tmp_path, names)


def test_names_that_do_not_select_two_variants_are_errors(tmp_path: Path) -> None:
    sweep = store_sweep(tmp_path, [("", summary("20260101T000000Z-a", 100))]).journal.sweep_id
    with pytest.raises(UsageError, match="is not a comparison; name a second run or sweep"):
        find_variants(tmp_path, [sweep])
    with pytest.raises(UsageError, match="found 3 names; name two runs or sweeps, or one comparison"):
        find_variants(tmp_path, ["x", "y", "z"])
    with pytest.raises(UsageError, match=f"{sweep} is not a comparison, so it has no variant B; name it without :b"):
        find_variant(tmp_path, f"{sweep}:b")


def test_a_killed_run_cannot_be_compared(tmp_path: Path) -> None:
    (store_run(tmp_path, summary("k")) / "summary.json").unlink()
    with pytest.raises(UsageError, match="run k has no result: it was killed before it had one"):
        find_variant(tmp_path, "k")


def test_metrics_missing_in_a_run_are_not_compared(tmp_path: Path) -> None:
    silent = [run.model_copy(update={"latency_s": None}) for run in noisy("b", 1.0, 2)]
    found = compared(tmp_path, noisy("a", 1.0, 2), silent)
    assert [each.metric for each in found.metrics] == ["completed_tps"]
    nothing = [run.model_copy(update={"completed_tps": 0.0}) for run in silent]
    verdict = compared(tmp_path / "idle", noisy("a", 1.0, 2), nothing).verdict
    assert verdict == "nothing to compare: a run of A or B has none of the metrics"


def test_variants_have_the_names_that_the_user_gave(tmp_path: Path) -> None:
    folder = store_sweep(tmp_path, [("a", summary("r1")), ("b", summary("r2"))])
    options = {"a": ["committee=3", "--token=abc"], "b": ["committee=5"]}
    folder.journal = folder.journal.model_copy(update={"options": options})
    a, b = (variant_of(folder, arm) for arm in ("a", "b"))
    assert a.named("A").startswith("A (committee=3")
    assert "abc" not in a.title
    assert b.named("B") == "B (committee=5)"
    folder.journal = folder.journal.model_copy(update={"options": {"commits": ["main", "fix"]}})
    assert [variant_of(folder, arm).title for arm in ("a", "b")] == ["commit=main", "commit=fix"]
    folder.journal = folder.journal.model_copy(update={"options": {}})
    assert variant_of(folder, "a").named("A") == "A"
    folder.journal = folder.journal.model_copy(update={"options": {"a": ["x" * 99]}})
    assert variant_of(folder, "a").title == "x" * 29 + "…"


def test_a_comparison_with_itself_says_so(tmp_path: Path) -> None:
    same, other = variant(tmp_path, "A", noisy("a", 1.0, 2)), noisy("b", 1.0, 2)
    assert "A and B are the same runs: any difference is 0 by definition" in compare_variants(same, same).warnings
    mixed = replace(same, summaries=[same.summaries[0], *variant(tmp_path, "B", other).summaries])
    (warning,) = [text for text in compare_variants(same, mixed).warnings if "independent" in text]
    assert warning.startswith("1 of the runs of A are runs of B as well")


def test_values_that_are_only_lower_bounds_are_named(tmp_path: Path) -> None:
    b = noisy("b", 1.0, 2)
    assert b[0].latency_s
    unbounded = b[0].latency_s.model_copy(update={"p99": Quantile(estimate=10.0, lower=10.0, upper=None)})
    b[0] = b[0].model_copy(update={"latency_s": unbounded})
    found = compared(tmp_path, noisy("a", 1.0, 2), b)
    text = "p99 latency of B at 100 tx/s is higher than shown in 1 of 6 runs: only a lower bound is known"
    assert [warning for warning in found.warnings if "lower bound" in warning] == [text]


def test_intervals_at_single_loads_that_exclude_0_are_explained_only_where_there_are_some(tmp_path: Path) -> None:
    different = compared(tmp_path / "different", noisy("a", 1.0, 3), noisy("b", 1.2, 3))
    assert different.remark.startswith("at a single load, an interval can exclude 0 and yet not be")
    assert compared(tmp_path / "same", noisy("a", 1.0, 3), noisy("c", 1.0, 3)).remark == ""

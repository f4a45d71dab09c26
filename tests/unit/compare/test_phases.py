"""Phases over repeats, and of two variants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from factories.comparisons import variant
from factories.result_factory import summary

from benchmark.compare.comparison import compare_variants
from benchmark.compare.phases import compare_phases, phase_medians
from benchmark.compare.repeats import over_repeats
from benchmark.measure.phases import PhaseStats
from benchmark.measure.window_stats import WindowStats
from benchmark.results.summary import Summary


def stats(tps: float | None, failed: int | None) -> WindowStats:
    return WindowStats(
        completed_tps=tps, sent_tps=None, scheduled_tps=None, backlog_tps=None, completed=None, sampled_seconds=10,
        latency_s=None, errors=None if failed is None else {"timeout": failed},
    )  # fmt: skip


def runs(arm: str, attacks: Sequence[float | None], load: float = 100.0) -> list[Summary]:
    """Runs with two phases; in the second, each completed so many tx/s."""
    made = []
    for index, attack in enumerate(attacks):
        parts = {"healthy": stats(load, 0), "attack": stats(attack, 3 * index)}
        phases = [PhaseStats(name=name, label=name, start=0, end=1, stats=each) for name, each in parts.items()]
        made.append(summary(f"20260101T00000{index}Z-{arm}", load, at=index).model_copy(update={"phases": phases}))
    return made


def test_phases_have_medians_over_the_repeats() -> None:
    (load,) = over_repeats(runs("a", [10.0, 30.0, 26.0]))
    healthy, attack = load.phases
    assert (healthy.phase, healthy.metrics["completed_tps"], healthy.metrics["failed"]) == ("healthy", 100.0, 0.0)
    assert (attack.metrics["completed_tps"], attack.metrics["failed"], attack.metrics["p99_s"]) == (26.0, 3.0, None)
    assert attack.values["completed_tps"] == [10.0, 30.0, 26.0]


def test_a_median_is_unknown_where_a_run_does_not_know_it() -> None:
    _, attack = phase_medians(runs("a", [10.0, None]))
    assert attack.metrics["completed_tps"] is None
    assert attack.values["completed_tps"] == [10.0, None]
    assert phase_medians([]) == []


def test_only_phases_of_all_runs_count() -> None:
    first, second = runs("a", [10.0, 20.0])
    assert [each.phase for each in phase_medians([first, second.model_copy(update={"phases": second.phases[:1]})])] == [
        "healthy"
    ]


def test_a_comparison_has_the_phases_of_both_sides(tmp_path: Path) -> None:
    a, b = variant(tmp_path, "A", runs("a", [10.0, 14.0])), variant(tmp_path, "B", runs("b", [20.0, 26.0, 90.0]))
    _, attack = compare_variants(a, b).phases
    assert (attack.requested_tps, attack.a.metrics["completed_tps"]) == (100.0, pytest.approx(12.0))
    assert attack.b.metrics["completed_tps"] == 26.0
    assert compare_phases(a.counted, [run.model_copy(update={"phases": []}) for run in b.counted], [100.0]) == []

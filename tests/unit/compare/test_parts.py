"""Parts of the latency of two variants side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from factories.comparisons import variant
from factories.result_factory import STAGES_S, breakdown, summary

from benchmark.compare.comparison import compare_variants
from benchmark.compare.parts import ComparedPart, compare_parts
from benchmark.report.sweep_tables import parts_table
from benchmark.results.summary import Summary


def runs(arm: str, factors: list[float]) -> list[Summary]:
    """Runs whose stage `order` is slower by these factors."""
    return [
        summary(f"20260101T00000{index}Z-{arm}", at=index).model_copy(
            update={"breakdown": breakdown(STAGES_S | {"order": STAGES_S["order"] * factor})}
        )
        for index, factor in enumerate(factors)
    ]


def part(found: list[ComparedPart], name: str, value: str = "") -> ComparedPart:
    (one,) = (each for each in found if (each.part, each.value) == (name, value))
    return one


def test_the_part_that_differs_is_shown_with_its_medians(tmp_path: Path) -> None:
    compared = compare_variants(
        variant(tmp_path, "A", runs("a", [1.0, 1.0, 9.0])), variant(tmp_path, "B", runs("b", [2.0, 2.0, 2.0]))
    )
    order, fsync = part(compared.parts, "stages", "order"), part(compared.parts, "fsync")
    assert order.a_mean_s
    assert order.b_mean_s == pytest.approx(2 * order.a_mean_s, rel=0.02)
    assert fsync.b_mean_s == pytest.approx(fsync.a_mean_s, rel=0.05)
    commits = part(compared.parts, "commit type", "direct-commit")
    assert (commits.a_mean_s, commits.a_per_s) == (None, pytest.approx(3 * 9.0))
    table = parts_table(compared)
    assert table
    (row,) = (row for row in table.rows if row[0].text == "stages order")
    assert row[4].text.startswith("+")
    assert [cell.text for cell in row[1:3]] == ["100", "100 ms".replace(" ", "\N{NO-BREAK SPACE}")]


def test_what_a_run_does_not_know_is_unknown() -> None:
    a = runs("a", [1.0, 1.0])
    stages, *others = a[1].breakdown
    lost = stages.values["order"].model_copy(update={"latency_s": None})
    without = stages.model_copy(update={"values": {"order": lost}})
    changed = [a[0], a[1].model_copy(update={"breakdown": [without, *others]})]
    found = compare_parts(changed, runs("b", [1.0]), [100.0])
    assert part(found, "stages", "order").a_mean_s is None
    assert not [each for each in found if each.value == "queue"], "one run of A has no such value"
    assert compare_parts(changed, [summary("c")], [100.0]) == []

"""Outages and recoveries over repeats, and of two variants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from factories.comparisons import variant
from factories.result_factory import summary

from benchmark.compare.comparison import compare_variants
from benchmark.compare.faults import compare_faults, fault_spreads
from benchmark.compare.repeats import over_repeats
from benchmark.measure.fault_impact import FaultImpact
from benchmark.results.summary import Summary


def runs(arm: str, outages: Sequence[float | None], target: str = "leader", load: float = 100.0) -> list[Summary]:
    """Runs with one crash each, whose outage lasted so long; recovery took twice as long."""
    return [
        summary(f"20260101T00000{index}Z-{arm}", load, at=index).model_copy(
            update={
                "faults": [
                    FaultImpact(
                        kind="crash",
                        target=target,
                        injected=10.0,
                        healed=20.0,
                        outage_s=outage,
                        recovery_s=None if outage is None else 2 * outage,
                    )
                ]
            }
        )
        for index, outage in enumerate(outages)
    ]


def test_outages_over_repeats_are_a_distribution() -> None:
    (found,) = fault_spreads(runs("a", [1.2, 1.0, None, 4.0]))
    assert found.fault == "crash:leader"
    assert (found.outage_s.median_s, found.outage_s.least_s, found.outage_s.most_s) == (1.2, 1.0, 4.0)
    assert (found.outage_s.values_s, found.outage_s.unknown) == ([1.2, 1.0, 4.0], 1)
    assert found.recovery_s.median_s == 2.4


def test_what_no_run_knows_is_unknown() -> None:
    (found,) = fault_spreads(runs("a", [None, None]))
    assert (found.outage_s.median_s, found.outage_s.most_s, found.outage_s.unknown) == (None, None, 2)


def test_kinds_and_targets_are_kept_apart_and_summarised_per_load() -> None:
    both = [*runs("a", [1.0]), *runs("b", [2.0], target="one"), *runs("c", [3.0], load=200.0)]
    at_100, at_200 = over_repeats(both)
    assert [(each.fault, each.outage_s.median_s) for each in at_100.faults] == [
        ("crash:leader", 1.0),
        ("crash:one", 2.0),
    ]
    assert [each.outage_s.median_s for each in at_200.faults] == [3.0]


def test_a_comparison_has_the_faults_of_both_sides(tmp_path: Path) -> None:
    a, b = variant(tmp_path, "A", runs("a", [1.0, 1.4])), variant(tmp_path, "B", runs("b", [2.0, 2.6, 9.0]))
    (found,) = compare_variants(a, b).faults
    assert (found.requested_tps, found.a.outage_s.median_s, found.b.outage_s.median_s) == (
        100.0,
        pytest.approx(1.2),
        2.6,
    )
    assert compare_faults(a.counted, runs("b", [1.0], target="one"), [100.0]) == []

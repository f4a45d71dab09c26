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
from benchmark.measure.fault_impact import FaultImpact, RegionImpact
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
                        lost=index,
                        catch_up_s={"a-1": 0.5, "b-0": outage},
                        regions={
                            "a": RegionImpact(outage_s=0.0, recovery_s=0.0, availability=1.0),
                            "b": RegionImpact(outage_s=outage, recovery_s=None, availability=0.5),
                        },
                    )
                ]
            }
        )
        for index, outage in enumerate(outages)
    ]


def test_outages_over_repeats_are_a_distribution() -> None:
    (found,) = fault_spreads(runs("a", [1.2, 1.0, None, 4.0]))
    assert found.fault == "crash:leader"
    assert (found.outage_s.median, found.outage_s.least, found.outage_s.most) == (1.2, 1.0, 4.0)
    assert (found.outage_s.values, found.outage_s.unknown) == ([1.2, 1.0, 4.0], 1)
    assert found.recovery_s.median == 2.4
    assert (found.lost.values, found.availability.unknown) == ([0, 1, 2, 3], 4)
    assert (found.catch_up_s.values, found.catch_up_s.unknown) == ([1.2, 1.0, 4.0], 1), "of the slowest node"


def test_regions_have_distributions_of_their_own() -> None:
    (found,) = fault_spreads(runs("a", [1.2, 1.0, None]))
    assert found.regions["a"].outage_s.values == [0.0, 0.0, 0.0]
    assert (found.regions["b"].outage_s.most, found.regions["b"].availability.median) == (1.2, 0.5)
    assert (found.regions["b"].recovery_s.median, found.regions["b"].recovery_s.unknown) == (None, 3)
    plain = [run.model_copy(update={"faults": [run.faults[0].model_copy(update={"catch_up_s": {}})]})
             for run in runs("a", [1.0])]  # fmt: skip
    assert fault_spreads(plain)[0].catch_up_s.unknown == 0, "it is not measured"


def test_what_no_run_knows_is_unknown() -> None:
    (found,) = fault_spreads(runs("a", [None, None]))
    assert (found.outage_s.median, found.outage_s.most, found.outage_s.unknown) == (None, None, 2)


def test_kinds_and_targets_are_kept_apart_and_summarised_per_load() -> None:
    both = [*runs("a", [1.0]), *runs("b", [2.0], target="one"), *runs("c", [3.0], load=200.0)]
    at_100, at_200 = over_repeats(both)
    assert [(each.fault, each.outage_s.median) for each in at_100.faults] == [
        ("crash:leader", 1.0),
        ("crash:one", 2.0),
    ]
    assert [each.outage_s.median for each in at_200.faults] == [3.0]


def test_a_comparison_has_the_faults_of_both_sides(tmp_path: Path) -> None:
    a, b = variant(tmp_path, "A", runs("a", [1.0, 1.4])), variant(tmp_path, "B", runs("b", [2.0, 2.6, 9.0]))
    (found,) = compare_variants(a, b).faults
    assert (found.requested_tps, found.a.outage_s.median, found.b.outage_s.median) == (
        100.0,
        pytest.approx(1.2),
        2.6,
    )
    assert compare_faults(a.counted, runs("b", [1.0], target="one"), [100.0]) == []

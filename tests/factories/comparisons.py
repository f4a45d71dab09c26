"""Variants and comparisons of runs with made-up latencies."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from factories.result_factory import manifest, store_run, summary

from benchmark.compare.comparison import Compared, Variant, compare_variants
from benchmark.results.summary import Summary

LOADS = (100.0, 200.0, 400.0)


def noisy(name: str, factor: float, repeats: int, loads: Sequence[float] = LOADS, seed: int = 1) -> list[Summary]:
    """Return runs whose latency is `factor` times that of the load, ± 2 %, all at the same time."""
    chance = random.Random(f"{name}{seed}")
    return [
        summary(f"{name}-{load:g}-{index}", load, latency=factor * load / 1000 * chance.uniform(0.98, 1.02))
        for index in range(repeats)
        for load in loads
    ]


def variant(results: Path, name: str, runs: Sequence[Summary], **changed: object) -> Variant:
    for run in runs:
        store_run(results, run, manifest(**changed))
    return Variant(name, results / "t", runs)


def compared(results: Path, a: Sequence[Summary], b: Sequence[Summary], fail_over: float | None = None) -> Compared:
    return compare_variants(variant(results, "A", a), variant(results, "B", b, commit="3.5"), fail_over=fail_over)

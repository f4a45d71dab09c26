"""Pair what both variants have at the same load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from benchmark.results.summary import Summary

Key = TypeVar("Key")
Value = TypeVar("Value")


def in_both(
    a: Sequence[Summary],
    b: Sequence[Summary],
    loads: Sequence[float],
    summarise: Callable[[Sequence[Summary]], Mapping[Key, Value]],
) -> Iterator[tuple[float, Key, Value, Value]]:
    """Yield load, key, value of A and value of B for each key that `summarise` finds in the runs of both at a load."""
    for load in loads:
        of_a, of_b = (summarise([run for run in runs if run.requested_tps == load]) for runs in (a, b))
        for key, value in of_a.items():
            if key in of_b:
                yield load, key, value, of_b[key]

"""Zipf's distribution, against its probabilities."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.host_scripts.load_generator.zipf import Zipf, spread


@pytest.mark.parametrize(
    ("count", "exponent"), [(1, 0.99), (2, 0.99), (10, 1.0), (100, 0.5), (100, 0.99), (100, 2.0), (10**9, 0.99)]
)
def test_ranks_have_the_probabilities_of_zipf(count: int, exponent: float) -> None:
    draws, zipf = 20_000, Zipf(count, exponent, Random(1).random)
    found = Counter(zipf.draw() for _ in range(draws))
    assert min(found) >= 1
    assert max(found) <= count
    if count > 1000:
        return
    total = sum(rank**-exponent for rank in range(1, count + 1))
    expected = {rank: draws * rank**-exponent / total for rank in range(1, count + 1)}
    large = [rank for rank, number in expected.items() if number >= 5]
    squares = sum((found[rank] - expected[rank]) ** 2 / expected[rank] for rank in large)
    assert squares < len(large) + 5 * (2 * len(large)) ** 0.5  # mean and standard deviation of chi squared


@given(st.integers(1, 10**6))
def test_spread_maps_ranks_to_distinct_numbers(count: int) -> None:
    factor = spread(count)
    ranks = range(1, min(count, 1000) + 1)
    assert len({rank * factor % count for rank in ranks}) == len(ranks)

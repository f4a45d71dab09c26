"""Values of options: what they accept, and the errors that say so."""

from __future__ import annotations

import re

import click
import pytest

from benchmark.cli.parameter_types import MOST_LOADS, NumberType, parse_loads


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found '', expected loads in tx/s, such as 200, 100,200 or FIRST:LAST:STEP"),
        ("100,", "found '100,', expected loads"),
        ("100:200", "found '100:200', expected loads"),
        ("²", "found '²', expected loads"),
        ("-5", "found '-5', expected loads"),
        ("1e3", "found '1e3', expected loads"),
        ("0", "found '0', expected at least 1"),
        ("100:200:0", "found '100:200:0', expected at least 1"),
        ("200:100:10", "found '200:100:10', whose last load is lower than its first"),
        (f"1:{MOST_LOADS + 1}:1", f"expected at most {MOST_LOADS} loads"),
        ("1:99999999999999:1", f"expected at most {MOST_LOADS} loads"),
        (",".join(["1"] * (MOST_LOADS + 1)), f"expected at most {MOST_LOADS} loads"),
    ],
)
def test_wrong_loads_are_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_loads(text)


def test_the_last_load_of_a_range_is_included() -> None:
    assert parse_loads("100:300:100, 7") == (100, 200, 300, 7)
    assert parse_loads("5:5:1") == (5,)
    assert len(parse_loads(f"1:{MOST_LOADS}:1")) == MOST_LOADS


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", "found 'x', expected a whole number"),
        ("0", "at least 1"),
        ("70000", "found 70000, expected at most 65535"),
    ],
)
def test_wrong_numbers_are_explained(value: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=re.escape(message)):
        NumberType(1, 65535).convert(value, None, None)

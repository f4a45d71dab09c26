"""Sizes and bandwidths: what is accepted, and how they are printed."""

from __future__ import annotations

import pytest

from benchmark.settings.sizes import format_bandwidth, format_size, parse_bandwidth, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10**10), ("500 MB", 5 * 10**8), ("1.5TB", 15 * 10**11), ("16GiB", 2**34), ("4KiB", 4096), ("7KB", 7000)],
)
def test_sizes_have_decimal_or_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_bandwidth(f"{text}/s") == size
    assert parse_size(format_size(size)) == size
    assert parse_bandwidth(format_bandwidth(size)) == size


@pytest.mark.parametrize("value", ["", "10", "10G", "GB", "-1GB", "1e3GB", "10GB/s", True, 1.5, None, "9" * 10 + "GB"])
def test_other_texts_are_rejected(value: object) -> None:
    with pytest.raises(ValueError, match="is not a size; write a number and its unit: 500MB, 10GB, 16GiB"):
        parse_size(value)


@pytest.mark.parametrize("value", ["200MB", "200Mb/s", "200mbps", 0.5, False])
def test_a_bandwidth_is_per_second(value: object) -> None:
    with pytest.raises(ValueError, match="is not a bandwidth; write a number and its unit: 200MB/s, 1GB/s"):
        parse_bandwidth(value)

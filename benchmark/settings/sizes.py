"""Parse and format sizes such as `10GB`, and bandwidths such as `200MB/s`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "KB": 10**3, "TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
_FORM = r"(\d{1,9}(?:\.\d+)?) ?([KMGT]i?B)"


def parse_size(value: object) -> int:
    """Parse `10GB` or `512MiB` into bytes; ValueError otherwise."""
    return _parse(value, "", "a size; write a number and its unit: 500MB, 10GB, 16GiB")


def parse_bandwidth(value: object) -> int:
    """Parse `200MB/s` into bytes per second; ValueError otherwise."""
    return _parse(value, "/s", "a bandwidth; write a number and its unit: 200MB/s, 1GB/s")


def format_size(value: int) -> str:
    """Format bytes in the largest unit that gives a whole number, such as `10GB`."""
    for unit, factor in _UNITS.items():
        if value and value % factor == 0:
            return f"{value // factor}{unit}"
    return f"{value / 1000:g}KB"


def format_bandwidth(value: int) -> str:
    """Format bytes per second like `format_size`, such as `200MB/s`."""
    return f"{format_size(value)}/s"


def _parse(value: object, suffix: str, kind: str) -> int:
    if type(value) is int:
        return value  # a default
    found = re.fullmatch(_FORM + suffix, value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is not {kind}")
    return round(float(found[1]) * _UNITS[found[2]])


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"type": "string"}),
]
Bandwidth = Annotated[
    int,
    BeforeValidator(parse_bandwidth),
    PlainSerializer(format_bandwidth, return_type=str),
    WithJsonSchema({"type": "string"}),
]

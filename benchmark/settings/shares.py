"""Parse shares such as `5%` or `0.05`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field


def parse_share(value: object) -> object:
    """Return `30%` as 0.3, and anything else as it is: the field checks it."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            return float(value.removesuffix("%")) / 100
        except ValueError:
            return value
    return value


Share = Annotated[float, BeforeValidator(parse_share, json_schema_input_type=str | float), Field(gt=0, le=1)]
"""A share above 0 and up to 1, also as a percentage."""

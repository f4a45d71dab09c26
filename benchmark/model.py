"""The base of all models that are written to disk and read back."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that JSON can hold."""


class StrictModel(BaseModel):
    """An immutable record: unknown fields and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class EditableModel(BaseModel):
    """A record that is kept up to date; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

"""The base of all models that users write in settings and in files which settings name."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator


class SettingsModel(BaseModel):
    """An immutable part of the settings; unknown fields and empty texts are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, value: object) -> object:
        """Reject an empty text, such as that of a variable: it must not mean the default, or this folder."""
        if value == "":
            raise ValueError("it is empty; give it a value or remove the field")
        return value

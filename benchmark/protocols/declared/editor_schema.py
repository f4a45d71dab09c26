"""The JSON schema of files that describe a system, by which editors complete and check them."""

from __future__ import annotations

from typing import Any

from benchmark.protocols.declared.schema import Declaration

_SHORT_FORMS = ("Expectation", "HistogramsDeclaration")
"""Models that may be written as one text."""


def system_schema() -> dict[str, Any]:
    """Return the model's JSON schema, with the short forms that its validators accept."""
    schema = Declaration.model_json_schema(by_alias=True)
    for name in _SHORT_FORMS:
        fields = schema["$defs"][name]
        schema["$defs"][name] = {"description": fields["description"], "anyOf": [{"type": "string"}, fields]}
    return schema

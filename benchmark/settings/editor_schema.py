"""The JSON schema of settings files, by which editors complete and check them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from benchmark.settings.durations import format_duration
from benchmark.settings.model import Settings

SCHEMA_FILE = "settings.schema.json"
"""Name under which the schema lies beside a settings file."""
DURATION = {
    "description": "Seconds, such as `90`, or a number with a unit: `250ms`, `90s`, `3m`, `12h`, `1d`.",
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)? *(ms|s|m|h|d)?$|\$\{"},
    ],
}


def editor_schema() -> dict[str, Any]:
    """Return the model's JSON schema with durations as people write them; pydantic's own has ISO 8601 defaults."""
    schema = Settings.model_json_schema()
    schema["$defs"]["Duration"] = DURATION
    for name, field in Settings.model_fields.items():
        if field.annotation is timedelta:
            kept = {key: schema["properties"][name][key] for key in ("description", "title")}
            schema["properties"][name] = kept | {"$ref": "#/$defs/Duration", "default": format_duration(field.default)}
    return schema


def schema_text(schema: Mapping[str, Any]) -> str:
    """Return the text of a schema file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"

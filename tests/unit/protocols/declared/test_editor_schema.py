"""The schema for editors describes what the files of systems may contain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from paths import ROOT

from benchmark.protocols.declared.editor_schema import system_schema
from benchmark.settings import read_document

SCHEMA = system_schema()
SYSTEMS = sorted((ROOT / "assets" / "declared").glob("*.yaml"))


def unknown(value: object, schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of fields that no alternative of the schema has."""
    if "$ref" in schema:
        yield from unknown(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    elif alternatives := schema.get("anyOf", schema.get("oneOf")):
        yield from min((list(unknown(value, each, path)) for each in alternatives), key=len)
    elif isinstance(value, dict):
        if schema.get("type") != "object":
            yield path
        fields = schema.get("properties", {})
        open_ended = schema.get("additionalProperties", "patternProperties" in schema)
        for name, item in value.items():
            if name in fields:
                yield from unknown(item, fields[name], f"{path}.{name}")
            elif open_ended is False:
                yield f"{path}.{name}"
    elif isinstance(value, list):
        if schema.get("type") != "array":
            yield path
        for item in value:
            yield from unknown(item, schema.get("items", {}), path)
    elif schema.get("type") in ("object", "array"):
        yield path


@pytest.mark.parametrize("file", SYSTEMS, ids=lambda file: file.name)
def test_schema_has_every_field_of_the_examples(file: Any) -> None:
    assert list(unknown(read_document(file).content, SCHEMA)) == []


def test_schema_rejects_unknown_fields() -> None:
    wrong = {"name": "x", "nod": {}, "node": {"command": "run", "comand": "run"}, "load": {"expect": {"mach": "x"}}}
    assert sorted(unknown(wrong, SCHEMA)) == [".load.expect.mach", ".nod", ".node.comand"]


def test_schema_accepts_short_forms() -> None:
    short = {"load": {"url": "u", "expect": "ok"}, "client": {"command": "run", "latency_log": "*.hdr"}}
    assert list(unknown(short, SCHEMA)) == []

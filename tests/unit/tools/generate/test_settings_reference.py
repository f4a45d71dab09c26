"""The generated settings reference: up to date, complete, and in agreement with what the settings accept."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from paths import ROOT

from benchmark.settings import Machine, Network, Repository, Settings, load_settings, parse_duration, stack_settings
from benchmark.settings.editor_schema import DURATION, editor_schema
from tools.generate.settings_reference import describe_type, reference

DURATION_PATTERN = str(DURATION["anyOf"][1]["pattern"])  # type: ignore[index]


@pytest.mark.parametrize("model", [Settings, Machine, Network, Repository])
def test_reference_has_a_row_with_the_docstring_of_every_field(model: type[Settings]) -> None:
    text = reference(editor_schema())
    for name, field in model.model_fields.items():
        row = re.search(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert row, name
        assert field.description, f"{name} has no docstring"
        assert " ".join(field.description.split()) in text


def test_every_link_of_the_reference_has_its_section() -> None:
    text = reference(editor_schema())
    sections = {heading.lower() for heading in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    links = set(re.findall(r"\]\(#([a-z]+)\)", text))
    assert links == sections
    assert {"duration", "machine"} <= links


def test_default_durations_have_units() -> None:
    schema = editor_schema()
    assert schema["properties"]["benchmark_duration"]["default"] == "3m"
    assert "PT" not in json.dumps([field.get("default") for field in schema["properties"].values()])


@pytest.mark.parametrize("text", ["90", "90s", "1.5h", "250ms", "12 h", "1d"])
def test_schema_accepts_the_durations_that_the_settings_accept(text: str) -> None:
    assert parse_duration(text) > timedelta(0)
    assert re.search(DURATION_PATTERN, text)


@pytest.mark.parametrize("text", ["", "s", "90 seconds", "-3s", "3m20s"])
def test_schema_rejects_the_durations_that_the_settings_reject(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
    assert not re.search(DURATION_PATTERN, text)


def test_schema_accepts_a_duration_from_the_environment() -> None:
    assert re.search(DURATION_PATTERN, "${DURATION}")


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, "whole number (≥ 1, ≤ 9)"),
        ({"type": "number", "exclusiveMinimum": 0.0}, "number (> 0)"),
        ({"type": "string", "format": "path"}, "path"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "true or false or null"),
        ({"anyOf": [{"type": "string"}, {"type": "string"}]}, "text"),
        ({"type": "array", "items": {"$ref": "#/$defs/Machine"}}, "list of [Machine](#machine)"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "mapping to number"),
        ({"type": "object", "additionalProperties": True}, "mapping"),
        ({"enum": ["aws", "local"]}, "`aws` \\| `local`"),
        ({"type": "string", "pattern": "^(a|b)$"}, "text (like `^(a\\|b)$`)"),
    ],
)
def test_types_are_described_in_words(field: dict[str, object], words: str) -> None:
    assert describe_type(field) == words


def test_settings_of_the_dev_stack_span_three_regions_of_this_machine() -> None:
    settings = stack_settings(ROOT, "dev")
    assert settings == load_settings(ROOT / "assets/settings.local.yaml")
    assert (settings.testbed_id, settings.cloud_provider, settings.instances) == ("dev", "local", 4)
    assert settings.regions == ("us-east-1", "eu-west-1", "ap-northeast-1")


def test_settings_of_the_dev_stack_point_editors_to_the_schema() -> None:
    first = (ROOT / "assets/settings.local.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert (ROOT / "assets" / first.partition("$schema=")[2]).is_file()

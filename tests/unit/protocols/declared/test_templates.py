"""Templates are rendered with known names only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import SettingsError
from benchmark.protocols.declared.templates import Templates
from benchmark.settings.document import read_document

NODES = [{"name": "node-0", "address": "198.18.0.2"}, {"name": "node-1", "address": "198.18.0.3"}]


def render(folder: Path, text: str, **names: Any) -> str:
    path = folder / "s.yaml"
    path.write_text("a: 1\ntext: |\n" + "".join(f"    {line}\n" for line in text.splitlines()))
    document = read_document(path)
    return Templates(document).render(("text",), document.content["text"], names)


def test_names_loops_and_conditions_are_rendered(tmp_path: Path) -> None:
    text = """\
{% for node in nodes %}
{{ node.name }}={{ node.address }}{{ "," if not loop.last }}
{% endfor %}
{% if nodes | length > 1 %}
many
{% endif %}
"""
    assert render(tmp_path, text, nodes=NODES) == "node-0=198.18.0.2,\nnode-1=198.18.0.3\nmany\n"


def test_entries_take_precedence_over_methods_of_mappings(tmp_path: Path) -> None:
    assert (
        render(tmp_path, "{{ parameters.keys }} {{ parameters.items }}", parameters={"keys": 7, "items": 8}) == "7 8\n"
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("fine\nport {{ prt }}", 4, 13, "'prt' is unknown; known are: node, nodes, parameters"),
        ("{{ node.adress }}", 3, 13, "'adress' is unknown; did you mean 'address'? known are: address, name"),
        ("a\n\n  {{ nodes[0].port }}", 5, 19, "'port' is unknown; known are: address, name"),
        ("{{ parameters.items }}", 3, 19, "'items' is unknown; known are: none"),
        ("name {{ name }}", 3, 13, "'name' is unknown"),
        ("{% if node %}\n{{ never }}\n{% endif %}", 4, 8, "'never' is unknown"),
        ("{% if false %}\n{{ never }}\n{% endif %}", 4, 8, "'never' is unknown"),
        ("one\n{% for x in nodes %}", 4, 5, "Unexpected end of template"),
        ("{{ node. }}", 3, 5, "expected name or number"),
        ("{{ nodes[5].name }}", 3, 5, "no element 5"),
        ("{{ 1 / 0 }}", 3, 5, "division by zero"),
        ("{{ node.name | upcase }}", 3, 5, "No filter named 'upcase'"),
    ],
)
def test_errors_have_line_and_column(tmp_path: Path, text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        render(tmp_path, text, nodes=NODES, node=NODES[0], parameters={})
    assert str(error.value).startswith(f"{tmp_path}/s.yaml, line {line}, column {column}: "), str(error.value)
    assert message in str(error.value)

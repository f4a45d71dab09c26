"""YAML files: what cannot be read is an error with line and column, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.settings import parse_value, read_mapping
from benchmark.settings.document import read_document

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))


@pytest.mark.parametrize("read", [read_mapping, read_document])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\ninstances: 2\ninstances: 3\n", "line 3, column 1: 'instances' is already set in line 2; remove one"),
        ("a:\n  b: 1\n  'b': 2\n", "line 3, column 3: 'b' is already set in line 2; remove one of them"),
        ("a: &a\n  b: *a\n", "line 1, column 4: an alias refers to the value that contains it"),
        ("a: &a [1, *a]\n", "line 1, column 4: an alias refers to the value that contains it"),
        (LAUGHS, "more than 100000 values with its aliases"),
        ("a: *b\n", "line 1, column 4: not YAML: found undefined alias 'b'"),
        ("a: 1\nb: !!bool x\n", "line 2, column 4: cannot read 'x' as bool; quote it if it is text"),
        ("b: !!int x\n", "line 1, column 4: cannot read 'x' as int; quote it if it is text"),
        ("b: !!timestamp x\n", "line 1, column 4: cannot read 'x' as timestamp; quote it if it is text"),
        ("b: !!x y\n", "line 1, column 4: unknown tag '!!x'; remove it, or quote the value"),
        ("b: !python y\n", "line 1, column 4: unknown tag '!python'; remove it, or quote the value"),
        ("b: 2026-02-30\n", "line 1, column 4: cannot read '2026-02-30' as timestamp; quote it if it is text"),
        ("a: 1\n? [b, c]\n: 2\n", "line 2, column 3: not YAML: found unhashable key"),
        ("a: 1\n<<: 3\n", "line 2, column 5: not YAML: expected a mapping or list of mappings for merging"),
        ("a: [1\n", "line 2, column 1: not YAML: expected ',' or ']'"),
        ("a: 1\n--- \nb: 2\n", "line 2, column 1: not YAML: but found another document"),
        ("b: 99999999999999999999\n", "line 1, column 4: cannot read '99999999999999999999' as int; quote it"),
        ("b: 0x" + "f" * 5000, "as int; quote it if it is text"),
        ('b: "a\\0"\n', r"line 1, column 4: cannot read 'a\x00' as str"),
        ('b: "\\uD83D"\n', r"line 1, column 4: cannot read '\ud83d' as str"),
        ("a: 1\nm: {{ ports.m }}\n", 'line 2, column 4: quote templates: `m: "{{ ports.m }}"`'),
        ("a: 1\nm: {{ ports.m }}/x\n", 'line 2, column 4: quote templates: `m: "{{ ports.m }}/x"`'),
        ("a:\n- {{ b }} {{ c }}\n", 'line 2, column 3: quote templates: `- "{{ b }} {{ c }}"`'),
        ('a:\n  m: {{ x["y"] }}\n', """line 2, column 6: quote templates: `m: "{{ x['y'] }}"`"""),
        ("a: [run, {{ b }}]\n", 'line 1, column 10: quote templates: "{{ b }}"'),
        ("node: {metrics: {{ ports.m }}}\n", 'line 1, column 17: quote templates: "{{ ports.m }}"'),
        ("[" * 600, "values are nested too deeply"),
        ("\x00", "not YAML: unacceptable character"),
        ("3: 4\n", "found 3 as a name, expected fields as `name: value`; quote the name"),
        ("- a\n", "found list, expected fields as `name: value`"),
    ],
)
def test_invalid_file_is_an_error_with_line_and_column(
    tmp_path: Path, read: Callable[[Path], object], text: str, message: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}")
    assert message in str(error.value)


def test_json_indented_with_tabs_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{\n\t"a": [1,\t2],\n\t"b": "x\\ty"\n}\n')
    assert read_mapping(path) == {"a": [1, 2], "b": "x\ty"}
    assert read_document(path).where(("b",)).endswith("line 3, column 7")


def test_halves_of_a_character_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text('a: "\\uD83D\\uDE00"\n')
    assert read_mapping(path) == {"a": "😀"}


@pytest.mark.parametrize(
    "text",
    ["a: {{ }}" + " x" * 20_000, "a: {{ }}" + " " * 40_000 + "x", "- " * 2000 + "{{", "a: b: " + "{{ " * 20_000],
    ids=range(4),
)
def test_long_lines_take_no_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError):
        read_mapping(path)


def test_endless_files_are_not_read() -> None:
    with pytest.raises(SettingsError, match="cannot read /dev/zero: it has more than 4000000 characters"):
        read_mapping(Path("/dev/zero"))


def test_anchors_and_merge_keys_are_supported(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n")
    both = {"x": 1, "y": 2}
    assert read_mapping(path) == {"a": both, "b": {"x": 1, "y": 3}, "c": [both, both]}
    assert read_document(path).where(("b", "x")).endswith("line 1, column 11")


def test_secrets_are_not_shown() -> None:
    with pytest.raises(SettingsError) as error:
        parse_value("!!int https://s3cret@example.org/x", "repository")
    assert "https://example.org/x" in str(error.value)
    assert "s3cret" not in str(error.value)


def test_empty_file_has_no_fields(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("# nothing\n")
    assert read_mapping(path) == {}

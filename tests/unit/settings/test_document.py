"""The line and column of every value in a file can be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.settings.document import Document, read_document

TEXT = """\
name: one
node:
  command: [run, "--port", '7']
  files:
    a.conf: |
      first
        second
    b.conf: plain text
"""


@pytest.fixture
def document(tmp_path: Path) -> Document:
    path = tmp_path / "s.yaml"
    path.write_text(TEXT)
    return read_document(path)


def place(document: Document, path: tuple[int | str, ...], line: int = 1, column: int = 0) -> tuple[int, int]:
    words = document.at(path, line, column).split()
    return int(words[-3].rstrip(",")), int(words[-1])


def character(row: int, column: int) -> str:
    return TEXT.splitlines()[row - 1][column - 1]


def test_content_is_parsed(document: Document) -> None:
    assert document.content["node"]["files"]["a.conf"] == "first\n  second\n"


def test_values_of_every_style_are_located(document: Document) -> None:
    assert place(document, ("name",)) == (1, 7)
    assert character(*place(document, ("node", "command", 0), 1, 2)) == "n"
    assert character(*place(document, ("node", "command", 1), 1, 2)) == "p"
    assert character(*place(document, ("node", "command", 2))) == "7"
    assert character(*place(document, ("node", "files", "b.conf"), 1, 6)) == "t"


def test_columns_in_a_block_include_its_indentation(document: Document) -> None:
    assert character(*place(document, ("node", "files", "a.conf"), 1, 1)) == "i"
    assert place(document, ("node", "files", "a.conf"), 2, 2) == (7, 9)
    assert character(7, 9) == "s"


def test_missing_value_is_located_by_the_value_around_it(document: Document) -> None:
    assert place(document, ("node", "ports", "http")) == (3, 3)
    assert document.where(("nothing",)).endswith("line 1, column 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [2\n", r"s\.yaml, line 3, column 1: not YAML"),
        ("a: 1\nb: 2\na: 3\n", r"s\.yaml, line 3, column 1: 'a' is already set in line 1; remove one of them"),
        ("- 1\n", "expected fields as `name: value`"),
        ("", "expected fields as `name: value`"),
    ],
)
def test_invalid_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_document(path)


def test_missing_file_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*nowhere\.yaml: No such file"):
        read_document(tmp_path / "nowhere.yaml")

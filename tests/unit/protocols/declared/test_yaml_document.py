"""Every value of a file knows where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.errors import SettingsError
from benchmark.protocols.declared.yaml_document import Document, read_document

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


def test_content_is_that_of_the_file(document: Document) -> None:
    assert document.content["node"]["files"]["a.conf"] == "first\n  second\n"


def test_a_value_is_found_whatever_its_style(document: Document) -> None:
    assert place(document, ("name",)) == (1, 7)
    assert character(*place(document, ("node", "command", 0), 1, 2)) == "n"
    assert character(*place(document, ("node", "command", 1), 1, 2)) == "p"
    assert character(*place(document, ("node", "command", 2))) == "7"
    assert character(*place(document, ("node", "files", "b.conf"), 1, 6)) == "t"


def test_lines_of_a_block_are_counted_without_its_indentation(document: Document) -> None:
    assert character(*place(document, ("node", "files", "a.conf"), 1, 1)) == "i"
    assert place(document, ("node", "files", "a.conf"), 2, 2) == (7, 9)
    assert character(7, 9) == "s"


def test_what_is_not_there_is_pointed_at_by_what_is_around_it(document: Document) -> None:
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
def test_a_file_that_is_none_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_document(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*nowhere\.yaml: No such file"):
        read_document(tmp_path / "nowhere.yaml")

"""Read a YAML file and map every value in it to its line and column, for error messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmark.errors import SettingsError
from benchmark.settings.yaml_files import parse_yaml, read_text, require_mapping


class Place(NamedTuple):
    """Where something is in a file; line and column count from 1, and are None where an error does not have them."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}, line {self.line}, column {self.column}"


_PLACE = re.compile(r"(?P<file>[^:\n]+), line (?P<line>\d+), column (?P<column>\d+): (?P<message>.*)", re.DOTALL)


def split_place(message: str) -> tuple[Place | None, str]:
    """Split an error that begins with the place of a value into both; None if it does not begin so."""
    if found := _PLACE.fullmatch(message):
        return Place(found["file"], int(found["line"]), int(found["column"])), found["message"]
    return None, message


@dataclass(frozen=True)
class Document:
    """The content of a YAML file and the positions of its values."""

    source: str
    text: str
    content: dict[str, object]
    _root: yaml.Node = field(repr=False)

    def where(self, path: Sequence[int | str]) -> str:
        """Return `FILE, line L, column C` of the value at `path`, or of the innermost value around it."""
        mark = self._find(path)[0].start_mark
        return str(Place(self.source, mark.line + 1, mark.column + 1))

    def written(self, path: Sequence[int | str]) -> str | None:
        """Return the text of the value at `path` as it is written, without quotes; None if it is no single value."""
        node, exact = self._find(path)
        return node.value if exact and isinstance(node, yaml.ScalarNode) else None

    def at(self, path: Sequence[int | str], line: int, column: int) -> str:
        """Return where character `column` (from 0) of line `line` (from 1) of the text at `path` is in the file."""
        node, exact = self._find(path)
        if not exact or not isinstance(node, yaml.ScalarNode) or node.style == ">":
            return self.where(path)
        row, first = node.start_mark.line, node.start_mark.column
        if node.style == "|":
            lines = [each for each in self.text.splitlines()[row + 1 : node.end_mark.line] if each.strip()]
            row, first = row + line, min((len(each) - len(each.lstrip()) for each in lines), default=0)
        elif node.style in ('"', "'"):
            first += 1
        return str(Place(self.source, row + 1, first + column + 1))

    def _find(self, path: Sequence[int | str]) -> tuple[yaml.Node, bool]:
        """Return the node at `path`, or the innermost one around it, and whether it is the one at `path`."""
        node = self._root
        for step in path:
            inner = None
            if isinstance(node, yaml.MappingNode):
                inner = next((value for key, value in node.value if key.value == step), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                inner = node.value[step]
            if inner is None:
                return node, False
            node = inner
        return node, True


def read_document(path: Path, *, keep_tags: bool = False) -> Document:
    """Read a YAML file whose top level maps names to values; SettingsError with line and column.

    With `keep_tags`, `!tag value` becomes a mapping of the tag to the value; without, it is an error.
    """
    return parse_document(read_text(path), str(path), keep_tags=keep_tags)


def parse_document(text: str, source: str, *, keep_tags: bool = False) -> Document:
    """Read the text of such a file; `source` names it in errors."""
    value, node = parse_yaml(text, source, keep_tags=keep_tags)
    if node is None:
        raise SettingsError(f"{source}: the file is empty, expected fields as `name: value`")
    return Document(source, text, require_mapping(value, source), node)

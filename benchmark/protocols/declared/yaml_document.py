"""A YAML file whose every value knows its line and column, so that what is wrong with it can be pointed at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmark.errors import SettingsError
from benchmark.settings import explained

Path_ = tuple[int | str, ...]


@dataclass(frozen=True)
class Document:
    """The content of a file and the node that each of its values was read from."""

    source: str
    text: str
    content: dict[str, Any]
    _nodes: dict[Path_, yaml.Node] = field(repr=False)

    def where(self, path: Sequence[int | str]) -> str:
        """Return `FILE, line L, column C` of the value at `path`, or of the nearest one around it."""
        return self.at(path, 1, 0)

    def at(self, path: Sequence[int | str], line: int, column: int) -> str:
        """Return where character `column` (from 0) of line `line` (from 1) of the text at `path` stands in the file."""
        steps = tuple(path)
        while steps not in self._nodes and steps:
            steps = steps[:-1]
        node = self._nodes[steps]
        row, first = node.start_mark.line, node.start_mark.column
        if isinstance(node, yaml.ScalarNode) and steps == tuple(path):
            if node.style == "|":
                row, first = row + line, self._indent(node)
            elif node.style in ('"', "'"):
                first += 1
            if node.style != ">":
                first += column
        return f"{self.source}, line {row + 1}, column {first + 1}"

    def _indent(self, node: yaml.Node) -> int:
        lines = self.text.splitlines()[node.start_mark.line + 1 : node.end_mark.line]
        return min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)


def read_document(path: Path) -> Document:
    """Read a YAML file whose top level maps names to values; SettingsError says what is wrong where."""
    with explained(path):
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise SettingsError(f"{path}: expected fields as `name: value`")
    nodes = dict(_walk(root, (), str(path)))
    return Document(str(path), text, yaml.safe_load(text), nodes)


def _walk(node: yaml.Node, path: Path_, source: str) -> Iterator[tuple[Path_, yaml.Node]]:
    """Yield every value with its path; SettingsError for a name that stands twice in one mapping."""
    yield path, node
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*path, index), source)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                mark = key.start_mark
                place = f"{source}, line {mark.line + 1}, column {mark.column + 1}"
                raise SettingsError(f"{place}: {key.value!r} stands there a second time")
            seen.add(key.value)
            yield from _walk(value, (*path, key.value), source)

"""Read YAML files and values, with environment variables expanded."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmark.errors import SettingsError
from benchmark.settings.redaction import redact, remember_variable

_MOST_NODES = 100_000
_MOST_CHARACTERS = 4_000_000
_LARGEST_NUMBER = 1 << 63
_LONGEST = 80
_LONGEST_LINE = 1000
_QUOTE = "quote templates: "
_UNQUOTED = re.compile(r"^(\s*(?:-\s+)*(?:[\w.-]+:\s+|-\s+))(\{\{.*\}\}.*)$")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class YamlText(NamedTuple):
    """A YAML document: its value, and its root node, whose descendants have line and column; no node if it is empty."""

    value: object
    node: yaml.Node | None


class _Rejected(yaml.MarkedYAMLError):
    """The document is YAML, but cannot be used."""


class _Loader(yaml.SafeLoader):
    """Read safe YAML; every error has a line and column."""

    keep_tags = False

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                # Escapes such as "\uD83D\uDE00" are two halves of one character.
                value = value.encode("utf-16", "surrogatepass").decode("utf-16")
                if "\0" in value:
                    raise ValueError("no text has this character")
            elif isinstance(value, int) and abs(value) >= _LARGEST_NUMBER:
                raise ValueError("too large")
            return value
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # such as 2026-02-30 or !!bool x
            kind = node.tag.rpartition(":")[2]
            shown = redact(str(node.value))
            shown = shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"
            problem = f"cannot read {shown!r} as {kind}; quote it if it is text"
            raise _Rejected(problem=problem, problem_mark=node.start_mark) from None

    def read_tag(self, node: yaml.Node) -> object:
        """Return a value with an unknown tag as a mapping, or report the tag."""
        if self.keep_tags and node.tag.startswith("!"):
            if isinstance(node, yaml.MappingNode):
                return {node.tag: self.construct_mapping(node, deep=True)}
            sequence = isinstance(node, yaml.SequenceNode)
            return {node.tag: self.construct_sequence(node, deep=True) if sequence else node.value}  # type: ignore[arg-type]
        problem = f"unknown tag {node.tag.replace('tag:yaml.org,2002:', '!!')!r}; remove it, or quote the value"
        raise _Rejected(problem=problem, problem_mark=node.start_mark)


_Loader.add_constructor(None, _Loader.read_tag)


def parse_yaml(text: str, source: str, *, keep_tags: bool = False) -> YamlText:
    """Read a YAML document; SettingsError names `source`, line and column of what is wrong with it.

    With `keep_tags`, `!tag value` becomes a mapping of the tag to the value; without, it is an error.
    """
    try:
        loader = _Loader(_without_tabs(text))
        loader.keep_tags = keep_tags
        try:
            node = loader.get_single_node()
            if node is None:
                return YamlText(None, None)
            _check(node, (), {})
            return YamlText(loader.construct_document(node), node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        candidate = str(error.problem).startswith(_QUOTE) or not isinstance(error, _Rejected)
        if candidate and (found := _unquoted_template(text, mark)):
            raise SettingsError(f"{source}, {found}") from None
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        kind = "" if isinstance(error, _Rejected) else "not YAML: "
        raise SettingsError(f"{source}{where}: {kind}{error.problem}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{source}: not YAML: {error}") from None
    except RecursionError:
        raise SettingsError(f"{source}: values are nested too deeply") from None


def parse_value(text: str, source: str) -> object:
    """Read a value that is written as YAML, such as `4` or `[a, b]`; SettingsError, which names `source`, otherwise."""
    return parse_yaml(text, f"{source}: found {redact(text)!r}").value


def read_text(path: Path) -> str:
    """Read a text file; SettingsError if it is missing, cannot be read or is not in UTF-8."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST_CHARACTERS + 1)
        if len(text) > _MOST_CHARACTERS:
            raise SettingsError(f"cannot read {path}: it has more than {_MOST_CHARACTERS} characters")
        return text
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not a text file in UTF-8") from None


def read_mapping(path: Path) -> dict[str, object]:
    """Read a YAML file whose top level maps names to values; SettingsError with line and column."""
    value = parse_yaml(read_text(path), str(path)).value
    return {} if value is None else require_mapping(value, str(path))


def require_mapping(value: object, source: str) -> dict[str, object]:
    """Return `value` if it maps names to values; SettingsError, which names `source`, otherwise."""
    if not isinstance(value, dict):
        raise SettingsError(f"{source}: found {type(value).__name__}, expected fields as `name: value`")
    for key in value:
        if not isinstance(key, str):
            raise SettingsError(f"{source}: found {key!r} as a name, expected fields as `name: value`; quote the name")
    return value


def expand(text: str, source: str) -> str:
    """Replace `${NAME}` in `text` from the environment; SettingsError, which names `source`, where it is not set."""

    def replace(found: re.Match[str]) -> str:
        try:
            value = os.environ[found[1]]
        except KeyError:
            raise SettingsError(
                f"{source}: ${{{found[1]}}} is not set in the environment; `export {found[1]}=…` first"
            ) from None
        remember_variable(found[1], value)
        return value

    return _VARIABLE.sub(replace, text)


def _without_tabs(text: str) -> str:
    """Return JSON that is indented with tabs, which YAML does not allow, with spaces instead."""
    if "\t" not in text or not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")  # JSON has none within its texts


def _unquoted_template(text: str, mark: yaml.Mark | None) -> str:
    """Return where and how to quote a template at `mark`, which YAML takes for a mapping; empty if there is none."""
    lines = text.splitlines()
    for number in range(mark.line, mark.line - 2, -1) if mark else ():
        if 0 <= number < len(lines) and (found := _UNQUOTED.match(lines[number][:_LONGEST_LINE].rstrip())):
            quoted = found[2].replace('"', "'")
            return f'line {number + 1}, column {len(found[1]) + 1}: {_QUOTE}`{found[1].strip()} "{quoted}"`'
    return ""


def _check(node: yaml.Node, parents: tuple[yaml.Node, ...], sizes: dict[int, int]) -> int:
    """Reject repeated keys, of which YAML loaders keep the last, and aliases that refer to what surrounds them.

    Return how many nodes there are with all aliases expanded, as a few lines of YAML can stand for billions.
    """
    if any(node is parent for parent in parents):
        raise _Rejected(problem="an alias refers to the value that contains it", problem_mark=node.start_mark)
    if id(node) in sizes:
        return sizes[id(node)]
    size = 1
    seen: dict[tuple[str, str], yaml.Node] = {}
    for item in node.value if isinstance(node, yaml.CollectionNode) else ():
        for part in item if isinstance(node, yaml.MappingNode) else (item,):
            size += _check(part, (*parents, node), sizes)
        if isinstance(node, yaml.MappingNode) and isinstance(key := item[0], yaml.MappingNode) and key.flow_style:
            written = str(node.start_mark.buffer)[node.start_mark.index : node.end_mark.index].replace('"', "'")
            raise _Rejected(problem=f'{_QUOTE}"{written}"', problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode) and isinstance(key := item[0], yaml.ScalarNode):
            first = seen.setdefault((key.tag, key.value), key)
            if first is not key:
                problem = f"{key.value!r} is already set in line {first.start_mark.line + 1}; remove one of them"
                raise _Rejected(problem=problem, problem_mark=key.start_mark)
    if size > _MOST_NODES:
        raise _Rejected(problem=f"more than {_MOST_NODES} values with its aliases", problem_mark=node.start_mark)
    sizes[id(node)] = size
    return size

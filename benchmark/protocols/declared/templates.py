"""Render Jinja templates strictly: an unknown name is an error with line and column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from traceback import extract_tb

from jinja2 import Template, TemplateError, TemplateSyntaxError, meta, nodes

from benchmark.errors import SettingsError
from benchmark.protocols.declared.sandbox import Environment, describe_unknown, with_budget
from benchmark.settings import Document

_ENVIRONMENT = Environment()
_LONGEST_LINE = 1000
"""Characters of a line in which the column of a name is found."""
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_NAMED = re.compile(r"'([^']+)' (?:is undefined|is unknown|of \w+ values cannot)|no attribute '([^']+)'")


class Templates:
    """The templates of a document, each compiled once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._compiled: dict[tuple[int | str, ...], Template] = {}

    def render(self, path: Sequence[int | str], text: str, names: Mapping[str, object]) -> str:
        """Render the text at `path` of the document; SettingsError with line and column if that fails."""
        key = tuple(path)
        try:
            if key not in self._compiled:
                self._compiled[key] = self._compile(key, text, names)
            rendered = self._compiled[key].render(with_budget(names))
        except TemplateSyntaxError as error:
            raise self._error(key, text, error.lineno, None, error.message or "not a template") from None
        except (RecursionError, SyntaxError, MemoryError):
            raise self._error(key, text, 1, None, "the template is nested too deeply, or calls itself") from None
        except (TemplateError, ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
            lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == "<template>"]
            found = _NAMED.search(str(error))
            name = (found[1] or found[2]) if found else None
            raise self._error(key, text, (lines or [1])[-1] or 1, name, str(error)) from None
        if _NOT_TEXT.search(rendered):
            raise self._error(key, text, 1, None, "the text has a character that no file in UTF-8 can have")
        return rendered

    def _compile(self, path: tuple[int | str, ...], text: str, names: Mapping[str, object]) -> Template:
        """Compile a template; reject unknown names and forbidden attributes also in branches that are not taken."""
        tree = _ENVIRONMENT.parse(text)
        unknown = meta.find_undeclared_variables(tree) - set(names) - set(_ENVIRONMENT.globals)
        for node in tree.find_all((nodes.Name, nodes.Getattr, nodes.For)):
            if isinstance(node, nodes.Name) and node.name in unknown:
                raise self._error(path, text, node.lineno, node.name, describe_unknown(node.name, names))
            if isinstance(node, nodes.Getattr) and node.attr.startswith("_"):
                message = f"{node.attr!r} cannot be used in templates"
                raise self._error(path, text, node.lineno, node.attr, message)
            if isinstance(node, nodes.For) and node.recursive:
                raise self._error(path, text, node.lineno, "recursive", "recursive loops cannot be used in templates")
        code = _ENVIRONMENT.compile(_ENVIRONMENT.guard(tree))
        return Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.make_globals(None))

    def _error(
        self, path: tuple[int | str, ...], text: str, line: int, name: str | None, message: str
    ) -> SettingsError:
        return SettingsError(f"{self._document.at(path, line, _column(text, line, name))}: {message}")


def uses(text: str, *names: str) -> bool:
    """Return whether a template refers to one of `names`; also one that cannot be parsed, which `render` reports."""
    try:
        return not meta.find_undeclared_variables(_ENVIRONMENT.parse(text)).isdisjoint(names)
    except (TemplateError, RecursionError, MemoryError):
        return True


def _column(text: str, line: int, name: str | None) -> int:
    """Return the column of `name` in that line, preferably within an expression; of the first character without one."""
    found = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
    if name and len(found) <= _LONGEST_LINE:
        word = rf"(?<![\w]){re.escape(name)}(?![\w])"
        for pattern in (rf"\{{[{{%](?:(?![%}}]\}}).)*?({word})", rf"({word})"):
            if match := re.search(pattern, found):
                return match.start(1)
    return len(found) - len(found.lstrip())

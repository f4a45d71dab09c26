"""Render Jinja templates strictly: an unknown name is an error with line and column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from traceback import extract_tb

from jinja2 import Environment, StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes

from benchmark.errors import SettingsError
from benchmark.protocols.declared.yaml_document import Document


class _Environment(Environment):
    def getattr(self, obj: object, attribute: str) -> object:
        """Return an entry of a mapping, never one of its methods: `parameters.keys` is the user's parameter."""
        if not isinstance(obj, Mapping):
            return super().getattr(obj, attribute)
        return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)


_ENVIRONMENT = _Environment(
    undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
)
_GLOBALS = frozenset(_ENVIRONMENT.globals)
_NAMED = re.compile(r"'([^']+)' is undefined|no attribute '([^']+)'")


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
                self._check_names(key, text, names)
                self._compiled[key] = _ENVIRONMENT.from_string(text)
            return self._compiled[key].render(names)
        except TemplateSyntaxError as error:
            raise self._error(key, text, error.lineno, None, error.message or "not a template") from None
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == "<template>"]
            found = _NAMED.search(str(error))
            name = (found[1] or found[2]) if found else None
            raise self._error(key, text, (lines or [1])[-1] or 1, name, str(error)) from None

    def _check_names(self, path: tuple[int | str, ...], text: str, names: Mapping[str, object]) -> None:
        """Reject unknown names, also in branches that are not rendered this time."""
        tree = _ENVIRONMENT.parse(text)
        unknown = meta.find_undeclared_variables(tree) - set(names) - _GLOBALS
        for node in tree.find_all(nodes.Name):
            if node.name in unknown:
                known = ", ".join(sorted(names))
                raise self._error(path, text, node.lineno, node.name, f"{node.name!r} is unknown; known are: {known}")

    def _error(
        self, path: tuple[int | str, ...], text: str, line: int, name: str | None, message: str
    ) -> SettingsError:
        return SettingsError(f"{self._document.at(path, line, _column(text, line, name))}: {message}")


def _column(text: str, line: int, name: str | None) -> int:
    """Return the column of `name` in that line, preferably within an expression; of the first character without one."""
    found = text.splitlines()[line - 1] if line <= len(text.splitlines()) else ""
    if name:
        word = rf"(?<![\w]){re.escape(name)}(?![\w])"
        for pattern in (rf"\{{[{{%](?:(?![%}}]\}}).)*?({word})", rf"({word})"):
            if match := re.search(pattern, found):
                return match.start(1)
    return len(found) - len(found.lstrip())

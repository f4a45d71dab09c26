"""Read JSON objects field by field, with errors that name the field."""

from __future__ import annotations

import re
from math import inf


class ConfigError(Exception):
    """A wrong configuration: the field, what was found, what is accepted."""


class Fields:
    """Take a JSON object apart field by field; ConfigError names what is missing, wrong or unknown."""

    def __init__(self, document: object, where: str) -> None:
        if not isinstance(document, dict):
            raise ConfigError(f"{where or 'document'}: found {document!r:.60}, expected an object")
        self._rest = dict(document)
        self._prefix = f"{where}." if where else ""

    def take(self, name: str, kinds: tuple[type, ...], expected: str, default: object = None) -> object:
        """Return a field's value, which must be of one of `kinds`; without a default the field is required."""
        value = self._rest.pop(name, default)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise self.error(name, f"found {value!r:.60}, expected {expected}")
        return value

    def text(self, name: str, pattern: str, expected: str, default: str | None = None) -> str:
        """Return a string that matches all of `pattern`."""
        value = str(self.take(name, (str,), expected, default))
        if not re.fullmatch(pattern, value, re.DOTALL):
            raise self.error(name, f"found {value!r:.60}, expected {expected}")
        return value

    def number(self, name: str, default: float | None, least: float = 0.0) -> float:
        """Return a finite number of at least `least`."""
        expected = f"a number >= {least:g}"
        value = float(str(self.take(name, (int, float), expected, default)))
        if not least <= value < inf:
            raise self.error(name, f"found {value!r}, expected {expected}")
        return value

    def pair(self, name: str) -> tuple[int, int]:
        """Return a list of two whole numbers that are not negative."""
        value = self.take(name, (list,), "two whole numbers")
        numbers = [each for each in value if type(each) is int and each >= 0] if isinstance(value, list) else []
        if not isinstance(value, list) or not len(value) == len(numbers) == 2:
            raise self.error(name, f"found {value!r:.60}, expected two whole numbers")
        return numbers[0], numbers[1]

    def inner(self, name: str) -> Fields:
        """Return the object in a field."""
        return Fields(self.take(name, (dict,), "an object"), f"{self._prefix}{name}")

    def error(self, name: str, text: str) -> ConfigError:
        """Return the error that a field is wrong."""
        return ConfigError(f"{self._prefix}{name}: {text}")

    def has(self, name: str) -> bool:
        """Return whether the field exists and was not taken yet."""
        return name in self._rest

    def end(self) -> None:
        """Raise ConfigError if a field was not taken: it is unknown."""
        if self._rest:
            raise ConfigError(f"unknown field {self._prefix}{next(iter(self._rest))}")

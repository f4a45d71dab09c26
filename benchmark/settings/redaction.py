"""Keep credentials out of messages, results and reports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
REDACTED = "REDACTED"
"""Replaces a secret; a word that shells leave alone."""
# The bounds keep the time linear for hostile texts.
_NAME = (
    r"[\w.-]{0,200}(?:token|secret|passw|credential|api[_-]?key|private[_-]?key)(?![\w.-]{0,200}file\b)[\w.-]{0,200}"
)
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_SECRET_OPTION = re.compile(rf"--?{_NAME}", re.IGNORECASE)
_ASSIGNMENT = re.compile(rf"(?<![\w.-])(--?{_NAME}[= ]|{_NAME}=)(?!\s)\S+", re.IGNORECASE)
_WEB_LOGIN = re.compile(r"(?<=://)[^\s/?#\"'<>]+@", re.IGNORECASE)
_SCHEME = re.compile(r"https?://$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{\w+\}")
_LEAST_SECRET = 6
"""Characters: a shorter value of a variable may be part of anything."""
_variables: dict[str, str] = {}
"""Names of the environment variables that files and options refer to, by value."""


def remember_variable(name: str, value: str) -> None:
    """Let `redact` write `${name}` in the place of a value that was taken from the environment."""
    if len(value) >= _LEAST_SECRET:
        _variables[value] = name


def has_literal_secret(text: str) -> bool:
    """Return whether an option or override contains a secret itself, not a `${NAME}` from the environment."""
    literal = _VARIABLE.sub("", text)
    return redact(literal) != literal


def redact(text: str) -> str:
    """Return `text` without logins in web addresses, passwords in other addresses and values of secret options.

    Values that came from environment variables become `${NAME}` again.
    An option or field is secret if its name contains a word such as token or password; names of files are not secret.
    """

    def login(found: re.Match[str]) -> str:
        if _SCHEME.search(text, max(0, found.start() - len("https://")), found.start()):
            return ""  # a token can be the user name
        user, colon, _ = found[0].partition(":")
        return f"{user}@" if colon else found[0]

    for value in sorted(_variables, key=len, reverse=True):
        text = text.replace(value, f"${{{_variables[value]}}}")
    return _ASSIGNMENT.sub(rf"\1{REDACTED}", _WEB_LOGIN.sub(login, text))


def redact_words(words: Sequence[str]) -> list[str]:
    """Return the words of a command line, redacted; the value of an option may be a separate word."""
    shown = [redact(word) for word in words]
    for index, option in enumerate(words[:-1]):
        if _SECRET_OPTION.fullmatch(option) and not words[index + 1].startswith("-"):
            shown[index + 1] = REDACTED
    return shown


def redacted(fields: Mapping[str, T]) -> dict[str, T]:
    """Return fields of a JSON document like `redact_document`."""
    return {
        name: REDACTED if isinstance(held, str) and _SECRET_NAME.fullmatch(str(name)) else redact_document(held)  # type: ignore[misc]
        for name, held in fields.items()
    }


def redact_document(value: object) -> object:
    """Return a JSON document, redacted: every text in it, and texts in fields with a secret name as a whole."""
    if isinstance(value, Mapping):
        return redacted(value)
    if isinstance(value, list | tuple):
        if all(isinstance(item, str) for item in value):
            return redact_words(value)
        return [redact_document(held) for held in value]
    return redact(value) if isinstance(value, str) else value

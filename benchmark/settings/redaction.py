"""Keep credentials out of messages, results and reports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

REDACTED = "REDACTED"
"""Replaces a secret; a word that shells leave alone."""
_NAME = r"[\w.-]*(?:token|secret|passw|credential|api[_-]?key|private[_-]?key)(?![\w.-]*file\b)[\w.-]*"
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_SECRET_OPTION = re.compile(rf"--?{_NAME}", re.IGNORECASE)
_ASSIGNMENT = re.compile(rf"(?<![\w.-])(--?{_NAME}[= ]|{_NAME}=)(?!\s)\S+", re.IGNORECASE)
_WEB_LOGIN = re.compile(r"(?<=://)[^\s/?#\"'<>]+@", re.IGNORECASE)
_SCHEME = re.compile(r"https?://$", re.IGNORECASE)


def redact(text: str) -> str:
    """Return `text` without logins in web addresses, passwords in other addresses and values of secret options.

    An option or field is secret if its name contains a word such as token or password; names of files are not secret.
    """

    def login(found: re.Match[str]) -> str:
        if _SCHEME.search(text, 0, found.start()):
            return ""  # a token can be the user name
        user, colon, _ = found[0].partition(":")
        return f"{user}@" if colon else found[0]

    return _ASSIGNMENT.sub(rf"\1{REDACTED}", _WEB_LOGIN.sub(login, text))


def redact_words(words: Sequence[str]) -> list[str]:
    """Return the words of a command line, redacted; the value of an option may be a separate word."""
    shown = [redact(word) for word in words]
    for index, option in enumerate(words[:-1]):
        if _SECRET_OPTION.fullmatch(option) and not words[index + 1].startswith("-"):
            shown[index + 1] = REDACTED
    return shown


def redact_document(value: object) -> object:
    """Return a JSON document, redacted: every text in it, and texts in fields with a secret name as a whole."""
    if isinstance(value, Mapping):
        return {
            name: REDACTED if isinstance(held, str) and _SECRET_NAME.fullmatch(str(name)) else redact_document(held)
            for name, held in value.items()
        }
    if isinstance(value, list | tuple):
        if all(isinstance(item, str) for item in value):
            return redact_words(value)
        return [redact_document(held) for held in value]
    return redact(value) if isinstance(value, str) else value

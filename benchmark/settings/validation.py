"""Explain pydantic's validation errors to users: which field, what was found, what is accepted."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from benchmark.settings.durations import format_duration
from benchmark.settings.redaction import redact, redact_document

FieldPath = tuple[int | str, ...]
_LONGEST = 200
_EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "a text",
    "path_type": "a path",
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type", "mapping_type"), "fields as `name: value`"),
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} of them",
    "literal_error": "{expected}",
}
"""What is expected where an error of a type occurs; the placeholders are the error's context."""
PATTERNS: dict[str, str] = {}
"""What a pattern accepts, in words, by the pattern."""


def pattern(regex: str, words: str) -> str:
    """Return `regex`, and describe it as `words` in errors."""
    PATTERNS[regex] = words
    return regex


class FieldError(NamedTuple):
    """What is wrong with one field; `path` leads to it through nested models, lists and mappings."""

    path: FieldPath
    message: str


def explain_errors(
    error: ValidationError,
    model: type[BaseModel],
    noun: str = "field",
    *,
    also_known: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
    reference: str = "",
    written: Callable[[FieldPath], str | None] = lambda path: None,
) -> list[FieldError]:
    """Describe every error in validating `model`, each on one line and without secrets.

    `written` returns how a value is written in its file, if that is known.

    A field that `model` does not have is called an unknown `noun`. The message suggests its new name from `renamed`,
    else the most similar name in the model or `also_known`, else `reference` or the list of names.
    """
    found: dict[FieldPath, list[ErrorDetails]] = {}
    alternatives = set()
    for detail in error.errors():
        path = tuple(step for step in detail["loc"] if not _names_alternative(step, detail))
        found.setdefault(path, []).append(detail)
        if len(path) < len(detail["loc"]):
            alternatives.add(path)
    lines = []
    for path, details in found.items():
        # Each alternative of a type has its errors; those of the alternative that got furthest count.
        if path in alternatives and any(len(other) > len(path) and other[: len(path)] == path for other in found):
            continue
        where = ".".join(str(step) if str(step).isprintable() else repr(step) for step in path)
        if details[0]["type"] == "extra_forbidden":
            if new := (renamed or {}).get(where):
                hint = f"it is called {new!r} now"
            else:
                names = {*also_known, *_names_at(model, path[:-1])}
                near = difflib.get_close_matches(str(path[-1]), sorted(names), n=1)
                known = reference or f"known are: {', '.join(sorted(names)) or 'none'}"
                hint = f"did you mean {near[0]!r}?" if near else known
            lines.append(FieldError(path, redact(f"unknown {noun} {where!r}; {hint}")))
        elif details[0]["type"] == "missing":
            lines.append(FieldError(path, f"{where} is missing"))
        else:
            lines.append(FieldError(path, _invalid_value(where, path, details, written(path))))
    return lines


def _invalid_value(where: str, path: FieldPath, details: Sequence[ErrorDetails], written: str | None) -> str:
    expected = list(dict.fromkeys(filter(None, map(_expected, details))))
    if expected and len(expected) == len({detail["msg"] for detail in details}):
        message = f"expected {' or '.join(expected)}"
    else:
        message = details[0]["msg"].removeprefix("Value error, ")
    if not where:
        return redact(message)
    name, value = str(path[-1]), details[0]["input"]
    shown = redact_document({name: value})
    assert isinstance(shown, dict)
    # Hidden for its name, as opposed to a text with a hidden part.
    message = message.replace(repr(value), repr(shown[name])) if shown[name] != value else message
    if details[0]["type"] == "string_type" and not isinstance(value, str | list | dict) and len(details) == 1:
        text = str(written if written is not None and shown[name] == value else shown[name])
        return redact(f"{where}: {message}, found {text}; quote it: '{text}'")
    if (
        details[0]["type"] in ("tuple_type", "list_type")
        and isinstance(value, str)
        and shown[name] == value
        and value.isprintable()
    ):
        message += f": `{name}: [{value[:_LONGEST]}]`"
    text = format_duration(value) if isinstance(value, timedelta) else repr(shown[name])
    found = "" if text in message else f", found {text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}"
    return redact(f"{where}: {message}{found}")


def _expected(detail: ErrorDetails) -> str | None:
    """Return what is expected, in the words of users; None where pydantic's or a validator's own message is used."""
    if detail["type"] == "string_pattern_mismatch":
        return PATTERNS.get(str(detail["ctx"]["pattern"]))
    words = _EXPECTED.get(detail["type"])
    return words.format(**{name: _plain(value) for name, value in detail.get("ctx", {}).items()}) if words else None


def _plain(value: object) -> str:
    """Return a limit as users write it; pydantic gives those of durations in words."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+) (microsecond|second|minute|hour|day)s?", value)):
        return format_duration(timedelta(**{f"{found[2]}s": int(found[1])}))
    return (
        f"{value:g}"
        if isinstance(value, float)
        else format_duration(value)
        if isinstance(value, timedelta)
        else str(value)
    )


def _names_alternative(step: int | str, detail: ErrorDetails) -> bool:
    """Whether a step names an alternative of a union, such as `str` or `dict[str,any]`, which users do not write."""
    if not isinstance(step, str) or (step == detail["loc"][-1] and detail["type"] == "extra_forbidden"):
        return False
    return "[" in step or (step in ("str", "int", "float", "bool") and step != detail["loc"][0])


def _names_at(model: type[BaseModel], path: FieldPath) -> set[str]:
    """Return the fields of the models that `path` can lead to; steps that are no field select alternatives or items."""
    found = [model]
    for step in path:
        fields = [
            field
            for each in found
            for name, field in each.model_fields.items()
            if step in (name, field.validation_alias)
        ]
        if fields:
            found = [inner for field in fields for inner in _models_in(field.annotation)]
    return {str(field.validation_alias or name) for each in found for name, field in each.model_fields.items()}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models_in(argument)

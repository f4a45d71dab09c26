"""Explain pydantic's validation errors to users: which field, what was found, what is accepted."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from benchmark.settings.redaction import redact, redact_document

FieldPath = tuple[int | str, ...]
_SHOULD_BE = "Input should be "
_LONGEST = 200


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
) -> list[FieldError]:
    """Describe every error in validating `model`, each on one line and without secrets.

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
        where = ".".join(map(str, path))
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
            lines.append(FieldError(path, _invalid_value(where, path, details)))
    return lines


def _invalid_value(where: str, path: FieldPath, details: Sequence[ErrorDetails]) -> str:
    messages = list(dict.fromkeys(detail["msg"].removeprefix("Value error, ") for detail in details))
    if len(messages) > 1 and all(message.startswith(_SHOULD_BE) for message in messages):
        message = _SHOULD_BE + " or ".join(message.removeprefix(_SHOULD_BE) for message in messages)
    else:
        message = messages[0]
    if not where:
        return redact(message)
    name, value = str(path[-1]), details[0]["input"]
    shown = redact_document({name: value})
    assert isinstance(shown, dict)
    # Hidden for its name, as opposed to a text with a hidden part.
    message = message.replace(repr(value), repr(shown[name])) if shown[name] != value else message
    text = repr(shown[name])
    found = "" if text in message else f", found {text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}"
    return redact(f"{where}: {message}{found}")


def _names_alternative(step: int | str, detail: ErrorDetails) -> bool:
    """Whether a step names an alternative of a union, such as `str` or `dict[str,any]`, which users do not write."""
    if not isinstance(step, str) or (step == detail["loc"][-1] and detail["type"] == "extra_forbidden"):
        return False
    return "[" in step or (step in ("str", "int", "float", "bool") and step != detail["loc"][0])


def _names_at(model: type[BaseModel], path: FieldPath) -> set[str]:
    """Return the fields of the models that `path` can lead to; steps that are no field select alternatives or items."""
    found = [model]
    for step in path:
        fields = [field for each in found for name, field in each.model_fields.items() if step in (name, field.alias)]
        if fields:
            found = [inner for field in fields for inner in _models_in(field.annotation)]
    return {field.alias or name for each in found for name, field in each.model_fields.items()}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models_in(argument)

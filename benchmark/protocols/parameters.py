"""`node_parameters` and `client_parameters`: laid over what a protocol's own model has, and checked against it."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from benchmark.errors import SettingsError
from benchmark.protocols.base import Protocol
from benchmark.settings import Settings, read_mapping


def make_protocol(protocol: type[Protocol], settings: Settings) -> Protocol:
    """Make a protocol with the parameters that the settings give; SettingsError names all that is wrong with them."""
    return protocol(
        read_parameters("node_parameters", settings.node_parameters, protocol.node_model),
        read_parameters("client_parameters", settings.client_parameters, protocol.client_model),
    )


def read_parameters(field: str, given: Path | Mapping[str, Any] | None, model: type[BaseModel]) -> BaseModel:
    """Check parameters against `model`; what they leave out, also deep inside, has the model's defaults.

    Raises SettingsError: the file or `field`, which parameter, what was found and what is accepted.
    """
    values = read_mapping(given) if isinstance(given, Path) else dict(given or {})
    source = f"{field} ({given})" if isinstance(given, Path) else field
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [f"{source}: {_explain(detail, model)}" for detail in error.errors()]
        raise SettingsError("\n".join(lines)) from None


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    where = ".".join(map(str, detail["loc"]))
    if detail["type"] != "extra_forbidden":
        return f"{where}: {detail['msg'].removeprefix('Value error, ')}, found {detail['input']!r}"
    known = sorted({name for each in _models(model, detail["loc"][:-1]) for name in each.model_fields})
    near = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known) or 'none'}"
    return f"unknown parameter {where!r}; {hint}"


def _models(model: type[BaseModel], path: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """The models that `path` can lead to; steps that name no field choose among alternatives."""
    found = [model]
    for step in path:
        fields = [each.model_fields[str(step)] for each in found if str(step) in each.model_fields]
        if fields:
            found = [inner for field in fields for inner in _inner(field.annotation)]
    return found


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _inner(argument)

"""Validate `node_parameters` and `client_parameters` against the models of a protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from benchmark.errors import SettingsError
from benchmark.protocols.base import Protocol
from benchmark.settings import Settings, explain_errors, read_document, read_text


def make_protocol(protocol: type[Protocol], settings: Settings) -> Protocol:
    """Create a protocol with the parameters from the settings; SettingsError lists every invalid parameter."""
    return protocol(
        read_parameters("node_parameters", settings.node_parameters, protocol.node_model, settings.located),
        read_parameters("client_parameters", settings.client_parameters, protocol.client_model, settings.located),
    )


def read_parameters(
    field: str,
    given: Path | Mapping[str, object] | None,
    model: type[BaseModel],
    located: Callable[..., str] = lambda message, *path: message,
) -> BaseModel:
    """Validate parameters, inline or in a file; missing ones, also nested ones, get the defaults of `model`.

    Raises SettingsError that names the file or `field`, the parameter, what was found and what is accepted. `located`
    adds where inline parameters are, as `Settings.located` does.
    """
    document = read_document(given) if isinstance(given, Path) and read_text(given).strip() else None
    values = document.content if document else dict(given) if isinstance(given, Mapping) else {}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        written = document.written if document else lambda path: None
        lines = [
            f"{document.where(each.path)}: {field}: {each.message}"
            if document
            else located(f"{field}: {each.message}", field, *each.path)
            for each in explain_errors(error, model, "parameter", written=written)
        ]
        raise SettingsError("\n".join(lines)) from None

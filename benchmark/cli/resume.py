"""Store the options of a command for `--resume`, and require options and requests to be the same when it resumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from benchmark.cli.target import Target
from benchmark.errors import UsageError
from benchmark.plan.request import Request, request_to_dict
from benchmark.settings import FaultRequest, Settings

M = TypeVar("M", bound=BaseModel)


_ADDED = ("geobench", "definition", "verify")


def dump_options(*options: BaseModel) -> dict[str, JsonValue]:
    """Return options as a journal stores them, by name."""
    found: dict[str, JsonValue] = {}
    for each in options:
        found |= each.model_dump(mode="json")
    return found


def load_options(model: type[M], stored: Mapping[str, Any]) -> M:
    """Return the options of one model from a journal."""
    return model.model_validate({name: stored[name] for name in model.model_fields if name in stored})


def require_same_testbed(what: str, testbed_id: str, target: Target) -> None:
    """Raise UsageError if `what` belongs to another testbed."""
    here = target.inventory.testbed_id
    if testbed_id != here:
        raise UsageError(f"{what} belongs to testbed {testbed_id}, this is {here}")


def require_same_request(what: str, then: Mapping[str, JsonValue], request: Request) -> None:
    """Raise UsageError if the request differs from the one `what` was begun with, because settings have changed."""
    now = request_to_dict(request)
    for name in _ADDED:  # journals of earlier versions do not have them
        if name not in then:
            del now[name]
    changed = sorted(set(_changed(_as_written_now(then, request), now)))
    if changed:
        raise UsageError(
            f"{what} was begun with other settings: {', '.join(changed)} changed; "
            "undo the changes to resume it, or begin a new one"
        )


def require_same_options(
    what: str, then: Mapping[str, JsonValue], *now: BaseModel, except_for: tuple[str, ...] = ()
) -> None:
    """Raise UsageError if an option on the command line differs from the one `what` was begun with."""
    context, given = click.get_current_context(), dump_options(*now)
    changed = [
        max(param.opts, key=len)
        for param in context.command.params
        if param.name in given
        and param.name not in except_for
        and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        and given[param.name] != then.get(param.name)
    ]
    if changed:
        raise UsageError(
            f"{what} was begun with other options: {', '.join(changed)} changed; "
            "resume it without them, or begin a new one"
        )


def _changed(then: Mapping[str, JsonValue], now: Mapping[str, JsonValue], prefix: str = "") -> Iterator[str]:
    """Yield the paths of all values that differ."""
    for name in {*then, *now}:
        before, after = then.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _changed(before, after, f"{prefix}{name}.")
        elif before != after:
            path = f"{prefix}{name}".removeprefix("parameters.")
            yield "version of geobench" if path == "geobench" else path


def _as_written_now(stored: Mapping[str, JsonValue], request: Request) -> dict[str, JsonValue]:
    """Return a stored request as the present version writes it, as far as it can read it.

    Fields that were added since have their defaults.
    """
    settings = Settings(regions=("any",))
    written = settings.model_dump(mode="json", exclude={"token_file", "repository"})
    found: dict[str, JsonValue] = {"faults": [], "phases": [], **stored}
    with suppress(ValidationError):
        faults = TypeAdapter(list[FaultRequest]).validate_python(found["faults"])
        found["faults"] = [fault.model_dump(mode="json") for fault in faults]
    parameters = stored.get("parameters")
    if isinstance(parameters, dict) and isinstance(former := parameters.get("settings"), dict):
        with suppress(ValidationError):  # of another version, or with a redacted value
            settings = Settings.model_validate({"regions": ["any"], **former})
            written, former = settings.model_dump(mode="json", exclude={"token_file", "repository"}), {}
        found["parameters"] = {"settings": written | former}
    system = request.protocol
    for name, model in {"node_parameters": system.node_model, "client_parameters": system.client_model}.items():
        with suppress(ValidationError):
            found[name] = model.model_validate(stored.get(name)).model_dump(mode="json")
    return found

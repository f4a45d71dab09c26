"""Store the options and requests of a command for `--resume`, and require them to be the same when it resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from benchmark.errors import UsageError
from benchmark.plan.request import request_to_dict
from benchmark.settings import format_duration, parse_duration

if TYPE_CHECKING:
    from benchmark.cli.target import Target
    from benchmark.plan.request import Request

_MAY_CHANGE = ("resume", "retries", "names", "fail_over")
"""Options that may differ when a command is resumed."""


def dump_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a journal stores them: durations and paths become text."""
    return {name: _plain(value) for name, value in options.items() if name not in ("resume", "retries", "names")}


def load_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a journal as a command passes them: durations become durations again."""
    found = dict(options)
    for name in ("duration", "warm_up"):
        found[name] = None if found[name] is None else parse_duration(found[name])
    found["binaries"] = Path(found["binaries"]) if found["binaries"] else None
    return found


def dump_request(request: Request) -> dict[str, Any]:
    """Return a request as a journal stores it."""
    return request_to_dict(request)


def require_same_testbed(what: str, testbed_id: str, target: Target) -> None:
    """Raise UsageError if `what` belongs to another testbed."""
    here = target.inventory.testbed_id
    if testbed_id != here:
        raise UsageError(f"{what} belongs to testbed {testbed_id}, this is {here}")


def require_same_request(what: str, then: Mapping[str, Any], request: Request) -> None:
    """Raise UsageError if the request differs from the one `what` was begun with, because settings have changed."""
    now = dump_request(request)
    changed = sorted(name for name in {*now, *then} if now.get(name) != then.get(name))
    if changed:
        raise UsageError(
            f"{what} was begun with other settings: {', '.join(changed)} changed; "
            "undo the changes to resume it, or begin a new one"
        )


def require_same_options(what: str, then: Mapping[str, Any], except_for: tuple[str, ...] = ()) -> None:
    """Raise UsageError if an option beside --resume differs from the one `what` was begun with."""
    context = click.get_current_context()
    changed = [
        max(param.opts, key=len)
        for param in context.command.params
        if param.name in then
        and param.name not in (*_MAY_CHANGE, *except_for)
        and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        and json.loads(json.dumps(_plain(context.params[param.name]))) != then[param.name]
    ]
    if changed:
        raise UsageError(
            f"{what} was begun with other options: {', '.join(changed)} changed; "
            "resume it without them, or begin a new one"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return format_duration(value)
    return str(value) if isinstance(value, Path) else value

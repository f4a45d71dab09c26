"""What is kept of a command for `--resume`, and what has to be the same when it is resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from benchmark.cli.options import record
from benchmark.errors import UsageError
from benchmark.settings import format_duration, parse_duration

if TYPE_CHECKING:
    from benchmark.cli.target import Target
    from benchmark.plan.request import Request

_FREE = ("resume", "retries", "names", "fail_over")
"""Options that may differ when a command is resumed."""


def kept_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a journal keeps them: durations and paths are text."""
    return {name: _plain(value) for name, value in options.items() if name not in ("resume", "retries", "names")}


def taken_up(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a journal's options as they were given: durations are durations."""
    found = dict(options)
    for name in ("duration", "warm_up"):
        found[name] = None if found[name] is None else parse_duration(found[name])
    found["binaries"] = Path(found["binaries"]) if found["binaries"] else None
    return found


def kept_request(request: Request) -> dict[str, Any]:
    """Return a request as a journal keeps it."""
    found: dict[str, Any] = json.loads(json.dumps(record(request), default=str))
    return found


def same_testbed(what: str, testbed_id: str, target: Target) -> None:
    """Raise UsageError if `what` is of another testbed."""
    here = target.inventory.testbed_id
    if testbed_id != here:
        raise UsageError(f"{what} is of testbed {testbed_id}, this is {here}")


def same_request(what: str, then: Mapping[str, Any], request: Request) -> None:
    """Raise UsageError if something else is asked for than when `what` was begun: settings have changed."""
    now = kept_request(request)
    changed = sorted(name for name in {*now, *then} if now.get(name) != then.get(name))
    if changed:
        raise UsageError(
            f"{what} was begun with other settings: {', '.join(changed)} changed; "
            "undo that to resume it, or begin a new one"
        )


def same_options(what: str, then: Mapping[str, Any], except_for: tuple[str, ...] = ()) -> None:
    """Raise UsageError if an option is given beside --resume with another value than `what` was begun with."""
    context = click.get_current_context()
    changed = [
        max(param.opts, key=len)
        for param in context.command.params
        if param.name in then
        and param.name not in (*_FREE, *except_for)
        and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        and json.loads(json.dumps(_plain(context.params[param.name]))) != then[param.name]
    ]
    if changed:
        raise UsageError(
            f"{what} was begun with other options: {', '.join(changed)} changed; "
            "leave them out to resume it, or begin a new one"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return format_duration(value)
    return str(value) if isinstance(value, Path) else value

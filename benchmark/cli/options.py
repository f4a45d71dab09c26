"""Options of `run`, `compare` and `search`, and how they override the settings.

Each option is a field of a model: the models generate the options of the commands, and journals store their values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial, wraps
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

import click
from annotated_types import Ge
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from benchmark.cli import completers
from benchmark.cli.help import Option
from benchmark.cli.parameter_types import DurationType, LoadsType, NumberType
from benchmark.cli.target import Command
from benchmark.errors import SettingsError, UsageError
from benchmark.plan.request import Request, RunOptions, make_request
from benchmark.protocols.registry import protocol_names
from benchmark.settings import (
    Settings,
    has_literal_secret,
    load_settings,
    parse_settings,
    parse_share,
    parse_value,
    read_mapping,
    redact,
)

M = TypeVar("M", bound=BaseModel)


class CommandOptions(BaseModel):
    """Options of one command; each field is an option, its docstring the help text.

    A field whose name differs from its option names that in `json_schema_extra`.
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


def _join(loads: Sequence[int | Sequence[int]]) -> list[int]:
    """Join the loads of several words on the command line."""
    return [load for each in loads for load in ([each] if isinstance(each, int) else each)]


class SweepOptions(CommandOptions):
    """The loads of a sweep, how often and in which order they are run."""

    loads: Annotated[tuple[Annotated[int, Ge(1)], ...], BeforeValidator(_join)] = ()
    """Requested loads in tx/s: 200 1000, or 200,1000, or FIRST:LAST:STEP."""
    repeat: int = Field(default=1, ge=1)
    """Runs of each load."""
    shuffle: bool = False
    """Run the loads in random order, a different one in each repeat."""
    seed: int | None = None
    """Seed of the random order (implies --shuffle); always recorded."""


class ComparisonOptions(SweepOptions):
    """The two sides of a comparison, and its sweep."""

    a: tuple[str, ...] = ()
    """Settings file of A, or NAME=VALUE such as committee=3; repeatable."""
    b: tuple[str, ...] = ()
    """The same for B."""
    commits: tuple[str, str] | None = None
    """Two commits to compare."""


class SearchOptions(CommandOptions):
    """The limits of a search and how it proceeds."""

    limits: tuple[str, ...] = Field(default=(), json_schema_extra={"option": "--limit"})
    """Limit to meet; repeatable [default: p99=1s, achieved=98%]."""
    start: int = Field(default=100, ge=1, json_schema_extra={"option": "--from"})
    """First load, tx/s."""
    maximum: int = Field(default=20000, ge=1, json_schema_extra={"option": "--to"})
    """Highest load, tx/s."""
    precision: str = "5%"
    """Stop when the gap to a failing load is this small."""
    confirmations: int = Field(default=2, ge=0)
    """Runs that confirm the answer."""
    max_runs: int = Field(default=20, ge=1)
    """Maximum number of loads to try."""


retries_option = click.option(
    "--retries",
    type=NumberType(0),
    default=2,
    show_default=True,
    help="Retries of a run after infrastructure failures.",
)

_web_option = click.option("--web", is_flag=True, help="Serve a live page on this machine and open it in a browser.")


_dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print placement, versions, ports, faults, duration and cost; start nothing."
)


def _resume_option(kind: str) -> Callable[[Command], Command]:
    """Return the option that continues an interrupted sweep or search."""
    return click.option(
        "--resume",
        metavar="ID|FOLDER|latest",
        shell_complete=completers.results,
        help=f"Continue an interrupted {kind} with its options.",
    )


def experiment_options(kind: str) -> Callable[[Command], Command]:
    """Return the options of all commands that run the system: a dry run, retries, the live page and `--resume`."""

    def add(command: Command) -> Command:
        return _dry_run_option(retries_option(_web_option(_resume_option(kind)(command))))

    return add


def reject_resume(resume: str | None) -> None:
    """Raise UsageError if `--resume` is given together with `--dry-run`."""
    if resume:
        raise UsageError("--dry-run and --resume exclude each other: the journal lists the runs that are left")


def options_of(argument: str, model: type[BaseModel], section: str = "") -> Callable[[Command], Command]:
    """Add an option for each field of `model`; the command gets their values as the model, in `argument`.

    `section` is the one of the help that lists them.
    """

    def add_options(command: Command) -> Command:
        @wraps(command)
        def with_model(**values: Any) -> None:
            fields = {name: values.pop(name) for name in model.model_fields}
            command(**values, **{argument: model.model_validate(fields)})

        with_options: Command = with_model
        for name, field in reversed(model.model_fields.items()):
            with_options = _click_option(name, field, section)(with_options)
        return with_options

    return add_options


def _click_option(name: str, field: FieldInfo, section: str) -> Callable[[Command], Command]:
    """Return the click option of a field: type, least value, default and help are those of the field."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    flag = str(extra.get("option", f"--{name.replace('_', '-')}"))
    help_text = (field.description or "").replace("a known protocol,", ", ".join(protocol_names()))
    option = partial(click.option, cls=Option, section=section, help=help_text)
    kind: Any = field.annotation
    if kind is bool:
        return option(flag, name, is_flag=True)
    if NoneType in get_args(kind):
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if kind is bool:  # unset is neither
        return option(f"{flag}/--no-{flag.removeprefix('--')}", name, default=None)
    settings: dict[str, Any] = {"shell_complete": completers.OF_OPTIONS.get(flag)}
    if get_origin(kind) is tuple:
        kind, *others = get_args(kind)
        settings |= {"multiple": True} if others == [...] else {"nargs": 1 + len(others)}
    elif field.default is not None:
        settings |= {"default": field.default, "show_default": True}
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    least = next((each.ge for each in field.metadata if isinstance(each, Ge) and isinstance(each.ge, int)), None)
    number = LoadsType() if "multiple" in settings else NumberType(least)  # the loads are the only list of numbers
    types = {timedelta: DurationType(), Path: click.Path(path_type=Path), int: number}
    return option(flag, name, type=types.get(kind, kind), **settings)


def apply_overrides(settings: Settings, options: RunOptions, overrides: Sequence[str]) -> tuple[Settings, RunOptions]:
    """Return settings and options with the overrides of one side of a comparison.

    An override is a settings file, or `NAME=VALUE` with an option of `run` or a field of the settings, such as
    `committee=3` or `node_parameters.heartbeat_ms=50`.
    """
    fields = settings.model_dump(exclude={"repository"})
    fields["repository"] = settings.repository
    for word in overrides:
        name, equals, value = word.partition("=")
        option = name.replace("-", "_")
        if equals and not value:
            raise UsageError(f"{word}: no value; write {name}=VALUE")
        if equals and has_literal_secret(word):
            raise UsageError(
                f"{name}: its secret would be stored with the results and shown to other users of this machine; "
                f"export it as a variable and write '{name}=${{NAME}}', in single quotes"
            )
        if not equals:
            file = load_settings(Path(word))
            fields |= file.model_dump(exclude_unset=True, exclude={"repository"})
            fields["repository"] = file.repository or fields["repository"]
        elif option in RunOptions.per_side():
            options = options.override(option, value)
        else:
            _set(fields, name, parse_value(value, name))
    return parse_settings(fields, redact(" ".join(overrides)), RunOptions.per_side()), options


def comparison_requests(
    settings: Settings, sides: ComparisonOptions, options: RunOptions, results_dir: Path
) -> dict[str, Request]:
    """Return the requests of A and B, by `a` and `b`."""
    requests = {}
    for index, (arm, overrides) in enumerate((("a", sides.a), ("b", sides.b))):
        commit = (f"commit={sides.commits[index]}",) if sides.commits else ()
        own, changed = apply_overrides(settings, options, (*overrides, *commit))
        requests[arm] = make_request(own, changed, sides.loads, results_dir)
    if options.verify is None:  # faults on one side must not make the probe workload a difference
        supported = all(each.protocol.checks for each in requests.values())
        verify = supported and any(each.verify for each in requests.values())
        requests = {arm: dataclasses.replace(each, verify=verify) for arm, each in requests.items()}
    return requests


def require_loads(options: SweepOptions) -> None:
    """Raise UsageError if no load is given."""
    if not options.loads:
        raise UsageError("no load given: pass --loads 200 1000, or --resume ID to continue a sweep")


def _set(fields: dict[str, Any], name: str, value: object) -> None:
    """Set a field; dots in its name lead to nested fields, also into a file of parameters."""
    *outer, last = name.split(".")
    for step in outer:
        inner = fields.get(step)
        inner = read_mapping(inner) if isinstance(inner, Path) else inner or {}
        if not isinstance(inner, Mapping | BaseModel):
            raise SettingsError(redact(f"{name}: {step} is {inner!r}, which has no fields; set {step}=VALUE"))
        fields[step] = dict(inner)
        fields = fields[step]
    fields[last] = value
    if name == "phases":  # which determine the duration
        fields.pop("benchmark_duration", None)


def read_share(text: str, option: str) -> float:
    """Parse `5%` or `0.05`; UsageError that names `option` otherwise."""
    try:
        share = float(str(parse_share(text)))
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise UsageError(f"{option}: found {text!r}, expected a share such as 5% or 0.05")
    return share

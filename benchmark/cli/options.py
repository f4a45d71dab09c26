"""What a command is asked to run: the options of runs, and how they become requests; options win over settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import BaseModel

from benchmark.cli.target import DurationType
from benchmark.errors import SettingsError, UsageError
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.registry import find_protocol, protocol_names
from benchmark.settings import Settings, load_settings, parse_settings, parse_value, read_mapping, redact

if TYPE_CHECKING:
    from benchmark.plan.request import Request

RUN_OPTIONS = ("committee", "commit", "duration", "profile", "dedicated_clients", "protocol")
"""Options that `--a` and `--b` may name, besides the fields of the settings."""


def of_runs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what a run is."""
    options = [
        click.option("--committee", type=click.IntRange(1), help="Number of nodes; by default all that fit."),
        click.option("--duration", type=DurationType(), help="Measured time of each run."),
        click.option(
            "--warm-up", type=DurationType(), help="Time under load before the measured window; else it is found."
        ),
        click.option("--profile", help="Load over time: constant, ramp[:SHARE], steps:NUMBER or a CSV file of rates."),
        click.option("--dedicated-clients", type=click.IntRange(0), help="Hosts that only generate load."),
        click.option("--protocol", help=f"System under test: {', '.join(protocol_names())} or FILE.yaml."),
        click.option("--commit", help="Branch, tag or hash to build, instead of the settings' one."),
        click.option(
            "--repository",
            help="URL to build from, instead of the settings' one; ${NAME} is taken from the environment.",
        ),
        click.option(
            "--binaries", type=click.Path(path_type=Path), help="Folder with binaries of your own; nothing is built."
        ),
        click.option("--snapshot", is_flag=True, help="Save all that Prometheus holds with each run."),
        click.option("--name", help="A name for these runs, kept in their manifests."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def make_request(settings: Settings, results_dir: Path, options: Mapping[str, Any], loads: Sequence[int]) -> Request:
    """Settle what is asked for."""
    from benchmark.measure.warm_up import DEFAULT_S
    from benchmark.plan.request import Request
    from benchmark.plan.source import find_source

    kind = find_protocol(options["protocol"] or settings.protocol)
    dedicated = options["dedicated_clients"]
    warm_up = settings.warm_up if options["warm_up"] is None else options["warm_up"]
    profile = options["profile"] or settings.profile
    return Request(
        protocol=make_protocol(kind, settings),
        settings=settings,
        loads=loads,
        duration_s=(options["duration"] or settings.benchmark_duration).total_seconds(),
        warm_up_s=DEFAULT_S if warm_up is None else warm_up.total_seconds(),
        # A load that changes on purpose is never steady.
        find_warm_up=warm_up is None and profile == "constant",
        committee=options["committee"],
        dedicated_clients=settings.dedicated_clients if dedicated is None else dedicated,
        profile=profile,
        snapshot=options["snapshot"],
        name=options["name"],
        results_dir=results_dir,
        source=find_source(
            kind,
            settings.repository,
            url=options["repository"],
            commit=options["commit"],
            binaries=options["binaries"],
        ),
    )


def record(request: Request) -> dict[str, Any]:
    """Return a request as JSON, to be compared with that of a sweep that is resumed."""
    from benchmark.plan.source import describe

    plain = {
        field.name: getattr(request, field.name)
        for field in dataclasses.fields(request)
        if field.name not in ("protocol", "results_dir", "settings", "source")
    }
    system = request.protocol
    return {
        **plain,
        "source": describe(request.source),
        "loads": list(request.loads),
        "parameters": {"settings": request.settings.model_dump(mode="json", exclude={"token_file", "repository"})},
        "protocol": system.name,
        "node_parameters": system.node_parameters.model_dump(mode="json"),
        "client_parameters": system.client_parameters.model_dump(mode="json"),
    }


def varied(settings: Settings, options: Mapping[str, Any], given: Sequence[str]) -> tuple[Settings, dict[str, Any]]:
    """Return settings and options as one side of a comparison wants them.

    `given` holds a settings file, or `NAME=VALUE` with an option of runs or a field of the settings:
    `committee=3`, `node_parameters.heartbeat_ms=50`.
    """
    changed, fields = dict(options), settings.model_dump(exclude={"repository"})
    fields["repository"] = settings.repository
    for word in given:
        name, equals, value = word.partition("=")
        if not equals:
            file = load_settings(Path(word))
            fields |= file.model_dump(exclude_unset=True, exclude={"repository"})
            fields["repository"] = file.repository or fields["repository"]
        elif name.replace("-", "_") in RUN_OPTIONS:
            changed[name.replace("-", "_")] = _option(name, value)
        else:
            _set(fields, name, parse_value(value, name))
    return parse_settings(fields, redact(" ".join(given)), RUN_OPTIONS), changed


def _option(name: str, value: str) -> Any:
    if name == "duration":
        return DurationType().convert(value, None, None)
    if name in ("committee", "dedicated_clients", "dedicated-clients"):
        if not value.isdecimal():
            raise UsageError(f"{name}={value}: found {value!r}, expected a whole number")
        return int(value)
    return value


def _set(fields: dict[str, Any], name: str, value: Any) -> None:
    """Set a field, or with dots in its name one deep inside, where a file of parameters is read."""
    *outer, last = name.split(".")
    for step in outer:
        inner = fields.get(step)
        inner = read_mapping(inner) if isinstance(inner, Path) else inner or {}
        if not isinstance(inner, Mapping | BaseModel):
            raise SettingsError(redact(f"{name}: {step} is {inner!r}, which has no fields; give {step}=VALUE"))
        fields[step] = dict(inner)
        fields = fields[step]
    fields[last] = value

"""Options of `run`, `compare` and `search`, and how they override the settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import BaseModel

from benchmark.cli.target import Command, DurationType
from benchmark.errors import SettingsError, UsageError
from benchmark.protocols.parameters import make_protocol
from benchmark.protocols.registry import find_protocol, protocol_names
from benchmark.settings import Settings, load_settings, parse_settings, parse_value, read_mapping, redact

if TYPE_CHECKING:
    from benchmark.plan.request import Request

RUN_OPTIONS = ("committee", "commit", "duration", "profile", "dedicated_clients", "protocol")
"""Options that `--a` and `--b` accept, besides the fields of the settings."""


loads_option = click.option("--loads", multiple=True, type=click.IntRange(1), help="Offered loads in tx/s: 200 1000.")


def run_options(command: Command) -> Command:
    """Add the options that describe a run."""
    options = [
        click.option("--committee", type=click.IntRange(1), help="Number of nodes [default: as many as possible]."),
        click.option("--duration", type=DurationType(), help="Duration of the measurement of each run."),
        click.option(
            "--warm-up", type=DurationType(), help="Warm-up before measuring [default: detected, at least 15 s]."
        ),
        click.option("--profile", help="Load over time: constant, ramp[:SHARE], steps:NUMBER, or a CSV file of rates."),
        click.option("--dedicated-clients", type=click.IntRange(0), help="Number of hosts that only generate load."),
        click.option("--protocol", help=f"System under test: {', '.join(protocol_names())} or FILE.yaml."),
        click.option("--commit", help="Branch, tag or hash to build, instead of the one in the settings."),
        click.option(
            "--repository",
            help="URL to build from, instead of the one in the settings; ${NAME} is read from the environment.",
        ),
        click.option(
            "--binaries", type=click.Path(path_type=Path), help="Folder of prebuilt binaries; nothing is built."
        ),
        click.option("--snapshot", is_flag=True, help="Save the Prometheus database with each run."),
        click.option("--name", help="Name of these runs, stored in their manifests."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def sweep_options(command: Command) -> Command:
    """Add the options that set the number and order of runs."""
    options = [
        click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="Runs of each load."),
        click.option("--shuffle", is_flag=True, help="Run the loads in random order, a different one in each repeat."),
        click.option("--seed", type=int, help="Seed of the random order (implies --shuffle); always recorded."),
        click.option(
            "--retries",
            type=click.IntRange(0),
            default=2,
            show_default=True,
            help="Retries of a run after infrastructure failures.",
        ),
        click.option("--resume", metavar="ID|FOLDER|latest", help="Continue an interrupted sweep with its options."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def make_request(settings: Settings, results_dir: Path, options: Mapping[str, Any], loads: Sequence[int]) -> Request:
    """Return the request that settings and options make; options override settings."""
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
        # A load that changes by design never becomes steady.
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


def request_to_dict(request: Request) -> dict[str, Any]:
    """Return a request as plain values, to compare it with the request of a sweep that is resumed."""
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


def apply_overrides(
    settings: Settings, options: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[Settings, dict[str, Any]]:
    """Return settings and options with the overrides of one side of a comparison.

    An override is a settings file, or `NAME=VALUE` with an option of `run` or a field of the settings, such as
    `committee=3` or `node_parameters.heartbeat_ms=50`.
    """
    changed, fields = dict(options), settings.model_dump(exclude={"repository"})
    fields["repository"] = settings.repository
    for word in overrides:
        name, equals, value = word.partition("=")
        if not equals:
            file = load_settings(Path(word))
            fields |= file.model_dump(exclude_unset=True, exclude={"repository"})
            fields["repository"] = file.repository or fields["repository"]
        elif name.replace("-", "_") in RUN_OPTIONS:
            changed[name.replace("-", "_")] = _option(name, value)
        else:
            _set(fields, name, parse_value(value, name))
    return parse_settings(fields, redact(" ".join(overrides)), RUN_OPTIONS), changed


def _option(name: str, value: str) -> Any:
    if name == "duration":
        return DurationType().convert(value, None, None)
    if name in ("committee", "dedicated_clients", "dedicated-clients"):
        if not value.isdecimal():
            raise UsageError(f"{name}={value}: found {value!r}, expected a whole number")
        return int(value)
    return value


def _set(fields: dict[str, Any], name: str, value: Any) -> None:
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


def read_share(text: str, option: str) -> float:
    """Parse `5%` or `0.05`; UsageError that names `option` otherwise."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise UsageError(f"{option}: found {text!r}, expected a share such as 5% or 0.05")
    return share

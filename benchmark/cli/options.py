"""Options of `run`, `compare` and `search`, and how they override the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from benchmark.cli.target import Command, DurationType
from benchmark.errors import SettingsError, UsageError
from benchmark.plan import request
from benchmark.plan.request import Request, RunOptions
from benchmark.protocols.registry import protocol_names
from benchmark.settings import Settings, load_settings, parse_settings, parse_value, read_mapping, redact

loads_option = click.option("--loads", multiple=True, type=click.IntRange(1), help="Offered loads in tx/s: 200 1000.")


def run_options(command: Command) -> Command:
    """Add the options that describe a run."""
    options = [
        click.option("--committee", type=click.IntRange(1), help="Number of nodes [default: as many as possible]."),
        click.option("--duration", type=DurationType(), help="Duration of the measurement of each run."),
        click.option(
            "--warm-up", type=DurationType(), help="Warm-up before measuring [default: detected, at least 15 s]."
        ),
        click.option(
            "--load-shape", help="Load over time: constant, ramp[:SHARE], steps:NUMBER, or a CSV file of rates."
        ),
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
    return request.make_request(settings, RunOptions.select(options), loads, results_dir)


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
        elif name.replace("-", "_") in RunOptions.per_side():
            option = name.replace("-", "_")
            changed[option] = getattr(RunOptions().override(option, value), option)
        else:
            _set(fields, name, parse_value(value, name))
    return parse_settings(fields, redact(" ".join(overrides)), RunOptions.per_side()), changed


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

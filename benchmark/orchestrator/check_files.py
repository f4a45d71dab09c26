"""Check the files that users write, without a testbed: settings and described systems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.errors import UsageError
from benchmark.faults.kinds import make_kind
from benchmark.faults.schedule import make_schedule
from benchmark.faults.targets import Committee
from benchmark.plan.deployment import deploy
from benchmark.plan.expected_hosts import expected_inventory
from benchmark.plan.request import Request, RunOptions, make_request
from benchmark.protocols.parameters import read_parameters
from benchmark.protocols.registry import find_protocol
from benchmark.settings import (
    Place,
    Settings,
    load_settings,
    missing_requirements,
    place_in_phases,
    read_document,
    split_place,
)

Kind = Literal["settings", "system"]
_LOAD = 1000
"""A load in tx/s that any committee can share."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a file, and where."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True)
class Checked:
    """The kind of a file, None if it cannot be read, and what is wrong with it."""

    kind: Kind | None
    problems: tuple[Problem, ...]


def check_file(path: Path) -> Checked:
    """Find everything that is wrong with a file of settings, or that describes a system."""
    errors: list[str] = []
    kind: Kind | None = None
    with _collecting(errors):
        kind = "system" if "node" in read_document(path, keep_tags=True).content else "settings"
        _CHECKS[kind](path, errors)
    problems = []
    for line in dict.fromkeys(line for text in errors for line in text.splitlines()):
        place, message = split_place(line)
        message = message if place else message.removeprefix(f"{path}: ")
        problems.append(Problem(place or Place(str(path), 1, 1), message))
    return Checked(kind, tuple(sorted(problems, key=lambda each: each.place)))


@contextmanager
def _collecting(errors: list[str]) -> Iterator[None]:
    """Add the message of a usage error to `errors`."""
    try:
        yield
    except UsageError as error:
        errors.append(str(error))


def _check_system(path: Path, errors: list[str]) -> None:
    """Read a described system and render its templates with its default parameters."""
    system = find_protocol(str(path))
    system(system.node_model(), system.client_model())


def _check_settings(path: Path, errors: list[str]) -> None:
    settings = load_settings(path)
    errors += [settings.located(each.message, *each.path) for each in missing_requirements(settings)]
    request: Request | None = None
    with _collecting(errors):
        request = make_request(settings, RunOptions(), (_LOAD,), settings.results_dir)
    if request is None:
        _check_parameters(settings, errors)
    for index, fault in enumerate(settings.faults):
        with _located(settings, errors, "faults", index):
            make_kind(fault.kind, fault.parameters)
    if request is not None and not errors:
        _check_run(request, errors)


def _check_parameters(settings: Settings, errors: list[str]) -> None:
    """Find wrong parameters where another error hides them."""
    try:
        system = find_protocol(settings.protocol)
    except UsageError:
        return
    for field, given, model in (
        ("node_parameters", settings.node_parameters, system.node_model),
        ("client_parameters", settings.client_parameters, system.client_model),
    ):
        with _collecting(errors):
            read_parameters(field, given, model, settings.located)


def _check_run(request: Request, errors: list[str]) -> None:
    """Place a run on the hosts that the settings describe, and schedule its faults."""
    settings = request.settings
    inventory = expected_inventory(settings)
    with _located(settings, errors, "dedicated_clients" if settings.dedicated_clients else "instances"):
        deployment = deploy(inventory, request, _LOAD)
        committee = Committee.of(deployment, request.protocol, monitored=settings.monitoring)
        for index, fault in enumerate(settings.faults):
            with _located(settings, errors, "faults", index):
                placed = place_in_phases([fault], settings.phases)
                make_schedule(placed, committee, request.duration_s, seed=0)
        if not errors:
            with _located(settings, errors, "faults"):
                make_schedule(request.faults, committee, request.duration_s, seed=0)


@contextmanager
def _located(settings: Settings, errors: list[str], *field: int | str) -> Iterator[None]:
    """Add the message of a usage error to `errors`, with the place of a field of the settings if it has none."""
    try:
        yield
    except UsageError as error:
        text = str(error)
        errors.append(text if split_place(text)[0] else settings.located(text, *field))


_CHECKS: dict[Kind, Callable[[Path, list[str]], None]] = {"settings": _check_settings, "system": _check_system}

"""What a command works on, a testbed, results or a file to write, and the options that say which."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.errors import SettingsError, UsageError
from benchmark.inventory import Inventory, read_inventory
from benchmark.settings import Settings, load_settings, parse_duration, stack_settings
from benchmark.testbed.stack import Stack, begin_reading, project_directory, selected_stack

if TYPE_CHECKING:
    from benchmark.testbed.testbed import Testbed


class Target:
    """The testbed that a command works on: its inventory, its key and its settings.

    Pulumi begins to read the stack's outputs when this is made, and is waited for when they are first needed: what a
    command imports meanwhile takes no time of its own.
    """

    def __init__(self, stack: str | None, inventory: Path | None, settings: Path | None) -> None:
        if stack and inventory:
            raise UsageError("--stack and --inventory both name the hosts; give one of them")
        self.project = project_directory()
        self._inventory_file = inventory
        self._settings_file = settings
        self._reading = None if inventory else begin_reading(self.project, stack)

    @cached_property
    def _stack(self) -> Stack | None:
        return self._reading() if self._reading else None

    @cached_property
    def inventory(self) -> Inventory:
        """The hosts; UsageError if there are none to be had."""
        if self._inventory_file:
            return read_inventory(self._inventory_file)
        assert self._stack is not None
        return self._stack.inventory

    @cached_property
    def settings(self) -> Settings:
        """The settings file that was named, else the stack's; defaults for a bare inventory."""
        if self._settings_file:
            return load_settings(self._settings_file)
        if self._stack is None:
            return Settings(testbed_id=self.inventory.testbed_id, regions=self.inventory.regions)
        return stack_settings(self.project, self._stack.name)

    @property
    def private_key(self) -> Path | str:
        """The key's path, or its text; UsageError if there is none."""
        named = self.settings.ssh_private_key_file or self.inventory.ssh.private_key_file
        generated = self._stack.private_key if self._stack else None
        if generated is None and named is None:
            raise UsageError("the inventory names no private key; set ssh_private_key_file in the settings")
        return generated or Path(str(named)).expanduser()

    @property
    def results_dir(self) -> Path:
        """Where results are written."""
        return self.project / self.settings.results_dir

    @contextmanager
    def open(self, retries: int | None = None) -> Iterator[Testbed]:
        """The testbed, not connected yet; everything is closed at the end. `retries` wins over the settings."""
        from benchmark.remote.fleet import Fleet
        from benchmark.testbed.testbed import Testbed

        fleet = Fleet(
            self.inventory.hosts,
            self.inventory.ssh.user,
            self.private_key,
            timeout=self.settings.ssh_timeout,
            retries=self.settings.ssh_retries if retries is None else retries,
        )
        with fleet:
            yield Testbed(self.inventory, fleet, self.settings)


def results_dir(stack: str | None = None, inventory: Path | None = None, settings: Path | None = None) -> Path:
    """Where the results of runs lie that were given these options, whether or not the stack is up.

    A stack's configuration that cannot be read is told, and the results are looked for where they lie by default.
    """
    project = project_directory()
    if settings:
        return project / load_settings(settings).results_dir
    default: Path = project / Settings.model_fields["results_dir"].default
    name = None if inventory else stack or selected_stack(project)
    try:
        return project / stack_settings(project, name.rpartition("/")[2]).results_dir if name else default
    except SettingsError as error:
        click.secho(f"warning: results are looked for in {default}: {error}", fg="yellow", err=True)
        return default


def ready_to_write(path: Path) -> Path:
    """Return `path` once its folder is there; UsageError if nothing can be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}: {error.filename}") from None
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: its folder may not be written to")
    return path


class DurationType(click.ParamType[timedelta]):
    """90, 90s, 3m, 12h."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read a duration or fail with what is accepted."""
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def on_testbed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which testbed is meant."""
    options = [
        click.option("--stack", help="Stack that holds the testbed; by default the selected one."),
        click.option("--inventory", type=click.Path(path_type=Path), help="Inventory file, instead of a stack."),
        click.option("--settings", type=click.Path(path_type=Path), help="Settings file, instead of the stack's."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def of_results(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that says where results lie."""
    return click.option(
        "--results-dir",
        type=click.Path(path_type=Path),
        default=results_dir,
        help="Where results lie; by default the results_dir of the selected stack's settings.",
    )(command)

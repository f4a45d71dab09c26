"""The testbed that a command works on, and the options that say which one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.errors import UsageError
from benchmark.inventory import Inventory, read_inventory
from benchmark.settings import Settings, load_settings, parse_duration, stack_settings
from benchmark.stack import project_directory, read_stack

if TYPE_CHECKING:
    from benchmark.testbed import Testbed


class Target:
    """The testbed that a command works on: its inventory, its key and its settings, read when first needed."""

    def __init__(self, stack: str | None, inventory: Path | None, settings: Path | None) -> None:
        if stack and inventory:
            raise UsageError("--stack and --inventory both name the hosts; give one of them")
        self.project = project_directory()
        self._private_key: str | None = None
        if inventory:
            self.inventory = read_inventory(inventory)
            self.settings = load_settings(settings) if settings else _settings_of(self.inventory)
        else:
            found = read_stack(self.project, stack)
            self.inventory, self._private_key = found.inventory, found.private_key
            self.settings = load_settings(settings) if settings else stack_settings(self.project, found.name)

    @property
    def private_key(self) -> Path | str:
        """The key's path, or its text; UsageError if there is none."""
        named = self.settings.ssh_private_key_file or self.inventory.ssh.private_key_file
        if self._private_key is None and named is None:
            raise UsageError("the inventory names no private key; set ssh_private_key_file in the settings")
        return self._private_key or Path(str(named)).expanduser()

    @property
    def results_dir(self) -> Path:
        """Where results are written."""
        return self.project / self.settings.results_dir

    @contextmanager
    def open(self) -> Iterator[Testbed]:
        """The testbed, not connected yet; everything is closed at the end."""
        from benchmark.remote import Fleet
        from benchmark.testbed import Testbed

        fleet = Fleet(
            self.inventory.hosts,
            self.inventory.ssh.user,
            self.private_key,
            timeout=self.settings.ssh_timeout,
            retries=self.settings.ssh_retries,
        )
        with fleet:
            yield Testbed(self.inventory, fleet, self.settings)


def _settings_of(inventory: Inventory) -> Settings:
    """Settings for an inventory that came without: defaults, and what the inventory itself tells."""
    return Settings(testbed_id=inventory.testbed_id, regions=inventory.regions)


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

"""The testbed, results folder or output file that a command works on, and the options that select it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.cli import completers, messages
from benchmark.cli.help import Option
from benchmark.cli.parameter_types import NumberType
from benchmark.errors import SettingsError, UsageError
from benchmark.testbed.stack import (
    NoHostsError,
    Stack,
    begin_reading,
    begin_selection,
    project_directory,
    selected_stack,
)
from benchmark.testbed.strays import Strays, begin_search

if TYPE_CHECKING:  # models take time to import, and Pulumi answers meanwhile
    from benchmark.inventory import Inventory
    from benchmark.settings import Settings
    from benchmark.testbed.testbed import Testbed


class Target:
    """The testbed that a command works on: its inventory, private key and settings.

    Creating a target starts Pulumi, which takes about a second to read the stack's outputs; the first access to them
    waits for it. Commands import their heavier modules in between.
    """

    def __init__(
        self, stack: str | None, inventory: Path | None, settings: Path | None, results_folder: Path | None = None
    ) -> None:
        if stack and inventory:
            raise UsageError("--stack and --inventory exclude each other; pass one of them")
        self.project = project_directory()
        self._stack_name = stack
        self._inventory_file = inventory
        self._settings_file = settings
        self._results_folder = results_folder
        self._reading = None if inventory else begin_reading(self.project, stack)

    @cached_property
    def _stack(self) -> Stack | None:
        return self._reading() if self._reading else None

    @cached_property
    def inventory(self) -> Inventory:
        """The hosts; UsageError if the stack is not up or the file is not an inventory."""
        if self._inventory_file:
            from benchmark.inventory import read_inventory

            return read_inventory(self._inventory_file)
        assert self._stack is not None
        return self._stack.inventory

    @cached_property
    def settings(self) -> Settings:
        """The settings of `--settings`, else those of the stack; for an inventory file what it states, and defaults."""
        from benchmark.settings import load_settings, stack_settings

        if self._settings_file:
            found = load_settings(self._settings_file)
        elif self._stack is None:
            return _stated_settings(self.inventory)
        else:
            found = stack_settings(self.project, self._stack.name)
        for text in mismatches(found, self.inventory):
            messages.warning(text)
        return found

    @property
    def expected_settings(self) -> Settings:
        """The settings of `--settings`, else those of the stack, which need not be up."""
        from benchmark.settings import load_settings, stack_settings

        if self._settings_file:
            return load_settings(self._settings_file)
        name = self._stack_name or selected_stack(self.project)
        if name is None:
            raise UsageError("no stack is selected; pass --settings FILE or --stack NAME")
        return stack_settings(self.project, name.rpartition("/")[2])

    @property
    def private_key(self) -> Path | str:
        """The path of the private key, or its text; UsageError if none is known."""
        named = self.settings.ssh_private_key_file or self.inventory.ssh.private_key_file
        generated = self._stack.private_key if self._stack else None
        if generated is None and named is None:
            raise UsageError("no private key in the inventory; set ssh_private_key_file in the settings")
        return generated or Path(str(named)).expanduser()

    @property
    def results_dir(self) -> Path:
        """The folder to which results are written."""
        return self.results_folder(self.settings)

    def results_folder(self, settings: Settings) -> Path:
        """Return the folder to which results of a testbed with these settings are written."""
        return self._results_folder or self.project / settings.results_dir

    def begin_stray_search(self) -> Callable[[], Strays]:
        """Start to look for cloud hosts that the stack does not know; return a function that waits for the result.

        Raises NoHostsError, which names them, if the stack has no hosts.
        """
        try:
            rented = any(host.capabilities.ephemeral for host in self.inventory.hosts)
        except NoHostsError as error:
            found = begin_search(self.project, self._stack_name)()
            raise NoHostsError(f"{error}; {found.warning}" if found.hosts else str(error)) from None
        if self._stack is None or not rented:
            return Strays
        return begin_search(self.project, self._stack_name)

    @contextmanager
    def open(self, retries: int | None = None) -> Iterator[Testbed]:
        """Yield the testbed, not connected yet, and close it at the end; `retries` overrides ssh_retries."""
        from benchmark.testbed.testbed import Testbed

        with Testbed.open(self.inventory, self.settings, self.private_key, retries) as testbed:
            yield testbed


def _stated_settings(inventory: Inventory) -> Settings:
    """Return the settings of a testbed as far as its inventory states them, else defaults."""
    from pydantic import ValidationError

    from benchmark.settings import Settings

    stated: dict[str, object] = {"testbed_id": inventory.testbed_id, "regions": inventory.regions}
    if disk := next((host.disk for host in inventory.hosts if host.disk), None):
        stated |= {"working_dir": disk.working_dir, "disk": disk.model_dump(exclude={"working_dir"})}
    try:
        return Settings.model_validate(stated)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"the inventory of testbed {inventory.testbed_id} states impossible settings: {where}: {first['msg']}; "
            "write it again with `pulumi stack output inventory --json`"
        ) from None


def mismatches(settings: Settings, inventory: Inventory) -> list[str]:
    """Return how the testbed differs from its settings, which may have been edited since it was created."""
    found = []
    if settings.testbed_id != inventory.testbed_id:
        found.append(f"the settings are of testbed {settings.testbed_id}, the hosts of {inventory.testbed_id}")
    wanted = [spec.name for spec in settings.region_specs] + [machine.region for machine in settings.machines]
    for what, names, others in (
        ("the testbed has no hosts in", wanted, inventory.regions),
        ("the settings do not have the testbed's", inventory.regions, wanted),
    ):
        if missing := [name for name in dict.fromkeys(names) if name not in others]:
            found.append(f"{what} {', '.join(missing)}; `pulumi up` with these settings changes it")
    return found


def results_dir(stack: str | None = None, inventory: Path | None = None, settings: Path | None = None) -> Path:
    """Return the results folder of runs with these options, whether or not the stack is up.

    Print a warning and return the default if the stack's configuration cannot be read.
    """
    project = project_directory()
    selected = None if settings or inventory or stack else begin_selection(project)
    from benchmark.settings import Settings, load_settings, stack_settings

    if settings:
        return project / load_settings(settings).results_dir
    default: Path = project / Settings.model_fields["results_dir"].default
    name = selected() if selected else None if inventory else stack
    try:
        return project / stack_settings(project, name.rpartition("/")[2]).results_dir if name else default
    except SettingsError as error:
        messages.warning(f"looking for results in {default}: {error}")
        return default


def prepare_output(path: Path) -> Path:
    """Create the folder of `path` and return `path`; UsageError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}: {error.filename}") from None
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: no permission to write to its folder")
    return path


Command = Callable[..., None]

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
stack_option = click.option(
    "--stack",
    cls=Option,
    section="Testbed",
    shell_complete=completers.stacks,
    help="Stack of the testbed [default: the selected stack].",
)
_inventory_option = click.option(
    "--inventory",
    cls=Option,
    section="Testbed",
    type=click.Path(path_type=Path),
    help="Inventory file, instead of a stack.",
)
_settings_option = click.option(
    "--settings",
    cls=Option,
    section="Testbed",
    type=click.Path(path_type=Path),
    help="Settings file, instead of the stack's.",
)


results_dir_option = click.option(
    "--results-dir",
    "results_folder",
    type=click.Path(path_type=Path),
    help="Results directory [default: results_dir in the settings].",
)
port_option = click.option(
    "--port",
    type=NumberType(0, 65535),
    metavar="PORT",
    default=0,
    help="Port to listen on [default: any free port].",
)


def testbed_options(command: Command) -> Command:
    """Add the options that select a testbed: `stack`, `inventory` and `settings`."""
    return stack_option(_inventory_option(_settings_option(command)))


def on_testbed(command: Command) -> Command:
    """Add the options that select a testbed, and `--json`; pass the command the selected `target`."""

    return testbed_options(json_option(_with_target(command)))


def running_on_testbed(command: Command) -> Command:
    """Add the options of `on_testbed`, and `--results-dir` for the results that the command writes."""

    return testbed_options(results_dir_option(json_option(_with_target(command))))


def _with_target(command: Command) -> Command:
    @wraps(command)
    def with_target(
        stack: str | None,
        inventory: Path | None,
        settings: Path | None,
        results_folder: Path | None = None,
        **options: Any,
    ) -> None:
        command(target=Target(stack, inventory, settings, results_folder), **options)

    return with_target


def in_results(command: Command) -> Command:
    """Add the options that select a results folder; pass the command the selected `results_dir`."""

    @wraps(command)
    def with_folder(stack: str | None, results_folder: Path | None, **options: Any) -> None:
        command(results_dir=results_folder or results_dir(stack), **options)

    return results_dir_option(stack_option(with_folder))


def on_results(command: Command) -> Command:
    """Add the options of `in_results`, and `--json`."""
    return in_results(json_option(command))

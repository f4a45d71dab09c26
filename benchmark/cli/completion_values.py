"""The values that the shell completes; each function returns those that fit the options given so far.

Only completion imports this module: it needs the models of settings, hosts and results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmark.errors import TestbedError
from benchmark.faults.kinds import KINDS
from benchmark.faults.targets import BRIDGE, HALVES, TARGETS
from benchmark.inventory import read_inventory
from benchmark.protocols.registry import protocol_names
from benchmark.results.find import find_run
from benchmark.results.layout import LATEST, kind_of
from benchmark.results.manifest import read_manifest
from benchmark.settings import Settings, load_settings, stack_settings
from benchmark.testbed.stack import begin_reading, project_directory, selected_stack


def _results_folder(given: Mapping[str, Any]) -> Path:
    """Return the results folder that the options select."""
    if folder := given.get("results_folder"):
        return Path(folder)
    if settings := given.get("settings"):
        return project_directory() / load_settings(settings).results_dir
    if stack := given.get("stack") or selected_stack(project_directory()):
        return project_directory() / stack_settings(project_directory(), stack.rpartition("/")[2]).results_dir
    default: Path = Settings.model_fields["results_dir"].default
    return project_directory() / default


def _result_folders(given: Mapping[str, Any]) -> list[Path]:
    """Return all folders of results, newest first."""
    found = [path for path in _results_folder(given).glob("*/*") if path.is_dir() and not path.is_symlink()]
    return sorted(found, key=lambda path: path.name, reverse=True)


def results(given: Mapping[str, Any]) -> Iterable[str]:
    """Return the names of all results."""
    return [LATEST, *(path.name for path in _result_folders(given))]


def runs(given: Mapping[str, Any]) -> Iterable[str]:
    """Return the names of all runs."""
    return [LATEST, *(path.name for path in _result_folders(given) if kind_of(path) == "run")]


def stacks(given: Mapping[str, Any]) -> Iterable[str]:
    """Return the stacks of the project."""
    return sorted(path.name[len("Pulumi.") : -len(".yaml")] for path in project_directory().glob("Pulumi.*.yaml"))


def hosts_and_processes(given: Mapping[str, Any]) -> Iterable[str]:
    """Return all hosts, and the processes of the latest run if there is one."""
    file = given.get("inventory")
    inventory = read_inventory(file) if file else begin_reading(project_directory(), given.get("stack"))().inventory
    try:
        of_run = processes(given)
    except TestbedError:
        of_run = ()
    return ["all", *(host.name for host in inventory.hosts), *of_run]


def processes(given: Mapping[str, Any]) -> Iterable[str]:
    """Return the processes of the run that the command line names, else of the latest one."""
    return read_manifest(find_run(_results_folder(given), given.get("run") or LATEST)).placement.processes


def protocols(given: Mapping[str, Any]) -> Iterable[str]:
    """Return all protocols."""
    return protocol_names()


def faults(given: Mapping[str, Any]) -> Iterable[str]:
    """Return the beginnings of all faults."""
    targets = {"partition": (*TARGETS, HALVES, BRIDGE)}
    return [f"{kind}:{target}@" for kind in KINDS for target in targets.get(kind, TARGETS)]

"""Values that the shell completes: results, hosts, processes, stacks, protocols, faults.

A completer never fails and prints nothing: what cannot be read has no completions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_FILES = [CompletionItem("", type="file")]
_LATEST = "latest"


def _completer(find: Callable[[Mapping[str, Any]], Iterable[str]]) -> Completer:
    """Return a completer of the values that `find` returns for the options given so far, in its order."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            return [CompletionItem(value) for value in find(context.params) if value.startswith(incomplete)]
        except Exception:  # a broken file or stack must not disturb the command line
            return []

    return complete


def _project() -> Path:
    from benchmark.testbed.stack import project_directory

    return project_directory()


def _results_folder(given: Mapping[str, Any]) -> Path:
    """Return the results folder that the options select."""
    if folder := given.get("results_folder"):
        return Path(folder)
    from benchmark.settings import Settings, load_settings, stack_settings
    from benchmark.testbed.stack import selected_stack

    if settings := given.get("settings"):
        return _project() / load_settings(settings).results_dir
    if stack := given.get("stack") or selected_stack(_project()):
        return _project() / stack_settings(_project(), stack.rpartition("/")[2]).results_dir
    default: Path = Settings.model_fields["results_dir"].default
    return _project() / default


def _result_folders(given: Mapping[str, Any]) -> list[Path]:
    """Return all folders of results, newest first."""
    found = [path for path in _results_folder(given).glob("*/*") if path.is_dir() and not path.is_symlink()]
    return sorted(found, key=lambda path: path.name, reverse=True)


def _results(given: Mapping[str, Any]) -> Iterable[str]:
    return [_LATEST, *(path.name for path in _result_folders(given))]


def _runs(given: Mapping[str, Any]) -> Iterable[str]:
    from benchmark.results.layout import COLLECTIONS

    folders = [path for path in _result_folders(given) if not any((path / name).exists() for name in COLLECTIONS)]
    return [_LATEST, *(path.name for path in folders)]


def _stacks(given: Mapping[str, Any]) -> Iterable[str]:
    return sorted(path.name[len("Pulumi.") : -len(".yaml")] for path in _project().glob("Pulumi.*.yaml"))


def _hosts(given: Mapping[str, Any]) -> Iterable[str]:
    from benchmark.inventory import read_inventory
    from benchmark.testbed.stack import begin_reading

    file = given.get("inventory")
    inventory = read_inventory(file) if file else begin_reading(_project(), given.get("stack"))().inventory
    return ["all", *(host.name for host in inventory.hosts)]


def _processes(given: Mapping[str, Any]) -> Iterable[str]:
    """Return the processes of the run that the command line names, else of the latest one."""
    from benchmark.results.find import find_run
    from benchmark.results.manifest import read_manifest

    return read_manifest(find_run(_results_folder(given), given.get("run") or _LATEST)).placement.processes


def _protocols(given: Mapping[str, Any]) -> Iterable[str]:
    from benchmark.protocols.registry import protocol_names

    return protocol_names()


def _faults(given: Mapping[str, Any]) -> Iterable[str]:
    from benchmark.faults.kinds import KINDS
    from benchmark.faults.targets import BRIDGE, HALVES, TARGETS

    targets = {"partition": (*TARGETS, HALVES, BRIDGE)}
    return [f"{kind}:{target}@" for kind in KINDS for target in targets.get(kind, TARGETS)]


def _words(*words: str) -> Completer:
    return _completer(lambda given: words)


def _or_file(complete: Completer) -> Completer:
    """Return a completer that completes paths of files where nothing else fits."""

    def complete_both(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete(context, parameter, incomplete) or _FILES

    return complete_both


results: Completer = _completer(_results)
runs: Completer = _completer(_runs)
stacks: Completer = _completer(_stacks)
hosts: Completer = _completer(lambda given: [*_hosts(given), *_processes_if_any(given)])
processes: Completer = _completer(_processes)


def _processes_if_any(given: Mapping[str, Any]) -> Sequence[str]:
    from benchmark.errors import TestbedError

    try:
        return list(_processes(given))
    except TestbedError:
        return []


OF_OPTIONS: Mapping[str, Completer] = {
    "--protocol": _or_file(_completer(_protocols)),
    "--faults": _or_file(_completer(_faults)),
    "--load-shape": _or_file(_words("constant", "ramp", "steps:")),
    "--limit": _words("p99=", "achieved="),
    "--a": _or_file(_words()),
    "--b": _or_file(_words()),
}
"""Completers of the options that are generated from models, by option."""

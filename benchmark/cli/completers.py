"""Values that the shell completes: results, hosts, processes, stacks, protocols, faults.

A completer never fails and prints nothing: what cannot be read has no completions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_FILES = [CompletionItem("", type="file")]


def _completer(name: str) -> Completer:
    """Return a completer of the values of a function of `completion_values`, in its order."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            find = getattr(import_module("benchmark.cli.completion_values"), name)
            return [CompletionItem(value) for value in find(context.params) if value.startswith(incomplete)]
        except Exception:  # a broken file or stack must not disturb the command line
            return []

    return complete


def _words(*words: str) -> Completer:
    return lambda context, parameter, incomplete: [
        CompletionItem(each) for each in words if each.startswith(incomplete)
    ]


def _or_file(complete: Completer) -> Completer:
    """Return a completer that completes paths of files where nothing else fits."""

    def complete_both(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete(context, parameter, incomplete) or _FILES

    return complete_both


results: Completer = _completer("results")
runs: Completer = _completer("runs")
stacks: Completer = _completer("stacks")
hosts: Completer = _completer("hosts_and_processes")
processes: Completer = _completer("processes")


OF_OPTIONS: Mapping[str, Completer] = {
    "--protocol": _or_file(_completer("protocols")),
    "--faults": _or_file(_completer("faults")),
    "--load-shape": _or_file(_words("constant", "ramp", "steps:")),
    "--limit": _words("p99=", "achieved="),
    "--a": _or_file(_words()),
    "--b": _or_file(_words()),
}
"""Completers of the options that are generated from models, by option."""

"""The command that prints completion scripts, and what bash needs besides click's."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from benchmark.cli.commands import COMPLETE_VARIABLE, cli
from benchmark.cli.help import Command, examples

_ADD = "COMPREPLY+=($value)"
_MORE_FOLLOWS = "[[ $value == *[@:=] ]] && compopt -o nospace 2>/dev/null"


@add_completion_class
class ColonComplete(BashComplete):
    """Complete words with colons, such as `crash:leader@`, which bash passes as several words."""

    source_template = BashComplete.source_template.replace(_ADD, f"{_ADD}; {_MORE_FOLLOWS}")
    _prefix = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the current one, and the current one."""
        current = int(os.environ["COMP_CWORD"])
        given = split_arg_string(os.environ["COMP_WORDS"])
        words: list[str] = []
        for word in [*given, ""][: current + 1]:
            if words and (word == ":" or words[-1].endswith(":")):
                words[-1] += word
            else:
                words.append(word)
        *before, last = words
        self._prefix = last[: last.rfind(":") + 1]
        return before[1:], last

    def format_completion(self, item: CompletionItem) -> str:
        """Return a value without what bash keeps of the current word."""
        return f"{item.type},{str(item.value).removeprefix(self._prefix)}"


@click.command(
    cls=Command,
    epilog=examples(
        "geobench completion bash >> ~/.bashrc",
        "geobench completion zsh >> ~/.zshrc",
        "geobench completion fish > ~/.config/fish/completions/geobench.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options and their values: ids of results, hosts, processes, stacks, protocols, faults.
    """
    found = get_completion_class(shell)
    assert found
    click.echo(found(cli, {}, "geobench", COMPLETE_VARIABLE).source())

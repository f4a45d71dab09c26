"""The lazy group: its listed commands and its imports."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from benchmark.cli.commands import COMMANDS, cli


def modules_after(*arguments: str) -> set[str]:
    """Return the modules that a call of the command line imports."""
    script = f"import sys; from benchmark.cli import main\ntry: main({arguments!r})\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_listed_help_matches_that_of_the_command(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=200) == COMMANDS[name][1]


def test_help_of_the_group_imports_no_command() -> None:
    loaded = modules_after("--help")
    assert {name for name in loaded if name.startswith("benchmark.cli.")} == {
        "benchmark.cli.commands", "benchmark.cli.messages",
    }  # fmt: skip
    assert not loaded & {"pydantic", "rich", "numpy", "fabric"}


@pytest.mark.parametrize("name", ["run", "compare", "search", "status"])
def test_help_of_a_command_imports_neither_fabric_nor_numpy(name: str) -> None:
    assert not modules_after(name, "--help") & {"numpy", "pyarrow", "fabric", "rich"}

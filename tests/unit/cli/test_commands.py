"""The lazy group: its listed commands and its imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from factories.command_line import call

from benchmark.cli.commands import COMMANDS, SECTIONS, cli


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


def helps() -> list[tuple[str, ...]]:
    return [(), *((name,) for name in COMMANDS), ("network", "measure")]


@pytest.mark.parametrize("words", helps(), ids=" ".join)
def test_help_fits_80_columns_and_has_no_ranges(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words, "--help") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "RANGE" not in text
    assert "x>=" not in text


def test_help_of_the_group_has_sections_with_a_line_for_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [title for title in SECTIONS if f"{title}:" in lines] == list(SECTIONS)
    for name, (_, text) in COMMANDS.items():
        assert [line for line in lines if line.split() == [name, *text.split()]], name


def test_help_of_a_command_has_sections_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    titles = [line for line in lines if line.endswith(":") and not line.startswith("   ")]
    assert titles == ["Testbed:", "Load:", "Each run:", "Options:", "  Examples:"]
    assert "    geobench run --resume latest" in lines


def test_former_name_of_an_option_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "--loads", "5", "--profile", "ramp") == 2
    assert "No such option '--profile'; it is called '--load-shape' now." in capsys.readouterr().err


def test_help_of_the_group_imports_no_command() -> None:
    loaded = modules_after("--help")
    assert {name for name in loaded if name.startswith("benchmark.cli.")} == {
        "benchmark.cli.commands", "benchmark.cli.messages",
    }  # fmt: skip
    assert not loaded & {"pydantic", "rich", "numpy", "fabric"}


@pytest.mark.parametrize("name", ["run", "compare", "search", "status"])
def test_help_of_a_command_imports_neither_fabric_nor_numpy(name: str) -> None:
    assert not modules_after(name, "--help") & {"numpy", "pyarrow", "fabric", "rich"}


def test_list_of_results_imports_neither_numpy_nor_settings(tmp_path: Path) -> None:
    loaded = modules_after("results", "--results-dir", str(tmp_path))
    assert "benchmark.results.catalogue" in loaded
    assert not loaded & {"numpy", "pyarrow", "fabric", "benchmark.settings", "benchmark.inventory"}

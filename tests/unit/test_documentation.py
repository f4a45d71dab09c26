"""What the documentation names exists: links, commands, options, modules that plugins may import."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest
from paths import ROOT

from benchmark.cli.commands import cli

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
WIDTH = 100

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing_links(page: Path) -> list[str]:
    found = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def commands(page: Path) -> list[list[str]]:
    """Return the words of every `geobench` command line, in code blocks and in code spans."""
    text = page.read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^geobench (.*)$", blocks, re.MULTILINE)
    lines += re.findall(r"^    geobench (.*)$", text, re.MULTILINE) + re.findall(r"`geobench ([^`]*)`", text)
    return [line.partition("  #")[0].split() for line in lines]


@pages
def test_links_lead_somewhere(page: Path) -> None:
    assert missing_links(page) == []


@pages
def test_lines_are_wrapped(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    long = [line for line in lines if len(line) > WIDTH and not line.startswith(("|", "    "))]
    assert [line for line in long if not line.lstrip().startswith("`")] == []


@pages
def test_commands_and_options_exist(page: Path) -> None:
    context = click.Context(cli)
    for name, *words in commands(page):
        command = cli.get_command(context, name)
        assert command, name
        while isinstance(command, click.Group) and words and words[0] in command.list_commands(context):
            command = command.get_command(context, words.pop(0))
            assert command
        known = {option for parameter in command.params for option in parameter.opts}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known | {"--help"}, (name, given - known)


def test_a_missing_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One title\n[a](#one-title) [b](page.md#other) [c](gone.md) [d](https://example.org)\n")
    assert missing_links(page) == ["page.md#other", "gone.md"]


def test_names_that_plugins_may_import_exist() -> None:
    text = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(benchmark\.[\w.]+)` \| (.*) \|$", text, re.MULTILINE)
    assert rows
    for module, names in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


@pages
def test_tests_that_pages_name_exist(page: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")))
    files = (ROOT / "tests").rglob("test_*.py")
    assert named <= {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}

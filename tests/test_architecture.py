"""The arrows that must not exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FABRIC = {"remote.py", "connection.py", "session.py", "tunnel.py"}
FOLDERS = (".", "assets", "benchmark", "benchmark/host_scripts", "benchmark/protocols", "stacks/cloud")
"""Where files lie that documents name by less than their path."""
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DATA_ONLY = ("protocols", "load.py", "measurements.py", "monitoring.py", "report")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def to(path: Path, *names: str) -> list[str]:
    return [found for found in imports(path) if any(found == name or found.startswith(f"{name}.") for name in names)]


@pytest.mark.parametrize("path", modules("benchmark"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_runner_knows_neither_stacks_nor_pulumi(path: Path) -> None:
    assert not to(path, "stacks", "pulumi", "pulumi_aws", "ediri_vultr")


@pytest.mark.parametrize("path", modules("stacks"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_testbed_takes_only_the_contracts_from_the_runner(path: Path) -> None:
    allowed = ("benchmark.settings", "benchmark.inventory", "benchmark.errors")
    assert not [found for found in to(path, "benchmark") if found != "benchmark" and not found.startswith(allowed)]


@pytest.mark.parametrize("path", modules("benchmark"), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_remote_modules_know_fabric(path: Path) -> None:
    assert path.name in FABRIC or not to(path, "fabric", "paramiko", "invoke")


@pytest.mark.parametrize("path", modules("benchmark"), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_prints(path: Path) -> None:
    if "cli" in path.parts or "host_scripts" in path.parts:
        return
    assert not to(path, "rich", "click")
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("path", modules("benchmark"), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_data_reaches_no_host(path: Path) -> None:
    if any(part in DATA_ONLY for part in path.relative_to(ROOT).parts):
        assert not to(path, "benchmark.remote.fleet", "benchmark.orchestrator.run")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_scripts_that_documents_name_are_there(path: Path) -> None:
    named = set(re.findall(r"`(?:python )?([\w/]+\.(?:py|sh))", path.read_text(encoding="utf-8")))
    assert {name for name in named if not any((ROOT / folder / name).exists() for folder in FOLDERS)} == set()


def test_every_script_for_hosts_is_on_the_map() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    scripts = [path for folder in ("assets", "benchmark", "stacks/cloud") for path in (ROOT / folder).rglob("*.sh")]
    assert scripts
    assert [path.name for path in scripts if f"`{path.name}`" not in text] == []


@pytest.mark.parametrize("path", [*modules("benchmark"), *modules("stacks")], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_is_a_drawer_for_everything(path: Path) -> None:
    assert path.stem not in ("utils", "helpers", "common", "misc")

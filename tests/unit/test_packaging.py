"""What pyproject.toml declares agrees with the requirements and with what the runner imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEPENDENCIES = {canonicalize_name(each.name): each for each in map(Requirement, PROJECT["dependencies"])}
OPTIONAL = {Requirement(text).name for texts in PROJECT["optional-dependencies"].values() for text in texts}


def pins() -> dict[str, str]:
    lines = [
        line
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
    ]
    found = [re.fullmatch(r"([\w.-]+)(?:\[\w+\])?==(\S+)", line) for line in lines]
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def imported_modules() -> Iterator[str]:
    for path in (ROOT / "benchmark").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


@pytest.mark.parametrize("name", DEPENDENCIES)
def test_dependency_allows_the_pinned_version_and_later_ones(name: str) -> None:
    (lower,) = [each.version for each in DEPENDENCIES[name].specifier if each.operator == ">="]
    assert lower == pins()[name]
    assert DEPENDENCIES[name].specifier.contains(pins()[name])


def with_dependencies(names: Iterable[str]) -> set[str]:
    """Return distributions and all that they depend on."""
    found: set[str] = set()
    left = set(names)
    while left:
        name = left.pop()
        found.add(name)
        needed = [Requirement(text) for text in requires(name) or ()]
        left |= {canonicalize_name(each.name) for each in needed if not each.marker or each.marker.evaluate()} - found
    return found


def test_everything_that_the_runner_imports_is_a_dependency() -> None:
    provided = packages_distributions()
    modules = set(imported_modules()) - sys.stdlib_module_names - {"benchmark", "load_generator"}
    imported = {canonicalize_name(provided[module][0]) for module in modules}
    assert imported <= with_dependencies(DEPENDENCIES) | OPTIONAL
    assert DEPENDENCIES.keys() <= imported

"""The scripts that are copied to hosts: found in the package, complete, and valid for the Python that hosts have."""

from __future__ import annotations

import ast
import io
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from benchmark.host_scripts import build_archive, read_script

FOLDER = Path(str(files("benchmark.host_scripts")))
MODULES = sorted((FOLDER / "load_generator").glob("*.py"))
INJECT = sorted((FOLDER / "inject").glob("*.py"))


def test_script_is_read_by_name() -> None:
    assert read_script("probe.sh").startswith("#!/usr/bin/env bash\n")


@pytest.mark.parametrize(("package", "modules"), [("load_generator", MODULES), ("inject", INJECT)])
def test_package_is_one_archive_of_all_its_modules(package: str, modules: list[Path]) -> None:
    with zipfile.ZipFile(io.BytesIO(build_archive(package))) as archive:
        assert archive.namelist() == ["__main__.py", *(f"{package}/{path.name}" for path in modules)]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_archives_of_equal_sources_are_equal() -> None:
    assert build_archive.__wrapped__("load_generator") == build_archive.__wrapped__("load_generator")  # type: ignore[attr-defined]
    with zipfile.ZipFile(io.BytesIO(build_archive("load_generator"))) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_load_generator_has_the_syntax_of_python_3_10(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


@pytest.mark.parametrize("path", [FOLDER / "share.py", *INJECT], ids=lambda path: path.name)
def test_scripts_for_all_hosts_have_the_syntax_of_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))

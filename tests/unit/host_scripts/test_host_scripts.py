"""The scripts that are copied to hosts: found in the package, complete, and valid for the Python that hosts have."""

from __future__ import annotations

import ast
import io
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from benchmark.host_scripts import build_load_generator, read_script

FOLDER = Path(str(files("benchmark.host_scripts")))
MODULES = sorted((FOLDER / "load_generator").glob("*.py"))


def test_script_is_read_by_name() -> None:
    assert read_script("probe.sh").startswith("#!/usr/bin/env bash\n")


def test_load_generator_is_one_archive_of_all_its_modules() -> None:
    with zipfile.ZipFile(io.BytesIO(build_load_generator())) as archive:
        assert archive.namelist() == ["__main__.py", *(f"load_generator/{path.name}" for path in MODULES)]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_archives_of_equal_sources_are_equal() -> None:
    assert build_load_generator.__wrapped__() == build_load_generator.__wrapped__()  # type: ignore[attr-defined]
    with zipfile.ZipFile(io.BytesIO(build_load_generator())) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_load_generator_has_the_syntax_of_python_3_10(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


@pytest.mark.parametrize("name", ["share.py", "inject.py"])
def test_scripts_for_all_hosts_have_the_syntax_of_python_3_8(name: str) -> None:
    ast.parse(read_script(name), feature_version=(3, 8))

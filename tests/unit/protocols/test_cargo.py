"""Durations and files have the format of Rust's serde."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from benchmark.protocols.cargo import RustDuration, cargo_build, to_yaml

DURATION: TypeAdapter[timedelta] = TypeAdapter(RustDuration)


@pytest.mark.parametrize(
    ("given", "seconds"), [({"secs": 2, "nanos": 500_000_000}, 2.5), ("250ms", 0.25), ("3m", 180), (0, 0)]
)
def test_durations_are_read_in_serde_format_and_with_units(given: object, seconds: float) -> None:
    assert DURATION.validate_python(given) == timedelta(seconds=seconds)


def test_durations_are_written_exactly() -> None:
    written = DURATION.dump_python(timedelta(days=2, microseconds=1_000_003), mode="json")
    assert written == {"secs": 172_801, "nanos": 3_000}
    assert DURATION.validate_python(written) == timedelta(days=2, microseconds=1_000_003)


@pytest.mark.parametrize("given", [{"secs": 1}, {"secs": 1, "nanos": 0.5}, {"secs": -1, "nanos": 0}, "soon", None])
def test_invalid_duration_is_an_error(given: object) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(given)


def test_files_keep_order_and_quote_ambiguous_text() -> None:
    assert to_yaml({"b": "0s", "a": "1:30"}) == "b: 0s\na: '1:30'\n"
    assert yaml.safe_load(to_yaml({"address": "198.18.0.2:18500"})) == {"address": "198.18.0.2:18500"}


CARGO = """#!/bin/sh
echo "$@" >>"$CARGO_TARGET_DIR/calls"
mkdir -p "$CARGO_TARGET_DIR/release"
for name in $PROGRAMS; do
    echo "$name" >"$CARGO_TARGET_DIR/release/$name"
    chmod 755 "$CARGO_TARGET_DIR/release/$name"
    echo >"$CARGO_TARGET_DIR/release/$name.d"
done
"""


def run_cargo(folder: Path, *binaries: str, programs: str) -> list[str]:
    """Run the script with a stand-in for cargo that makes `programs`; return what it left in target/release."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin/cargo").write_text(CARGO, encoding="utf-8")
    (folder / "bin/cargo").chmod(0o755)
    (folder / "cache/target").mkdir(parents=True, exist_ok=True)
    tree = folder / "tree"
    tree.mkdir(exist_ok=True)
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder), "BUILD_CACHE": f"{folder}/cache",
        "PROGRAMS": programs,
    }  # fmt: skip
    script = ["bash", "-e", "-o", "pipefail", "-c", cargo_build(*binaries)]
    subprocess.run(script, cwd=tree, env=environment, check=True, timeout=20)
    found = sorted(path.name for path in (tree / "target/release").iterdir())
    shutil.rmtree(tree / "target")
    return found


def calls(folder: Path) -> list[str]:
    return (folder / "cache/target/calls").read_text(encoding="utf-8").splitlines()


def test_programs_of_earlier_builds_in_the_cache_are_left_out(tmp_path: Path) -> None:
    assert run_cargo(tmp_path, programs="old kept") == ["kept", "old"]
    assert run_cargo(tmp_path, programs="kept new") == ["kept", "new"]


def test_only_requested_binaries_are_built(tmp_path: Path) -> None:
    run_cargo(tmp_path, "one", "two", programs="one two")
    assert calls(tmp_path) == ["build --release --bin one --bin two"]


def test_versions_of_the_lock_file_are_used_if_there_is_one(tmp_path: Path) -> None:
    run_cargo(tmp_path, programs="x")
    (tmp_path / "tree/Cargo.lock").touch()
    run_cargo(tmp_path, programs="x")
    assert calls(tmp_path) == ["build --release", "build --release --locked"]

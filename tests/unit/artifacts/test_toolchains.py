"""A build is completed by what its repository holds."""

from __future__ import annotations

import pytest

from benchmark.artifacts.toolchains import complete
from benchmark.errors import UsageError
from benchmark.protocols.process import Build
from benchmark.protocols.remora import Remora

WHERE = "0123abcd of https://git.example.org/a"


@pytest.mark.parametrize(
    ("files", "line", "package"),
    [
        (["Cargo.toml"], "cargo build --release $locked", "libssl-dev"),
        (["go.mod"], "go build -trimpath -o bin/ ./...", "golang-go"),
        (["Makefile"], "make", "build-essential"),
        (["GNUmakefile"], "make", "build-essential"),
        (["makefile"], "make", "build-essential"),
        (["Makefile", "go.mod", "Cargo.toml"], "cargo build --release $locked", "cmake"),
        (["Makefile", "go.mod"], "go build -trimpath -o bin/ ./...", "golang-go"),
    ],
)
def test_file_at_the_top_selects_command_and_packages(files: list[str], line: str, package: str) -> None:
    found = complete(Build(), files, WHERE)
    assert line in found.command.splitlines()
    assert found.packages is not None
    assert package in found.packages
    assert found.outputs == ()


def test_own_command_is_kept_and_needs_no_packages_unless_it_names_them() -> None:
    assert complete(Build(command="make x"), ["Cargo.toml"], WHERE) == Build((), "make x", ())
    assert complete(Build(("m4",), "make x", ("x",)), [], WHERE) == Build(("m4",), "make x", ("x",))


def test_own_packages_replace_those_of_the_default_command() -> None:
    found = complete(Build(packages=("cargo",)), ["Cargo.toml"], WHERE)
    assert found.packages == ("cargo",)
    assert complete(Build(packages=()), ["Cargo.toml"], WHERE).packages == ()


def test_cargo_builds_the_programs_that_are_needed_alone() -> None:
    assert Remora.build is not None
    found = complete(Remora.build, ["Cargo.toml"], WHERE)
    assert "cargo build --release $locked --bin remora --bin load_generator" in found.command.splitlines()
    assert found.packages == Remora.build.packages
    assert "--bin replica" in complete(Build(outputs=("target/release/replica",)), ["Cargo.toml"], WHERE).command


def test_repository_without_a_known_file_needs_a_command() -> None:
    with pytest.raises(
        UsageError, match=rf"^{WHERE} has no Cargo.toml, go.mod or Makefile at its top: set `build: {{command: "
    ):
        complete(Build(outputs=("x",)), [], WHERE)

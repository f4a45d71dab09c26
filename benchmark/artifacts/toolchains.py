"""Complete a build with the release build of the tool whose file the repository has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from benchmark.errors import UsageError
from benchmark.protocols.cargo import cargo_build
from benchmark.protocols.process import Build


@dataclass(frozen=True)
class Toolchain:
    """How repositories of one kind are built; `command` returns the script that builds programs of these names."""

    packages: tuple[str, ...]
    command: Callable[..., str]


# The programs of a module are its main packages; there is no other name for them than their folder's.
_GO_BUILD = """\
export PATH="/usr/local/go/bin:$PATH"
mkdir -p bin
go build -trimpath -o bin/ ./...
"""

_MAKE = Toolchain(("build-essential",), lambda *_: "make\n")

TOOLCHAINS: Mapping[str, Toolchain] = {
    "Cargo.toml": Toolchain(
        ("build-essential", "clang", "cmake", "curl", "libclang-dev", "libssl-dev", "pkg-config"), cargo_build
    ),
    "go.mod": Toolchain(("build-essential", "golang-go"), lambda *_: _GO_BUILD),
    "GNUmakefile": _MAKE,
    "makefile": _MAKE,
    "Makefile": _MAKE,
}
"""By the file at the top of the repository; the first that exists decides."""


def complete(build: Build, files: Collection[str], commit: str) -> Build:
    """Return `build` with command and packages, by default those for a repository that has `files` at its top.

    UsageError, which names `commit`, if it has no command and the repository none of the known files.
    """
    if build.command:
        return dataclasses.replace(build, packages=build.packages or ())
    found = next((tool for name, tool in TOOLCHAINS.items() if name in files), None)
    if found is None:
        raise UsageError(
            f"{commit} has no Cargo.toml, go.mod or Makefile at its top: "
            "set `build: {command: …, outputs: […]}` in the settings"
        )
    packages = found.packages if build.packages is None else build.packages
    programs = [PurePosixPath(output).name for output in build.outputs]
    return dataclasses.replace(build, command=found.command(*programs), packages=packages)

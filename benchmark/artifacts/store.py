"""Commands for artifacts.sh, which manages artifacts on each host, and its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shlex import join

from benchmark.host_scripts import read_script
from benchmark.remote.answers import reading

FOLDER = "artifacts"
"""Folder of the artifacts, relative to the working folder of a host."""


@dataclass(frozen=True)
class File:
    """One file of an artifact; `size` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class HostCache:
    """The artifacts cached on one host, by name."""

    architecture: str
    artifacts: frozenset[str] = frozenset()
    built: Mapping[str, str] = field(default_factory=dict)
    """Build key to the artifact that the build produced."""
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Build key to the tracked files that the build changed."""


def command(working_dir: str, verb: str, *arguments: str) -> str:
    """Return the command that runs `verb` of artifacts.sh; secrets are not arguments, it reads them from its input."""
    return join(["exec", "bash", "-c", read_script("artifacts.sh"), "artifacts", working_dir, verb, *arguments])


def parse_cache(text: str) -> HostCache:
    """Parse the output of `list`; builds whose artifact was removed are left out."""
    architecture = ""
    artifacts: set[str] = set()
    built: dict[str, str] = {}
    changed: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        kind, _, value = line.partition(" ")
        key, _, rest = value.partition(" ")
        if kind == "arch":
            architecture = value
        elif kind == "artifact":
            artifacts.add(value)
        elif kind == "built":
            built[key] = rest
        elif kind == "changed":
            changed[key] = (*changed.get(key, ()), rest)
    return HostCache(architecture, frozenset(artifacts), {k: v for k, v in built.items() if v in artifacts}, changed)


def index_entry(working_dir: str, key: str, name: str, changed: Sequence[str]) -> tuple[str, bytes]:
    """Return path and content of the file that maps a build key to the artifact that was built."""
    lines = [f"artifact {name}", *(f"changed {path}" for path in changed), ""]
    return f"{working_dir}/{FOLDER}/index/{key}", "\n".join(lines).encode()


def parse_files(text: str) -> dict[str, File]:
    """Parse the output of `describe`: name to file. InfrastructureError if it is something else."""
    found = {}
    with reading("the files of an artifact", text):
        for line in text.splitlines():
            _, sha256, size, name = line.split(" ", 3)
            found[name] = File(sha256, int(size))
    return found

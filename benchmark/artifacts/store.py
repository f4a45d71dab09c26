"""What hosts are asked about artifacts, in the words of artifacts.sh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shlex import join

from benchmark.host_scripts import read_script

FOLDER = "artifacts"
"""Folder of the artifacts within the working folder of a host."""


@dataclass(frozen=True)
class File:
    """One file of an artifact; `size` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Holdings:
    """What one host has: artifacts, and by key of what was built which one came out and which files that changed."""

    architecture: str
    artifacts: frozenset[str] = frozenset()
    built: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def command(working_dir: str, verb: str, *arguments: str) -> str:
    """The command that does `verb` on a host; secrets are no arguments, they go to its standard input."""
    return join(["exec", "bash", "-c", read_script("artifacts.sh"), "artifacts", working_dir, verb, *arguments])


def parse_holdings(text: str) -> Holdings:
    """Read what `list` printed."""
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
    return Holdings(architecture, frozenset(artifacts), {k: v for k, v in built.items() if v in artifacts}, changed)


def note(working_dir: str, key: str, name: str, changed: Sequence[str]) -> tuple[str, bytes]:
    """The file that says which artifact was built from what `key` stands for: its path, and its content."""
    lines = [f"artifact {name}", *(f"changed {path}" for path in changed), ""]
    return f"{working_dir}/{FOLDER}/index/{key}", "\n".join(lines).encode()


def parse_files(text: str) -> dict[str, File]:
    """Read what `describe` printed: name to file."""
    found = {}
    for line in text.splitlines():
        _, sha256, size, name = line.split(" ", 3)
        found[name] = File(sha256, int(size))
    return found

"""What a system is built from: a repository at a commit, or binaries supplied by the user."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.protocols.base import Protocol
from benchmark.settings import Repository, expand, redact

UNKNOWN = "unknown"
"""The commit of binaries of which nobody said what they were built from."""


@dataclass(frozen=True)
class Binaries:
    """Binaries that the user brings: the files of a folder, and the commit they are said to be of."""

    folder: Path
    commit: str = UNKNOWN


def describe(source: Repository | Binaries | None) -> str | None:
    """Name a source without its secrets, as it was asked for."""
    if source is None:
        return None
    return f"{redact(source.url) if isinstance(source, Repository) else source.folder} at {source.commit}"


def find_source(
    protocol: type[Protocol],
    settled: Repository | None,
    *,
    url: str | None = None,
    commit: str | None = None,
    binaries: Path | None = None,
) -> Repository | Binaries | None:
    """Settle what is installed: options win over the settings' repository, that over the protocol's own.

    None for a system from packages. Raises UsageError for options that do not go together, or if nothing says where
    the source is.
    """
    if binaries is not None:
        if url is not None:
            raise UsageError("--binaries and --repository both say what is installed; give one of them")
        return Binaries(binaries, commit or UNKNOWN)
    build = protocol.build
    if build is None:
        if url or commit:
            raise UsageError(
                f"{protocol.name} is installed from packages; --repository and --commit are for what is built"
            )
        return None
    if not build.command:
        names = ", ".join(output.rpartition("/")[2] for output in build.outputs)
        raise UsageError(f"{protocol.name} is not built by the runner; build it and bring {names} with --binaries DIR")
    base = settled or (Repository(url=build.repository) if build.repository else None)
    if base is None and url is None:
        raise UsageError(
            f"no repository configured for {protocol.name}: set `repository: {{url: …, commit: …}}` "
            "in the settings, or give --repository URL or --binaries DIR"
        )
    found = Repository(url=expand(url, "--repository")) if url else base
    assert found is not None
    return found.model_copy(update={"commit": commit}) if commit else found

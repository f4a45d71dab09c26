"""Decide the source of a system: a repository at a commit, or binaries supplied by the user."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.protocols.base import Protocol
from benchmark.protocols.process import Build
from benchmark.protocols.registry import protocol_names
from benchmark.settings import BuildSettings, Repository, expand, has_literal_secret, redact

UNKNOWN = "unknown"
"""Commit of binaries supplied without one."""


@dataclass(frozen=True)
class Binaries:
    """A folder of binaries supplied by the user, and the commit from which the user says they were built."""

    folder: Path
    commit: str = UNKNOWN


def describe(source: Repository | Binaries | None) -> str | None:
    """Describe a source as requested, without credentials."""
    if source is None:
        return None
    return f"{redact(source.url) if isinstance(source, Repository) else source.folder} at {source.commit}"


def find_build(protocol: type[Protocol], settled: BuildSettings | None) -> Build | None:
    """Return how a system is built: the settings override the protocol. None if it is installed from packages."""
    if settled is None:
        return protocol.build
    return dataclasses.replace(protocol.build or Build(), **settled.model_dump(exclude_none=True))


def find_source(
    protocol: type[Protocol],
    build: Build | None,
    settled: Repository | None,
    *,
    url: str | None = None,
    commit: str | None = None,
    binaries: Path | None = None,
) -> Repository | Binaries | None:
    """Return what to install: options override the repository of the settings, which overrides that of the protocol.

    None for a system that is installed from packages. UsageError for conflicting options or if no source is configured.
    """
    if binaries is not None:
        if url is not None:
            raise UsageError("--binaries and --repository conflict: pass one of them")
        return Binaries(binaries, UNKNOWN if commit is None else commit)
    if build is None:
        require_repository_used(protocol.name, build, settled)
        if url is not None or commit is not None:
            raise UsageError(
                f"{protocol.name} is installed from packages and not built: omit --repository and --commit, or set "
                "`build: {}` in the settings to build it"
            )
        return None
    base = settled or (Repository(url=build.repository) if build.repository else None)
    if base is None and url is None:
        raise UsageError(
            f"no repository configured for {protocol.name}: set `repository: {{url: …, commit: …}}` "
            "in the settings, or pass --repository URL or --binaries DIR"
        )
    if url and has_literal_secret(url):
        raise UsageError(
            "--repository: its login would be stored with the results and shown to other users of this machine; "
            "export it as a variable and write '${NAME}' in its place, in single quotes"
        )
    found = base if url is None else Repository(url=expand(url, "--repository"))
    assert found is not None
    return found if commit is None else found.model_copy(update={"commit": commit})


def require_repository_used(protocol: str, build: Build | None, repository: Repository | None) -> None:
    """Raise UsageError if the settings have a repository, but the system is installed from packages."""
    if build is not None or repository is None:
        return
    name = repository.url.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".git")
    near = [each for each in difflib.get_close_matches(name, protocol_names(), n=1) if each != protocol]
    hint = f"did you mean `protocol: {near[0]}`? Else" if near else "set `protocol` to what it contains,"
    raise UsageError(
        f"`repository` in the settings is not used: {protocol} is installed from packages; {hint} remove `repository`, "
        f"or set `build: {{}}` to build {protocol} from it"
    )

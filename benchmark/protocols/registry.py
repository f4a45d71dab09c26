"""Find protocols by name: built-in, in installed packages, or in a file."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.protocols.base import Protocol

ENTRY_POINTS = "geobench.protocols"
"""Entry point group under which installed packages declare protocols."""
_BUILT_IN = tuple(
    EntryPoint(name, value, ENTRY_POINTS)
    for name, value in {
        "etcd": "benchmark.protocols.etcd:Etcd",
        "mysticeti": "benchmark.protocols.mysticeti:Mysticeti",
        "remora": "benchmark.protocols.remora:Remora",
    }.items()
)


def protocol_names() -> list[str]:
    """Return the sorted names of built-in protocols and those of installed packages, without importing any."""
    return sorted(_declared())


def find_protocol(name: str) -> type[Protocol]:
    """Import the protocol called `name`, or read the file `name` if it ends in .yaml or .yml.

    UsageError if the protocol is unknown, its package is broken or the file is invalid.
    """
    if name.endswith((".yaml", ".yml")):
        from benchmark.protocols.declared.protocol import read_protocol

        return read_protocol(Path(name))
    declared = _declared()
    if name not in declared:
        raise UsageError(f"no protocol named {name!r}; known are: {', '.join(sorted(declared))}, or a file FILE.yaml")
    entry = declared[name]
    try:
        found = entry.load()
    except (Exception, SystemExit) as error:  # a plugin can fail in any way
        raise _broken(entry, f"{type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Protocol)):
        raise _broken(entry, f"found {found!r}, expected a subclass of benchmark.protocols.base.Protocol")
    missing = [each for each in ("name", "summary") if not hasattr(found, each)] + sorted(found.__abstractmethods__)
    if missing:
        raise _broken(entry, f"{found.__name__} does not define {', '.join(missing)}")
    return found


def _declared() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in (*_BUILT_IN, *entry_points(group=ENTRY_POINTS))}


def _broken(entry: EntryPoint, cause: str) -> UsageError:
    package = entry.dist.name if entry.dist else "geobench"
    return UsageError(
        f"package {package}, entry point {entry.name} = {entry.value}: {cause}; repair or uninstall the package"
    )

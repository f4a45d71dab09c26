"""Find protocols by name: built in, from installed packages, or from a file."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.protocols.base import Protocol

ENTRY_POINTS = "geobench.protocols"
"""Installed packages add protocols under this entry point group."""


def known_protocols() -> dict[str, type[Protocol]]:
    """Every protocol by name: those that come with the runner and those of installed packages."""
    from benchmark.protocols.etcd import Etcd
    from benchmark.protocols.mysticeti import Mysticeti
    from benchmark.protocols.remora import Remora

    found: dict[str, type[Protocol]] = {protocol.name: protocol for protocol in (Etcd, Mysticeti, Remora)}
    return found | {entry.name: _load(entry) for entry in entry_points(group=ENTRY_POINTS)}


def find_protocol(name: str) -> type[Protocol]:
    """Return the protocol called `name`, or described by the file of that name if it ends in .yaml.

    UsageError names the known ones, or says what is wrong with the file.
    """
    if name.endswith((".yaml", ".yml")):
        from benchmark.protocols.declared.protocol import read_protocol

        return read_protocol(Path(name))
    known = known_protocols()
    if name not in known:
        raise UsageError(f"no protocol named {name!r}; known are: {', '.join(sorted(known))}, or a file FILE.yaml")
    return known[name]


def _load(entry: EntryPoint) -> type[Protocol]:
    """Load what an installed package offers; UsageError if it is no protocol."""
    source = f"{entry.dist.name if entry.dist else 'an installed package'}, entry point {entry.name} = {entry.value}"
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{source}: {error}; repair or uninstall that package") from None
    if not (isinstance(found, type) and issubclass(found, Protocol)):
        raise UsageError(f"{source}: found {found!r}, expected a subclass of benchmark.protocols.Protocol")
    return found

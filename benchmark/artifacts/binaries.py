"""Binaries that the user brings, as an artifact."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UsageError


def find_binaries(folder: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """Return the files of `folder` to bring, by name: the `wanted` ones, or if none are, all that can be executed.

    Raises UsageError that says what is missing and what is there.
    """
    if not folder.is_dir():
        raise UsageError(f"--binaries: {folder} is no folder; name the one that has the binaries")
    present = {path.name: path for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK)}
    missing = [name for name in wanted if name not in present]
    if missing or not present:
        there = ", ".join(sorted(present)[:8]) or "none"
        lacking = ", ".join(missing) or "at all"
        raise UsageError(f"--binaries: {folder} has no executable file {lacking}; executable files there: {there}")
    return {name: present[name] for name in sorted(wanted or present, key=os.fsencode)}


def name_of(files: dict[str, Path]) -> str:
    """Name an artifact by its content: the SHA-256 of the lines that `sha256sum *` prints in its folder."""
    lines = []
    for name in sorted(files, key=os.fsencode):
        with files[name].open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pack(files: dict[str, Path]) -> bytes:
    """Return the files as a compressed tar archive, quickly rather than small."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for name, path in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = path.stat().st_size, 0o555
            with path.open("rb") as file:
                tar.addfile(entry, file)
    return packed.getvalue()

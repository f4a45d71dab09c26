"""Pack binaries supplied by the user as an artifact."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.protocols.process import Process


def find_binaries(folder: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """Return the files of `folder` to upload, by name: the `wanted` ones, or all executable files if none are given.

    Raises UsageError that lists missing files and those available.
    """
    if not folder.is_dir():
        raise UsageError(f"--binaries: {folder} is not a folder; name the one with the binaries")
    present = {path.name: path for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK)}
    missing = [name for name in wanted if name not in present]
    if missing or not present:
        available = ", ".join(sorted(present)[:8]) or "none"
        files = f"file {', '.join(missing)}" if missing else "files"
        raise UsageError(f"--binaries: {folder} has no executable {files}; available: {available}")
    return {name: present[name] for name in sorted(wanted or present, key=os.fsencode)}


def require_used(folder: Path, processes: Sequence[Process]) -> None:
    """Raise UsageError if no process mentions any of the supplied binaries: something else would be measured."""
    names = find_binaries(folder, ())
    texts = [
        text
        for process in processes
        for text in (*process.argv, *process.prepare, *process.files.values())
        if isinstance(text, str)
    ]
    if not {word for text in texts for word in re.split(r"[^\w.-]+", text)} & set(names):
        programs = ", ".join(sorted({process.argv[0] for process in processes if process.job == "node"}))
        raise UsageError(
            f"--binaries: no node runs any of {', '.join(sorted(names)[:8])}, they run {programs}; "
            "check --protocol and the folder"
        )


def artifact_name(files: dict[str, Path]) -> str:
    """Return the name of an artifact: the SHA-256 of the lines that `sha256sum *` prints in its folder."""
    lines = []
    for name in sorted(files, key=os.fsencode):
        with files[name].open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pack(files: dict[str, Path]) -> bytes:
    """Return the files as a tar archive, compressed for speed rather than size."""
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

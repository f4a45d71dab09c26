"""Files for hosts and from hosts as tar streams: one command each way, whatever the number of files."""

from __future__ import annotations

import shlex
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

_PIECE = 1 << 20


class File(NamedTuple):
    """A file to write: its content, and its permission bits."""

    content: bytes
    mode: int = 0o644


def pack(files: Mapping[str, bytes | File]) -> Iterator[bytes]:
    """Yield a tar stream of `files` (path -> content) in pieces, so that no copy of large content is made."""
    for path, given in files.items():
        file = given if isinstance(given, File) else File(given)
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(file.content), file.mode
        yield entry.tobuf(tarfile.PAX_FORMAT)
        view = memoryview(file.content)
        for start in range(0, len(view), _PIECE):
            yield view[start : start + _PIECE].tobytes()
        yield bytes(-len(view) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def unpack_command() -> str:
    """Return the command that writes the files of `pack` from its standard input."""
    return "tar --extract --absolute-names --preserve-permissions --touch --no-same-owner --file=-"


def pack_command(paths: Sequence[str]) -> str:
    """Return the command that writes `paths` as a compressed tar stream, each under its last name.

    It ends with 2 if a path is missing (the others are in the stream); a file that grows meanwhile is no error.
    """
    wanted = [PurePosixPath(path) for path in paths]
    # -C is relative to the one before it, so a relative path starts at the home again.
    names = " ".join(
        f"-C {shlex.quote(str(path.parent)) if path.is_absolute() else _home(path)} {shlex.quote('./' + path.name)}"
        for path in wanted
    )
    return f"tar --create --gzip --dereference --file=- {names}; code=$?; test $code -eq 1 || exit $code"


def unpack(archive: BinaryIO, folder: Path, limit: int) -> str | None:
    """Extract the regular files of a compressed tar stream into `folder`; return why not all of it, None if all."""
    archive.seek(0)
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    try:
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            for entry in tar:
                total += entry.size
                if total > limit:
                    return f"more than {limit >> 20} MiB unpacked; {entry.name} and what follows was left out"
                _extract(tar, entry, folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        return f"what tar sent cannot be unpacked: {error}"
    return None


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    """Write one regular file below `folder`; a host must not be able to write anywhere else."""
    name = PurePosixPath(entry.name)
    if name.is_absolute() or ".." in name.parts:
        raise tarfile.ReadError(f"{entry.name} lies outside of the archive")
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is not None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
        target.chmod(entry.mode & 0o777 | 0o600)


def _home(path: PurePosixPath) -> str:
    """The parent of a path relative to the home, for a shell."""
    return f'"$HOME"/{shlex.quote(str(path.parent))}'

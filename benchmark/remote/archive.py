"""Pack files for hosts, and unpack files from hosts, as tar streams: one remote command for any number of files."""

from __future__ import annotations

import shlex
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

_CHUNK = 1 << 20


class File(NamedTuple):
    """A file to write: its content and its permission bits."""

    content: bytes
    mode: int = 0o644


def pack(files: Mapping[str, bytes | File]) -> Iterator[bytes]:
    """Yield a tar stream of `files` (path -> content) in chunks, so that large content is never copied as a whole."""
    for path, given in files.items():
        file = given if isinstance(given, File) else File(given)
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(file.content), file.mode
        yield entry.tobuf(tarfile.PAX_FORMAT)
        view = memoryview(file.content)
        for start in range(0, len(view), _CHUNK):
            yield view[start : start + _CHUNK].tobytes()
        yield bytes(-len(view) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def unpack_command() -> str:
    """Return the command that writes the files of a `pack` stream on its standard input."""
    return "tar --extract --absolute-names --preserve-permissions --touch --no-same-owner --file=-"


def pack_command(paths: Sequence[str]) -> str:
    """Return the command that writes `paths` as a compressed tar stream, each under its base name.

    It exits with 2 if a path is missing (the others are in the stream); a file that grows meanwhile is not an error.
    """
    entries = []
    for path in map(PurePosixPath, paths):
        # tar resolves each -C against the one before, so a relative path starts from $HOME explicitly.
        home = "" if path.is_absolute() else '"$HOME"/'
        entries.append(f"-C {home}{shlex.quote(str(path.parent))} {shlex.quote('./' + path.name)}")
    return f"tar --create --gzip --dereference --file=- {' '.join(entries)}; code=$?; test $code -eq 1 || exit $code"


def unpack(archive: BinaryIO, folder: Path, limit: int) -> str | None:
    """Extract the regular files of a compressed tar stream into `folder`; return what went wrong, None if nothing.

    At most `limit` bytes (uncompressed) are written, and nothing outside `folder`: the archive comes from a host.
    """
    archive.seek(0)
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    try:
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            for entry in tar:
                total += entry.size
                if total > limit:
                    return f"more than {limit >> 20} MiB unpacked; {entry.name} and all later files are missing"
                name = PurePosixPath(entry.name)
                if name.is_absolute() or ".." in name.parts:
                    raise tarfile.ReadError(f"{entry.name} is outside the archive")
                content = tar.extractfile(entry) if entry.isreg() else None
                if content is not None:
                    target = folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:
                        shutil.copyfileobj(content, file)
                    target.chmod(entry.mode & 0o777 | 0o600)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        return f"cannot unpack the archive: {error}"
    return None

"""Pack files for hosts, and unpack files from hosts, as tar streams: one remote command for any number of files."""

from __future__ import annotations

import gzip
import shlex
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

_CHUNK = 1 << 20
_MOST_FILES = 10_000
_DAMAGED = (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, LookupError, ArithmeticError, RecursionError)
"""What a damaged archive raises; OSError also if this machine's disk is full."""


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


class _Inflated:
    """A compressed tar stream for tarfile, read forwards only and in small pieces.

    Archives come from hosts: tarfile would read headers of any size at once, and follow negative offsets for ever.
    """

    def __init__(self, archive: BinaryIO) -> None:
        self._file = gzip.GzipFile(fileobj=archive)
        self._at = self._wanted = 0
        self._last = b""
        self.header = b""
        """The last block that tarfile read as a header."""

    def tell(self) -> int:
        return self._wanted

    def seek(self, position: int) -> None:
        self._wanted = position

    def read(self, size: int) -> bytes:
        if size > _CHUNK:
            raise tarfile.ReadError(f"a header has {size} bytes")
        if size == 1 and self._wanted == self._at - 1:  # tarfile checks so that a member is complete
            self._wanted = self._at
            return self._last
        if self._wanted < self._at:
            raise tarfile.ReadError("an offset is negative")
        while self._at < self._wanted and (skipped := self._file.read(min(_CHUNK, self._wanted - self._at))):
            self._at += len(skipped)
            self._last = skipped[-1:]
        data = self._file.read(size)
        self._at += len(data)
        self._wanted = self._at
        self._last = data[-1:] or self._last
        if size == tarfile.BLOCKSIZE:
            self.header = data
        return data


def unpack(archive: BinaryIO, folder: Path, limit: int) -> str | None:
    """Extract the regular files of a compressed tar stream into `folder`; return what went wrong, None if nothing.

    At most `limit` bytes (uncompressed) in 10,000 files are written, and nothing outside `folder`: the archive comes
    from a host.
    """
    archive.seek(0)
    folder.mkdir(parents=True, exist_ok=True)
    total = count = 0
    stream = _Inflated(archive)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]
            while (entry := tar.next()) is not None:
                if entry.size < 0:
                    raise tarfile.ReadError(f"{entry.name[:200]} has {entry.size} bytes")
                total, count = total + entry.size, count + 1
                if total > limit or count > _MOST_FILES:
                    most = f"{limit >> 20} MiB" if total > limit else f"{_MOST_FILES} files"
                    return f"more than {most} unpacked; {entry.name[:200]} and all later files are missing"
                name = PurePosixPath(entry.name)
                if name.is_absolute() or ".." in name.parts:
                    raise tarfile.ReadError(f"{entry.name[:200]} is outside the archive")
                content = tar.extractfile(entry) if entry.isreg() else None
                if content is not None:
                    target = folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:
                        shutil.copyfileobj(content, file)
                    target.chmod(entry.mode & 0o777 | 0o600)
            # To tarfile, a damaged header after the first is the end.
            if stream.header != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError(f"the header after {count} files is damaged or missing")
    except _DAMAGED as error:
        return f"cannot unpack the archive: {error}"
    return None

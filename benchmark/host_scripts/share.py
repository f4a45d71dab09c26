#!/usr/bin/env python3
"""Copy one artifact from host to host; each host forwards what it has received so far.

usage: share.py ARTIFACTS NAME (Python >= 3.8, standard library only)

It reads requests from standard input and replies on standard output, one JSON document per line:

    {"token": HEX}    start the server, which requires this token; reply {"port": PORT}, and where the artifact exists
                      also {"files": [[name, size, sha256, extents], ...]}
    {"files": FILES, "sources": [[ADDRESS, PORT], ...]}    download the artifact from the first source that works, the
                      last of which has all of it; reply {"done": SECONDS} or {"failed": REASON}

It ends when its input ends. The data of all files is sent as one stream, without the holes of sparse files: `extents`
are the parts with data, as [offset, length]. The folder NAME appears once every file has its SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

CHUNK = 1 << 20
MIN_HOLE = 1 << 20
TIMEOUT_S = 30.0


class File(NamedTuple):
    """A file of the artifact; `extents` are the parts with data, as [offset, length]."""

    name: str
    size: int
    sha256: str
    extents: list[list[int]]


class Content:
    """The files of the artifact as one stream of bytes, of which the first `available` have arrived."""

    def __init__(self, folder: Path, files: list[File], *, writable: bool = False) -> None:
        self.available = 0
        self.changed = threading.Condition()
        self.dropped = False
        self.pieces: list[tuple[int, int, int, int]] = []
        """Position in the stream, file, offset in the file, length."""
        self.opened: list[int] = []
        position = 0
        for name, size, _, extents in files:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL if writable else os.O_RDONLY
            self.opened.append(os.open(folder / name, flags, 0o755))
            if writable:
                os.ftruncate(self.opened[-1], size)
            for offset, length in extents:
                self.pieces.append((position, self.opened[-1], offset, length))
                position += length
        self.size = position
        if not writable:
            self.available = position

    def place(self, position: int) -> tuple[int, int, int]:
        """Return file descriptor and offset of a position of the stream, and how many bytes follow there."""
        for start, descriptor, offset, length in self.pieces:
            if start <= position < start + length:
                return descriptor, offset + position - start, start + length - position
        raise ValueError(position)

    def advance(self, count: int) -> None:
        """Make `count` more bytes available."""
        with self.changed:
            self.available += count
            self.changed.notify_all()

    def wait_beyond(self, position: int) -> int:
        """Wait until more than `position` bytes are available; return how many are."""
        with self.changed:
            self.changed.wait_for(lambda: self.available > position or self.dropped)
            if self.dropped:
                raise ConnectionError("the received content is corrupt")
            return self.available

    def drop(self) -> None:
        """Stop sending this content, which turned out to be corrupt."""
        with self.changed:
            self.dropped = True
            self.changed.notify_all()


class Share:
    """The server of one host; `content` is None until there is something to send."""

    def __init__(self, token: str) -> None:
        self.token = bytes.fromhex(token)
        self.content: Content | None = None
        self.arrived = threading.Condition()
        try:
            self.listener = socket.create_server(("", 0), family=socket.AF_INET6, backlog=64, dualstack_ipv6=True)
        except (OSError, ValueError):
            self.listener = socket.create_server(("", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def offer(self, content: Content) -> None:
        """Send `content` from now on, also to clients that are waiting."""
        with self.arrived:
            self.content = content
            self.arrived.notify_all()

    def accept(self) -> None:
        """Serve each connection in a new thread, forever."""
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        """Send the content from the requested position to a client that knows the token."""
        with connection:
            try:
                connection.settimeout(TIMEOUT_S)
                greeting = receive(connection, len(self.token) + 8)
                if not hmac.compare_digest(greeting[:-8], self.token):
                    return
                with self.arrived:
                    self.arrived.wait_for(lambda: self.content is not None, TIMEOUT_S)
                if self.content is not None:
                    # sendfile needs a blocking socket; the kernel's timeout applies if the client stops reading.
                    connection.settimeout(None)
                    timeout = struct.pack("ll", int(TIMEOUT_S), 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
                    self.send(connection, self.content, struct.unpack(">Q", greeting[-8:])[0])
            except (OSError, ValueError):
                pass  # the client tries its next source

    def send(self, connection: socket.socket, content: Content, position: int) -> None:
        """Send the content from `position` to its end, as it becomes available."""
        while position < content.size:
            ready = content.wait_beyond(position) - position
            descriptor, offset, length = content.place(position)
            position += os.sendfile(connection.fileno(), descriptor, offset, min(ready, length, CHUNK))


def receive(connection: socket.socket, count: int) -> bytes:
    """Return exactly `count` bytes; ConnectionError if the connection ends first."""
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionError("connection closed early")
        data += chunk
    return data


def describe(folder: Path) -> list[File]:
    """Return all files of a folder, ordered by the bytes of their names."""
    paths = sorted(folder.iterdir(), key=os.fsencode)
    return [File(path.name, path.stat().st_size, digest(path), extents(path)) for path in paths]


def extents(path: Path) -> list[list[int]]:
    """Return the parts of a file with data; holes below 1 MiB count as data."""
    found: list[list[int]] = []
    with path.open("rb") as file:
        size, position = os.fstat(file.fileno()).st_size, 0
        while position < size:
            try:
                begin = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:  # the rest is a hole
                break
            position = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            if found and begin - sum(found[-1]) < MIN_HOLE:
                found[-1][1] = position - found[-1][0]
            else:
                found.append([begin, position - begin])
    return found


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                return found.hexdigest()
            found.update(chunk)


def download(content: Content, source: tuple[str, int], token: str) -> None:
    """Download the rest of `content` from one source."""
    buffer = memoryview(bytearray(CHUNK))
    with socket.create_connection(source, timeout=TIMEOUT_S) as connection:
        connection.sendall(bytes.fromhex(token) + struct.pack(">Q", content.available))
        while content.available < content.size:
            descriptor, offset, length = content.place(content.available)
            count = connection.recv_into(buffer[: min(length, CHUNK)])
            if count == 0:
                raise ConnectionError("connection closed early")
            written = 0
            while written < count:
                written += os.pwrite(descriptor, buffer[written:count], offset + written)
            content.advance(count)


def fetch(folder: Path, files: list[File], sources: list[tuple[str, int]], token: str, share: Share) -> None:
    """Fill `folder`, trying the sources in order; OSError if all of them fail, ValueError if a digest is wrong."""
    content = Content(folder, files, writable=True)
    share.offer(content)
    try:
        for source in [*sources, sources[-1]]:
            try:
                download(content, source, token)
                break
            except OSError as error:
                failure = f"{source[0]} port {source[1]}: {error}"
        else:
            raise OSError(failure)
        for file, descriptor in zip(files, content.opened):  # noqa: B905 - Python 3.8 has no strict
            if digest(folder / file.name) != file.sha256:
                raise ValueError(f"{file.name}: its SHA-256 is not {file.sha256}")
            os.fchmod(descriptor, 0o555)
            os.fsync(descriptor)
    except (OSError, ValueError):
        content.drop()
        raise


def install(
    artifacts: Path, name: str, files: list[File], sources: list[tuple[str, int]], token: str, share: Share
) -> str | None:
    """Download the artifact; return why that failed. If a forwarded copy is corrupt, try the complete one again."""
    temporary = artifacts / f".share.{name}"
    for candidates in (sources, sources[-1:]):
        try:
            temporary.mkdir()
            fetch(temporary, files, candidates, token, share)
            temporary.rename(artifacts / name)
            return None
        except (OSError, ValueError) as error:
            failure = str(error)
            shutil.rmtree(temporary, ignore_errors=True)
    return failure


def clear(artifacts: Path) -> None:
    """Remove leftovers of interrupted transfers."""
    for entry in artifacts.glob(".share.*"):
        shutil.rmtree(entry, ignore_errors=True)


def reply(**document: Any) -> None:
    """Print one reply."""
    print(json.dumps(document), flush=True)


def main() -> None:
    """Serve the artifact and handle requests until standard input ends."""
    artifacts, name = Path(sys.argv[1]), sys.argv[2]
    clear(artifacts)
    token = json.loads(sys.stdin.readline())["token"]
    share = Share(token)
    folder = artifacts / name
    if folder.is_dir():
        files = describe(folder)
        share.offer(Content(folder, files))
        reply(port=share.port, files=files)
    else:
        reply(port=share.port)
    for line in sys.stdin:
        # In another thread, so that this one notices the end of the input, which cancels the download.
        threading.Thread(target=handle, args=(artifacts, name, json.loads(line), token, share), daemon=True).start()
    clear(artifacts)
    os._exit(0)


def handle(artifacts: Path, name: str, request: dict[str, Any], token: str, share: Share) -> None:
    """Carry out a request to download, and reply."""
    began = time.monotonic()
    files = [File(*fields) for fields in request["files"]]
    failure = install(artifacts, name, files, [tuple(source) for source in request["sources"]], token, share)
    if failure is None:
        reply(done=round(time.monotonic() - began, 6))
    else:
        reply(failed=failure)


if __name__ == "__main__":
    main()

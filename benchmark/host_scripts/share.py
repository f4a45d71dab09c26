#!/usr/bin/env python3
"""Hands one artifact from host to host: every host passes on what it has received so far. Python 3.8, no packages.

usage: share.py ARTIFACTS NAME. It is told what to do on standard input and answers on standard output, JSON lines:

    {"token": HEX}                             the others of this transfer know it; answered with {"port": PORT} and,
                                               where the artifact is there, {"files": [[name, size, sha256, extents]]}
    {"files": FILES, "sources": [[ADDRESS, PORT], ...]}   get it, from the first source that has it, the last being
                                               one that has all; answered with {"done": SECONDS} or {"failed": REASON}

It ends when its input does. What travels is the data of all files, one after the other, without the holes of sparse
files (`extents` are the others, as [offset, length]). The folder NAME appears when every file has its SHA-256.
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
from typing import Any

PIECE = 1 << 20
LEAST_HOLE = 1 << 20
PATIENCE_S = 30.0


class Content:
    """The files of the artifact as one stream of bytes, of which the first `available` are there."""

    def __init__(self, folder: Path, files: list[Any], *, writable: bool = False) -> None:
        self.files = files
        self.available = 0
        self.changed = threading.Condition()
        self.gone = False
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
        """Where a position of the stream lies: file, offset, and how many bytes follow there."""
        for start, descriptor, offset, length in self.pieces:
            if start <= position < start + length:
                return descriptor, offset + position - start, start + length - position
        raise ValueError(position)

    def advance(self, count: int) -> None:
        with self.changed:
            self.available += count
            self.changed.notify_all()

    def wait_beyond(self, position: int) -> int:
        """Wait until more than `position` bytes are there; return how many."""
        with self.changed:
            self.changed.wait_for(lambda: self.available > position or self.gone)
            if self.gone:
                raise ConnectionError("what was received is not what was sent")
            return self.available

    def drop(self) -> None:
        """Let go of content that turned out to be wrong, and of everyone who is being given it."""
        with self.changed:
            self.gone = True
            self.changed.notify_all()


class Share:
    """The server of one host; `content` is None until there is something to give."""

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
        with self.arrived:
            self.content = content
            self.arrived.notify_all()

    def accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(PATIENCE_S)
                greeting = receive(connection, len(self.token) + 8)
                if not hmac.compare_digest(greeting[:-8], self.token):
                    return
                with self.arrived:
                    self.arrived.wait_for(lambda: self.content is not None, PATIENCE_S)
                if self.content is not None:
                    # sendfile wants a blocking socket; the kernel ends it where the other side takes nothing.
                    connection.settimeout(None)
                    patience = struct.pack("ll", int(PATIENCE_S), 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
                    self.give(connection, self.content, struct.unpack(">Q", greeting[-8:])[0])
            except (OSError, ValueError):
                pass  # the other side asks somebody else

    def give(self, connection: socket.socket, content: Content, position: int) -> None:
        while position < content.size:
            ready = content.wait_beyond(position) - position
            descriptor, offset, length = content.place(position)
            position += os.sendfile(connection.fileno(), descriptor, offset, min(ready, length, PIECE))


def receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed in the middle")
        data += piece
    return data


def describe(folder: Path) -> list[Any]:
    """Name, size, SHA-256 and extents of every file, in the order of the names' bytes."""
    found: list[Any] = []
    for path in sorted(folder.iterdir(), key=os.fsencode):
        found.append([path.name, path.stat().st_size, digest(path), extents(path)])
    return found


def extents(path: Path) -> list[list[int]]:
    """The parts of a file that hold data; holes below 1 MiB count as data."""
    found: list[list[int]] = []
    with path.open("rb") as file:
        size, position = os.fstat(file.fileno()).st_size, 0
        while position < size:
            try:
                begin = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            position = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            if found and begin - sum(found[-1]) < LEAST_HOLE:
                found[-1][1] = position - found[-1][0]
            else:
                found.append([begin, position - begin])
    return found


def digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while True:
            piece = file.read(PIECE)
            if not piece:
                return found.hexdigest()
            found.update(piece)


def pull(content: Content, source: list[Any], token: str) -> None:
    """Take what is missing of `content` from one source."""
    buffer = memoryview(bytearray(PIECE))
    with socket.create_connection(tuple(source), timeout=PATIENCE_S) as connection:
        connection.sendall(bytes.fromhex(token) + struct.pack(">Q", content.available))
        while content.available < content.size:
            descriptor, offset, length = content.place(content.available)
            count = connection.recv_into(buffer[: min(length, PIECE)])
            if count == 0:
                raise ConnectionError("closed in the middle")
            written = 0
            while written < count:
                written += os.pwrite(descriptor, buffer[written:count], offset + written)
            content.advance(count)


def fetch(folder: Path, files: list[Any], sources: list[Any], token: str, share: Share) -> None:
    """Fill `folder` from the sources in turn; OSError if none has all of it, ValueError if it is not what it was."""
    content = Content(folder, files, writable=True)
    share.offer(content)
    try:
        for source in [*sources, sources[-1]]:
            try:
                pull(content, source, token)
                break
            except OSError as error:
                failure = f"{source[0]} port {source[1]}: {error}"
        else:
            raise OSError(failure)
        for index, (name, _, expected, _) in enumerate(files):
            if digest(folder / name) != expected:
                raise ValueError(f"{name} does not have its SHA-256 {expected}")
            os.fchmod(content.opened[index], 0o555)
            os.fsync(content.opened[index])
    except (OSError, ValueError):
        content.drop()
        raise


def install(artifacts: Path, name: str, files: list[Any], sources: list[Any], token: str, share: Share) -> str | None:
    """Get the artifact; where a host on the way spoilt it, once more from one that has it in full."""
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
    """Remove what a transfer that was broken off left."""
    for entry in artifacts.glob(".share.*"):
        shutil.rmtree(entry, ignore_errors=True)


def tell(**document: Any) -> None:
    print(json.dumps(document), flush=True)


def main() -> None:
    artifacts, name = Path(sys.argv[1]), sys.argv[2]
    clear(artifacts)
    token = json.loads(sys.stdin.readline())["token"]
    share = Share(token)
    folder = artifacts / name
    if folder.is_dir():
        files = describe(folder)
        share.offer(Content(folder, files))
        tell(port=share.port, files=files)
    else:
        tell(port=share.port)
    for line in sys.stdin:
        given = json.loads(line)
        began = time.monotonic()
        # Beside this thread, so that the end of the input, which means that nobody wants it any more, is seen.
        threading.Thread(target=answer, args=(artifacts, name, given, token, share, began), daemon=True).start()
    clear(artifacts)
    os._exit(0)


def answer(artifacts: Path, name: str, given: dict[str, Any], token: str, share: Share, began: float) -> None:
    failure = install(artifacts, name, given["files"], given["sources"], token, share)
    if failure is None:
        tell(done=round(time.monotonic() - began, 6))
    else:
        tell(failed=failure)


if __name__ == "__main__":
    main()

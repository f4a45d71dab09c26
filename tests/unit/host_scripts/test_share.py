"""share.py as real processes that copy an artifact to each other over loopback."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

SCRIPT = ROOT / "benchmark" / "host_scripts" / "share.py"
NAME = "a" * 64
TOKEN = "0f" * 16
FILES = {"large": random.Random(1).randbytes(12_000_000), "empty": b"", "small": b"#!/bin/sh\n"}
DEADLINE_S = 20.0


class Share:
    """The script running for one host."""

    def __init__(self, folder: Path, token: str = TOKEN) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.greeting = self.ask({"token": token})
        self.address = ["127.0.0.1", self.greeting["port"]]

    def send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        self.send(order)
        return self.answer()

    def end(self) -> int:
        """Close its input and wait until it ends."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait(DEADLINE_S)

    def kill(self) -> None:
        self._process.kill()
        self.end()

    @property
    def running(self) -> bool:
        return self._process.poll() is None


Make = Callable[..., Share]


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Make]:
    made: list[Share] = []

    def make(name: str, **options: Any) -> Share:
        made.append(Share(tmp_path / name, **options))
        return made[-1]

    yield make
    for each in made:
        if each.running:
            each.kill()


@pytest.fixture
def root(share: Make, tmp_path: Path) -> Share:
    write(tmp_path / "root" / NAME)
    return share("root")


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


def order(root: Share, *sources: list[Any]) -> dict[str, Any]:
    return {"files": root.greeting["files"], "sources": [*sources, root.address]}


def assert_complete(folder: Path) -> None:
    assert {path.name: path.read_bytes() for path in (folder / NAME).iterdir()} == FILES
    assert all(os.access(path, os.X_OK) and not path.stat().st_mode & 0o222 for path in (folder / NAME).iterdir())
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_host_with_the_artifact_lists_its_files(root: Share) -> None:
    found = {name: (size, sha256) for name, size, sha256, _ in root.greeting["files"]}
    assert found == {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()}


def test_files_arrive_complete_and_executable(root: Share, share: Make, tmp_path: Path) -> None:
    assert share("one").ask(order(root))["done"] > 0
    assert_complete(tmp_path / "one")


def test_chain_works_even_if_its_last_host_starts_first(root: Share, share: Make, tmp_path: Path) -> None:
    chain = [share(f"host-{index}") for index in range(4)]
    for each, source in reversed(list(zip(chain, [root, *chain], strict=False))):
        each.send(order(root, source.address))
    assert all("done" in each.answer() for each in chain)
    for index in range(4):
        assert_complete(tmp_path / f"host-{index}")


def test_host_forwards_content_before_it_is_complete(root: Share, share: Make) -> None:
    middle, last = share("middle"), share("last")
    with Slow(root.address, FILES["large"][:1_000_000]) as slow:
        middle.send({"files": root.greeting["files"], "sources": [slow.address]})
        slow.sent.wait(DEADLINE_S)
        greeting = bytes.fromhex(TOKEN) + bytes(8)
        with socket.create_connection(tuple(middle.address), timeout=DEADLINE_S) as connection:
            connection.sendall(greeting)
            taken = b""
            while len(taken) < 1_000_000:
                taken += connection.recv(1 << 20)
    assert taken == FILES["large"][:1_000_000]
    assert last.running


class Slow:
    """A source that sends the beginning and then nothing until the block ends."""

    def __init__(self, _: list[Any], beginning: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = list(self._listener.getsockname())
        self._beginning = beginning
        self.sent, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(64)
            connection.sendall(self._beginning)
            self.sent.set()
            self._over.wait(DEADLINE_S)

    def __enter__(self) -> Slow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._listener.close()


def test_source_waits_for_a_slow_receiver(root: Share) -> None:
    wanted = b"".join(FILES[name] for name in sorted(FILES))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(DEADLINE_S)
        connection.connect(tuple(root.address))
        connection.sendall(bytes.fromhex(TOKEN) + bytes(8))
        # The buffers of the kernel are full when nothing more arrives.
        arrived = -1
        while arrived < (arrived := pending(connection)):
            time.sleep(0.05)
        taken = b""
        while piece := connection.recv(1 << 16):
            taken += piece
    assert taken == wanted


def pending(connection: socket.socket) -> int:
    """Return how many received bytes the kernel has buffered."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0]  # type: ignore[no-any-return]


def test_download_continues_from_another_source_after_an_interruption(root: Share, share: Make, tmp_path: Path) -> None:
    with Slow(root.address, FILES["large"][:1_000_000]) as slow:
        one = share("one")
        one.send(order(root, slow.address))
        slow.sent.wait(DEADLINE_S)
    assert "done" in one.answer()
    assert_complete(tmp_path / "one")


def test_unreachable_source_is_replaced(root: Share, share: Make, tmp_path: Path) -> None:
    gone = share("gone")
    gone.kill()
    assert "done" in share("one").ask(order(root, gone.address))
    assert_complete(tmp_path / "one")


def test_corrupt_forwarded_copy_is_downloaded_again(root: Share, share: Make, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong" / NAME
    write(wrong)
    (wrong / "large").write_bytes(bytes(len(FILES["large"])))
    corrupt = share("wrong")
    second, after = share("second"), share("after")
    second.send(order(root, corrupt.address))
    after.send(order(root, second.address))
    assert "done" in second.answer()
    assert "done" in after.answer()
    assert_complete(tmp_path / "second")
    assert_complete(tmp_path / "after")


def test_content_that_is_corrupt_at_every_source_fails_and_is_removed(root: Share, share: Make, tmp_path: Path) -> None:
    files = [[name, size, "0" * 64, extents] for name, size, _, extents in root.greeting["files"]]
    answer = share("one").ask({"files": files, "sources": [root.address]})
    assert "its SHA-256 is not 0000" in answer["failed"]
    assert list((tmp_path / "one").iterdir()) == []


def test_nothing_is_sent_without_the_token(root: Share, share: Make, tmp_path: Path) -> None:
    stranger = share("stranger", token="1f" * 16)
    assert "closed early" in stranger.ask(order(root))["failed"]
    assert list((tmp_path / "stranger").iterdir()) == []


def test_holes_in_sparse_files_are_not_sent_and_remain_holes(share: Make, tmp_path: Path) -> None:
    folder = tmp_path / "root" / NAME
    folder.mkdir(parents=True)
    with (folder / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(64 << 20)
        file.write(b"end")
    root = share("root")
    ((_, size, _, extents),) = root.greeting["files"]
    assert (size, sum(length for _, length in extents) < 1 << 20) == ((64 << 20) + 3, True)
    assert "done" in share("one").ask(order(root))
    copy = tmp_path / "one" / NAME / "sparse"
    assert copy.read_bytes() == (folder / "sparse").read_bytes()
    assert copy.stat().st_blocks * 512 < 1 << 20


def test_end_of_input_stops_the_script_and_removes_partial_downloads(root: Share, share: Make, tmp_path: Path) -> None:
    with Slow(root.address, b"x") as slow:
        one = share("one")
        one.send(order(root, slow.address))
        slow.sent.wait(DEADLINE_S)
        deadline = time.monotonic() + DEADLINE_S
        while not list((tmp_path / "one").iterdir()):
            assert time.monotonic() < deadline
        assert one.end() == 0
    assert list((tmp_path / "one").iterdir()) == []


def test_leftovers_of_a_killed_transfer_are_removed_by_the_next(root: Share, share: Make, tmp_path: Path) -> None:
    (tmp_path / "one" / f".share.{NAME}").mkdir(parents=True)
    assert "done" in share("one").ask(order(root))
    assert_complete(tmp_path / "one")

"""The emulator's supervisor: it keeps the TUNs of the attached hosts open and starts a new worker when one dies.

keeper --fork--> worker: attaches what the keeper holds
worker 0 --journal--> keeper: hosts that were attached or detached, new links --feed--> all other workers
worker   --journal--> keeper: its hosts that have ended                       --feed--> all other workers
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import NamedTuple, NoReturn, TypedDict

from .links import Port

DEATHS, WITHIN_S = 5, 30.0
"""Workers that die this often within that time would die again: give up."""
ANSWER_S = 5.0
"""Longest wait of a worker for the keeper, which answers at once."""

_PR_SET_PDEATHSIG = 1


class Change(TypedDict):
    """A host was attached (with its TUN) or detached (without), or there are new links."""

    event: str
    """attached, detached or configured."""
    key: int
    """Identifies the attachment, as a name is attached again."""
    name: str
    region: str | None
    address: str


class _Worker(NamedTuple):
    number: int
    pid: int
    journal: socket.socket
    feed: socket.socket


class Keeper:
    """Holds the attached hosts; `serve` runs worker number i with them and a `Journal`, in a child process."""

    def __init__(self, serve: Callable[[int, list[Port], Journal], NoReturn], workers: int) -> None:
        self._serve = serve
        self._number = workers
        self._ports: dict[str, Port] = {}
        self._workers: dict[int, _Worker] = {}

    def run(self) -> None:
        """Keep all workers running; return if they die again and again."""
        deaths: deque[float] = deque(maxlen=DEATHS)
        for index in range(self._number):
            self._start(index)
        while len(deaths) < DEATHS or deaths[-1] - deaths[0] > WITHIN_S:
            for journal in select.select(list(self._workers), [], [])[0]:
                worker = self._workers[journal]
                if self._follow(worker):
                    continue
                del self._workers[journal]
                worker.journal.close()
                worker.feed.close()
                _, status = os.waitpid(worker.pid, 0)
                deaths.append(monotonic())
                hosts = sum(port.region is not None for port in self._ports.values())
                message = f"worker {worker.number} ({worker.pid}) died (status {status}) with {hosts} hosts attached"
                print(message, file=sys.stderr, flush=True)
                self._start(worker.number)

    def _start(self, index: int) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        feed, source = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        keeper, pid = os.getpid(), os.fork()
        if pid == 0:
            for end in (mine, feed):
                end.close()
            for worker in self._workers.values():
                worker.journal.close()
                worker.feed.close()
            self._become_worker(index, Journal(its, source), keeper)
        its.close()
        source.close()
        feed.setblocking(False)
        self._workers[mine.fileno()] = _Worker(index, pid, mine, feed)

    def _become_worker(self, index: int, journal: Journal, keeper: int) -> NoReturn:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # without the keeper nothing could stop it
        if os.getppid() != keeper:
            os._exit(1)
        try:
            self._serve(index, list(self._ports.values()), journal)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        os._exit(1)

    def _follow(self, worker: _Worker) -> bool:
        """Record a change that a worker reports and pass it on; False if the worker has died."""
        try:
            text, fds, _, _ = socket.recv_fds(worker.journal, 65536, 1)
        except OSError:
            return False
        if not text:
            return False
        change: Change = json.loads(text)
        known = self._ports.get(change["name"])
        if change["event"] == "attached" or (change["event"] == "detached" and known and known.key == change["key"]):
            self._ports.pop(change["name"], None)
            if known is not None:
                os.close(known.fd)
        if fds:
            self._ports[change["name"]] = port_of(change, fds[0])
        for other in self._workers.values():
            if other is not worker:
                try:
                    socket.send_fds(other.feed, [text], fds)
                except OSError:  # it does not read, so it has died or hangs; a new one knows the change
                    os.kill(other.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):  # it died
            worker.journal.send(b"ok")
        return True


def port_of(change: Change, fd: int) -> Port:
    """Return the host of an attachment, whose TUN is `fd`."""
    return Port(change["name"], change["region"], change["address"], fd, change["key"])


class Journal:
    """A worker's connection to the keeper: reports changes until the keeper has them, and receives those of others."""

    def __init__(self, keeper: socket.socket, feed: socket.socket) -> None:
        self._keeper, self._feed = keeper, feed
        keeper.settimeout(ANSWER_S)
        feed.setblocking(False)

    def attached(self, port: Port) -> None:
        """Let the keeper and all workers hold the TUN of a host, too."""
        self._report("attached", port, [port.fd])

    def detached(self, port: Port) -> None:
        """Let the keeper and all workers close the TUN of a host, whose interface then ends."""
        self._report("detached", port, [])

    def configured(self) -> None:
        """Let all workers read the links again."""
        self._report("configured", None, [])

    def fileno(self) -> int:
        """Return the descriptor that is readable when there are changes."""
        return self._feed.fileno()

    def changes(self) -> Iterator[tuple[Change, int | None]]:
        """Yield the changes that other workers reported, each with the TUN of a host that was attached.

        ConnectionError when the keeper has ended.
        """
        while True:
            try:
                text, fds, _, _ = socket.recv_fds(self._feed, 65536, 1)
            except BlockingIOError:
                return
            if not text:
                raise ConnectionError("the keeper has ended")
            yield json.loads(text), fds[0] if fds else None

    def _report(self, event: str, port: Port | None, fds: Sequence[int]) -> None:
        change = Change(event=event, key=0, name="", region=None, address="")
        if port is not None:
            change = Change(event=event, key=port.key, name=port.name, region=port.region, address=port.text)
        socket.send_fds(self._keeper, [json.dumps(change).encode()], fds)
        self._keeper.recv(16)

"""The emulator's supervisor: it keeps the TUNs of the attached hosts open and starts a new emulator when one dies.

keeper --fork--> emulator: attaches what the keeper holds; reports every attached and detached host
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import NoReturn

from .links import Port

DEATHS, WITHIN_S = 5, 30.0
"""An emulator that dies this often within that time would die again: give up."""
ANSWER_S = 5.0
"""Longest wait of the emulator for the keeper, which answers at once."""

_PR_SET_PDEATHSIG = 1


class Keeper:
    """Holds the attached hosts; `serve` runs an emulator with them and a `Journal`, in a child process."""

    def __init__(self, serve: Callable[[list[Port], Journal], NoReturn]) -> None:
        self._serve = serve
        self._ports: dict[str, Port] = {}

    def run(self) -> None:
        """Keep an emulator running; return if it dies again and again."""
        deaths: deque[float] = deque(maxlen=DEATHS)
        while len(deaths) < DEATHS or deaths[-1] - deaths[0] > WITHIN_S:
            mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            keeper, pid = os.getpid(), os.fork()
            if pid == 0:
                mine.close()
                self._become_emulator(its, keeper)
            its.close()
            with mine:
                self._follow(mine)
            _, status = os.waitpid(pid, 0)
            deaths.append(monotonic())
            hosts = sum(port.region is not None for port in self._ports.values())
            print(f"emulator {pid} died (status {status}) with {hosts} hosts attached", file=sys.stderr, flush=True)

    def _become_emulator(self, journal: socket.socket, keeper: int) -> NoReturn:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # without the keeper nothing could stop it
        if os.getppid() != keeper:
            os._exit(1)
        try:
            self._serve(list(self._ports.values()), Journal(journal))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        os._exit(1)

    def _follow(self, journal: socket.socket) -> None:
        """Record what the emulator attaches and detaches, until it dies."""
        while True:
            try:
                text, fds, _, _ = socket.recv_fds(journal, 65536, 1)
            except OSError:
                return
            if not text:
                return
            host = json.loads(text)
            known = self._ports.pop(host["name"], None)
            if known is not None:
                os.close(known.fd)
            if fds:
                self._ports[host["name"]] = Port(host["name"], host["region"], host["address"], fds[0])
            with contextlib.suppress(OSError):  # it died
                journal.send(b"ok")


class Journal:
    """Reports attached and detached hosts to the keeper, and waits until it has recorded them."""

    def __init__(self, keeper: socket.socket) -> None:
        self._keeper = keeper
        keeper.settimeout(ANSWER_S)

    def attached(self, port: Port) -> None:
        """Let the keeper hold the TUN of a host, too."""
        self._report(port, [port.fd])

    def detached(self, port: Port) -> None:
        """Let the keeper close the TUN of a host, whose interface then ends."""
        self._report(port, [])

    def _report(self, port: Port, fds: Iterable[int]) -> None:
        message = {"name": port.name, "region": port.region, "address": port.text}
        socket.send_fds(self._keeper, [json.dumps(message).encode()], list(fds))
        self._keeper.recv(16)

"""The control socket: one JSON request and one JSON reply per connection; `attach` passes a TUN along (SCM_RIGHTS)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from pathlib import Path
from time import monotonic_ns
from typing import TypedDict

from .impairments import Trace, read_traces
from .keeper import Change, Journal, port_of
from .links import FORMAT, Links, Port
from .loop import Emulator


class Request(TypedDict, total=False):
    """`command` is attach (host, region, address), detach (host), configure or status."""

    command: str
    host: str
    region: str | None
    address: str


class Reply(TypedDict, total=False):
    """Either `error` alone, or all the others."""

    hosts: dict[str, str]
    """Name to address of every attached host."""
    operator: bool
    """Whether the machine itself is attached."""
    format: int
    """Version of links.json."""
    error: str
    """Why the request was rejected."""


def read_links(directory: Path) -> tuple[Links, dict[str, Trace]]:
    """Read the links and the traces from the folder of the testbed's network files."""
    links: Links = json.loads((directory / "links.json").read_text(encoding="utf-8"))
    return links, read_traces(directory / "trace") if links["trace"] else {}


class Control:
    """Serves requests, and applies the changes that other workers report; the links are in `directory`.

    Worker 0 alone has a `listener`.
    """

    def __init__(
        self, emulator: Emulator, directory: Path, journal: Journal, listener: socket.socket | None = None
    ) -> None:
        self.emulator, self.directory, self.journal, self.listener = emulator, directory, journal, listener
        self.clients: dict[int, socket.socket] = {}
        emulator.on_control = self.serve
        emulator.epoll.register(journal.fileno(), select.EPOLLIN)
        if listener:
            emulator.epoll.register(listener.fileno(), select.EPOLLIN)

    def serve(self, fd: int) -> None:
        """Apply changes, accept a connection, or answer the one with descriptor `fd`."""
        if fd == self.journal.fileno():
            for change, tun in self.journal.changes():
                self._apply(change, tun)
            return
        if self.listener and fd == self.listener.fileno():
            client, _ = self.listener.accept()
            client.setblocking(False)
            self.clients[client.fileno()] = client
            self.emulator.epoll.register(client.fileno(), select.EPOLLIN)
            return
        if fd not in self.clients:  # a host that was detached in this round
            return
        self.emulator.epoll.unregister(fd)
        with self.clients.pop(fd) as client, contextlib.suppress(OSError):
            text, fds, _, _ = socket.recv_fds(client, 65536, 4)
            if text:
                client.send(json.dumps(self._answer(text, fds)).encode())

    def _apply(self, change: Change, tun: int | None) -> None:
        emulator = self.emulator
        if change["event"] == "configured":
            emulator.configure(*read_links(self.directory))
        elif tun is not None:
            emulator.attach(port_of(change, tun))
        else:
            for port in [port for port in emulator.ports.values() if port.key == change["key"]]:
                emulator.detach(port)

    def _answer(self, text: bytes, fds: list[int]) -> Reply:
        try:
            return self.command(json.loads(text), fds)
        except Exception as error:  # no request may end the network of a running testbed
            return {"error": f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"}
        finally:
            for fd in fds:
                os.close(fd)

    def command(self, request: Request, fds: list[int]) -> Reply:
        """Carry out a request, and take over the descriptors it uses. ValueError if it is invalid."""
        emulator = self.emulator
        name = request.get("command")
        if name == "configure":
            emulator.configure(*read_links(self.directory))
            self.journal.configured()
        elif name == "attach" and len(fds) == 1:
            port = Port(request["host"], request["region"], request["address"], fds[0], monotonic_ns())
            emulator.attach(port)
            fds.clear()  # the port owns it now
            self.journal.attached(port)
        elif name == "detach":
            for port in [port for port in emulator.ports.values() if port.name == request["host"]]:
                emulator.lose(port)
        elif name != "status":
            raise ValueError(f"unknown request {name!r} with {len(fds)} file descriptors")
        hosts = {port.name: port.text for port in emulator.ports.values() if port.region}
        return {"hosts": hosts, "operator": emulator.operator is not None, "format": FORMAT}

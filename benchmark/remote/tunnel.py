"""Forward a local port to a port of a remote host over SSH."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from paramiko import Channel, SSHException, Transport

from benchmark.remote.connection import ConnectError

CONNECTIONS = 32
"""Connections that are forwarded at the same time; further ones wait."""
_CHUNK = 1 << 16


class Tunnel:
    """Forward a free port of 127.0.0.1 to 127.0.0.1:`remote_port` on the host behind `transport`.

    Connections of other users of this machine are closed: behind the port may be an interface without a login.

    Fabric's tunnel polls for connections every 10 ms and forwards 1 kB at a time; this one waits for events.
    """

    def __init__(self, transport: Callable[[], Transport], remote_port: int) -> None:
        self._transport = transport
        self._remote_port = remote_port
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._closing = threading.Event()
        self._open: set[socket.socket | Channel] = set()
        self._threads: list[threading.Thread] = []
        self._wake, self._closed = os.pipe()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name=f"tunnel-{self.port}", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Stop listening, close the connections and wait for their threads."""
        self._closing.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass  # wakes the accepting thread on every operating system
        self._acceptor.join()
        os.close(self._closed)  # closing a channel does not wake a thread that polls it; this does
        for end in list(self._open):
            with contextlib.suppress(OSError, EOFError, SSHException):
                end.close() if isinstance(end, Channel) else end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        os.close(self._wake)

    def _accept(self) -> None:
        with self._listener:
            while not self._closing.is_set():
                sock, _ = self._listener.accept()
                while not self._free.acquire(timeout=0.5):
                    if self._closing.is_set():
                        break
                if self._closing.is_set():
                    sock.close()
                    return
                self._open.add(sock)
                thread = threading.Thread(target=self._forward, args=(sock,), name=self._acceptor.name, daemon=True)
                self._threads = [known for known in self._threads if known.is_alive()] + [thread]
                thread.start()

    def _forward(self, sock: socket.socket) -> None:
        try:
            with sock:
                if not opened_by_this_user(sock):
                    return
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                channel = self._transport().open_channel(
                    "direct-tcpip", ("127.0.0.1", self._remote_port), sock.getpeername()
                )
                self._open.add(channel)
                with contextlib.closing(channel):
                    self._copy(sock, channel)
                self._open.discard(channel)
        except (OSError, EOFError, SSHException, ConnectError):
            pass  # nothing listens on the host, or one side closed: the local connection closes too
        finally:
            self._open.discard(sock)
            self._free.release()

    def _copy(self, sock: socket.socket, channel: Channel) -> None:
        """Copy bytes in both directions until both sides have ended."""
        local, remote = sock.fileno(), channel.fileno()
        poll = select.poll()
        for descriptor in (local, remote, self._wake):
            poll.register(descriptor, select.POLLIN)
        sides = 2
        while sides:
            for descriptor, _ in poll.poll():
                if descriptor == self._wake:
                    return
                if descriptor == local:
                    data = sock.recv(_CHUNK)
                    if data:
                        channel.sendall(data)
                    else:
                        poll.unregister(local)
                        channel.shutdown_write()
                else:
                    data = channel.recv(_CHUNK)
                    if data:
                        sock.sendall(data)
                    else:
                        poll.unregister(remote)
                        sock.shutdown(socket.SHUT_WR)
                sides -= not data


def opened_by_this_user(sock: socket.socket, table: Path = Path("/proc/net/tcp")) -> bool:
    """Return whether the other end of a connection on 127.0.0.1 belongs to this user, or to root.

    The kernel's table of connections names the owner of each end:
    https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html. Systems without the table are not checked.
    """
    if not table.exists():
        return True
    ends = [
        f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
        for host, port in (sock.getpeername(), sock.getsockname())
    ]
    for line in table.read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == ends:
            user, inode = int(fields[7]), int(fields[9])
            return inode != 0 and user in (0, os.getuid())  # without an inode the owner has gone, and shows as root
    return False

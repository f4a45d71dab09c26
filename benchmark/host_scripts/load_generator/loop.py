"""Wait for events of file descriptors, and exchange bytes over non-blocking sockets."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Loop:
    """An event loop: the watched file descriptors and the handler of each."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._fds = [self._epoll.fileno()]
        self._handlers: dict[int, Callable[[int], None]] = {}

    def watch(self, fd: int, handler: Callable[[int], None], events: int = READ) -> None:
        """Call `handler` with the events of `fd` from now on."""
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, fd: int, events: int) -> None:
        """Watch `fd` for `events` instead of the previous ones."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching `fd`."""
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def run_once(self, wait: float) -> None:
        """Wait at most `wait` seconds for events and call their handlers."""
        # epoll's timeout has a resolution of milliseconds, select's of microseconds.
        if wait > 0 and not select.select(self._fds, (), (), min(wait, 3600.0))[0]:
            return
        for fd, events in self._epoll.poll(0, 256):
            if fd in self._handlers:  # a handler before it may have stopped watching it
                self._handlers[fd](events)


class Stream:
    """A non-blocking TCP socket with a buffer of unsent bytes."""

    __slots__ = ("_fd", "_loop", "_socket", "_unsent")

    def __init__(self, loop: Loop, sock: socket.socket, events: int) -> None:
        self._loop, self._socket, self._fd = loop, sock, sock.fileno()
        self._unsent = b""
        loop.watch(self._fd, self.on_event, events)

    def on_event(self, events: int) -> None:
        """Handle that the socket is readable, writable or broken."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send bytes, now or once the socket accepts them; OSError if the connection is lost."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._loop.change(self._fd, READ | WRITE)
        elif self._unsent:
            self._loop.change(self._fd, READ)
        self._unsent = data[sent:]

    def read(self) -> bytes | None:
        """Return received bytes, None if there are none yet, b"" at the end of the connection."""
        try:
            return self._socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def close(self) -> None:
        """Close the connection."""
        self._loop.forget(self._fd)
        self._socket.close()

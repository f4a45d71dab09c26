"""Run remote commands on SSH channels; one thread can watch any number of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from queue import Empty, SimpleQueue
from typing import BinaryIO

from paramiko import Channel, SSHException

from benchmark.errors import HostError
from benchmark.remote.login_shell import BEGIN, in_bash

OUTPUT_LIMIT = 64 << 20
"""Bytes of output kept of each stream of a session; older bytes are dropped."""
_CHUNK = 1 << 16
_PREAMBLE_LIMIT = 1 << 20


class _Output:
    """The output of one stream: the last `limit` bytes in memory, or everything in a file.

    What precedes the mark of `in_bash` is not output of the command but of the login shell's start-up files.
    """

    def __init__(self, limit: int, sink: BinaryIO | None = None) -> None:
        self.limit = limit
        self.overflowed = False
        self._sink = sink
        self._total = 0
        self._kept = bytearray()
        self._read = 0
        self._began = False
        self._before = bytearray()

    def feed(self, data: bytes) -> None:
        if not self._began:
            self._before += data
            before, mark, rest = self._before.partition(BEGIN)
            if not mark:
                self.overflowed = len(self._before) > _PREAMBLE_LIMIT
                del self._before[:-_PREAMBLE_LIMIT]
                return
            self._began, self._before, data = True, before, bytes(rest)
        self._total += len(data)
        self.overflowed = self.overflowed or self._total > self.limit
        if self._sink is not None:
            self._sink.write(data)
            return
        self._kept += data
        surplus = len(self._kept) - self.limit
        if surplus > 0:
            del self._kept[:surplus]
            self._read = max(0, self._read - surplus)

    @property
    def began(self) -> bool:
        return self._began

    @property
    def preamble(self) -> str:
        """What was printed before the command began."""
        return self._before.decode("utf-8", "replace")

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")

    def lines(self) -> list[str]:
        """Return the complete lines that were not returned before."""
        end = self._kept.rfind(b"\n", self._read) + 1
        # Not splitlines(), which splits at further characters that lines may contain.
        fresh = self._kept[self._read : end].decode("utf-8", "replace").split("\n")[:-1] if end else []
        self._read = max(self._read, end)
        return fresh


class _Bell:
    """Replace the threading.Event of paramiko's buffers: call the watcher instead of waking a thread."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._rung = False

    def set(self) -> None:
        if not self._rung:
            self._rung = True
            self._notify()

    def clear(self) -> None:
        """Do nothing: paramiko clears the event when one buffer is empty, but two buffers share this bell."""

    def reset(self) -> None:
        self._rung = False


class Session:
    """A remote command, run by bash whatever the login shell is, that is running or has ended.

    `Fleet.open` starts it and keeps its standard input open: `send` writes to it, `finish_input` closes it, `close`
    closes the channel. The command then reads the end of its input. A command that does not read its input keeps
    running, so commands that must end with the runner monitor it. Output is received whenever a property of the
    session is read or its `Sessions` waits: a session has no thread, and an unread one blocks its command after 2 MB.
    Use it from one thread at a time.
    """

    def __init__(
        self, host: str, command: str, channel: Channel, sink: BinaryIO | None = None, limit: int = OUTPUT_LIMIT
    ) -> None:
        self.host = host
        self.command = command
        self._channel = channel
        self._out = _Output(limit, sink)
        self._err = _Output(limit)
        self._bell: _Bell | None = None
        self._closed_here = False
        self._started = time.monotonic()
        self._ended: float | None = None

    def start(self) -> None:
        """Start the command; return when the host has accepted it, SSHException if it rejects it."""
        self._started = time.monotonic()
        self._channel.exec_command(in_bash(self.command))

    def send(self, data: str | bytes) -> None:
        """Write to the command's standard input; HostError if it has ended or its host is lost."""
        view = memoryview(data.encode() if isinstance(data, str) else data)
        with self._lost_as_host_error():
            # In chunks of a few packets: paramiko's sendall copies the remaining data after every packet.
            for start in range(0, len(view), _CHUNK):
                self._channel.sendall(view[start : start + _CHUNK].tobytes())

    def finish_input(self) -> None:
        """Close the command's standard input; HostError if its host is lost."""
        with self._lost_as_host_error():
            self._channel.shutdown_write()

    def read_lines(self) -> list[str]:
        """Return the complete lines of standard output since the last call, without blocking."""
        self._receive()
        return self._out.lines()

    @property
    def stdout(self) -> str:
        """Standard output of the command so far."""
        self._receive()
        return self._out.text()

    @property
    def stderr(self) -> str:
        """Standard error of the command so far."""
        self._receive()
        return self._err.text()

    @property
    def preamble(self) -> str:
        """What the login shell's start-up files printed on standard output before the command began."""
        self._receive()
        return self._out.preamble

    @property
    def ended(self) -> bool:
        """Whether the command has ended, or its host can no longer be reached."""
        self._receive()
        return self._ended is not None

    @property
    def exit_status(self) -> int | None:
        """Exit code; None while the command runs, and if it ended without one (see `failure`)."""
        status = int(self._channel.exit_status)
        return status if self.ended and status >= 0 else None

    @property
    def failure(self) -> str | None:
        """Why the command did not run to its end; None if it did, whatever its exit code, or still runs."""
        if not self.ended:
            return None
        if self._channel.exit_status >= 0:
            if self._out.began:
                return None
            printed = (self._err.preamble.strip() or self._out.preamble.strip()).splitlines()[-3:]
            said = f"it printed: {' / '.join(printed)}" if printed else f"exit code {self._channel.exit_status}"
            return f"the login shell ended before the command began ({said})"
        if self._closed_here:
            return "closed before the command ended"
        transport = self._channel.transport
        lost = transport.saved_exception  # set before the channels are notified, until somebody opens a channel
        if lost is None:
            return "ended by a signal" if transport.is_active() else "the connection was lost"
        return f"the connection was lost ({lost or type(lost).__name__})"

    @property
    def overflowed(self) -> bool:
        """Whether output beyond the limit was dropped."""
        return self._out.overflowed or self._err.overflowed

    @property
    def seconds(self) -> float:
        """Time since the start, in seconds; up to the end once it has ended."""
        return (self._ended or time.monotonic()) - self._started

    def close(self) -> None:
        """Close the channel, whatever the command does."""
        self._closed_here = self._closed_here or not self._channel.closed
        with contextlib.suppress(OSError, EOFError, SSHException):  # if the connection is gone, so is the channel
            self._channel.close()
        self._receive()

    def watch(self, notify: Callable[[], None]) -> None:
        """Call `notify`, from another thread, on output and at the end; replaces the previous `notify`."""
        self._bell = _Bell(notify)
        self._channel.in_buffer.set_event(self._bell)
        self._channel.in_stderr_buffer.set_event(self._bell)
        self._bell.set()

    @contextlib.contextmanager
    def _lost_as_host_error(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, SSHException) as error:
            reason = self.failure or (
                "the command has ended" if self.ended else str(error) or "the connection was lost"
            )
            raise HostError("could not send input to the command on:", {self.host: reason}) from None

    def _receive(self) -> None:
        """Receive the output that has arrived."""
        if self._bell:
            self._bell.reset()
        # Read before the buffers: once it is true, nothing is added to them.
        closed = self._channel.closed
        while self._channel.recv_ready():
            self._out.feed(self._channel.recv(_CHUNK))
        while self._channel.recv_stderr_ready():
            self._err.feed(self._channel.recv_stderr(_CHUNK))
        if closed and self._ended is None:
            self._ended = time.monotonic()


class Sessions:
    """Several sessions, watched together by the thread that calls `wait`, without polling."""

    def __init__(self, sessions: Iterable[Session]) -> None:
        self._queue: SimpleQueue[Session] = SimpleQueue()
        self._running = set(sessions)
        for session in self._running:
            session.watch(partial(self._queue.put, session))

    def wait(self, timeout: float = 0.0) -> list[Session]:
        """Receive output until a session ends or `timeout` (s) passes; return the sessions that ended.

        Every session is returned once. With a timeout of 0 it returns at once: within microseconds if nothing arrived.
        """
        ends = time.monotonic() + timeout
        ended: list[Session] = []
        while not ended:
            try:
                session = self._queue.get(timeout=max(0.0, ends - time.monotonic()))
            except Empty:
                return ended
            self._collect(session, ended)
        while not self._queue.empty():
            session = self._queue.get()
            self._collect(session, ended)
        return ended

    def _collect(self, session: Session, ended: list[Session]) -> None:
        if session.ended and session in self._running:
            self._running.discard(session)
            ended.append(session)

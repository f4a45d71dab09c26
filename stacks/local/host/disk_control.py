"""Limit the disk of one local host on its request: `python3 -I -S disk_control.py DIRECTORY PID LIMITS`.

The host has no rights to do so itself. It connects to the socket `control/disk` in DIRECTORY, and sends a line with
bytes per second and for how many seconds at most. The answer is `ok`, or a line that says what failed. The limit ends
with its time or the connection, so a client that is killed leaves none. With several limits the smallest one holds.

LIMITS is JSON: `files`, the text to write by the path of a control file, in which {} stands for the limit; `unlimited`,
the word for none; and `bandwidth`, the limit that the host always has, or null. This process belongs to the machine. It
ends when process 1 of the host, whose pid here is PID, has ended.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from typing import TypedDict

MOST_CLIENTS, LONGEST_LINE, MOST_SECONDS = 16, 64, 10**6
AGAIN_S = 1.0
"""Until a limit that could not be removed is removed again."""


class Limits(TypedDict):
    """What the kernel has to be told."""

    files: dict[str, str]
    unlimited: str
    bandwidth: int | None


class Control:
    """The limits that a host has requested, by connection."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requested: dict[socket.socket, tuple[int, float]] = {}
        """Bytes per second and when the limit ends; a connection without a limit is in none."""
        self._written = limits["bandwidth"]
        """-1 while it is unknown."""

    def request(self, client: socket.socket, line: bytes) -> str:
        """Apply the limit that a line requests, and return the answer."""
        try:
            rate, seconds = (int(word) for word in line.split())
            if not (0 < rate < 2**63 and 0 < seconds <= MOST_SECONDS):
                raise ValueError
        except ValueError:
            return "expected bytes per second and seconds"
        self._requested[client] = rate, time.monotonic() + seconds
        try:
            self.apply()
        except OSError as error:
            del self._requested[client]
            return f"the kernel rejects the limit: {error.strerror}"
        return "ok"

    def forget(self, client: socket.socket) -> None:
        """Remove what a connection requested; `apply` makes it so."""
        self._requested.pop(client, None)

    def apply(self) -> float | None:
        """Write the smallest limit whose time is not over, and return when the next one ends, in s. Raises OSError."""
        now = time.monotonic()
        self._requested = {client: each for client, each in self._requested.items() if each[1] > now}
        always = self._limits["bandwidth"]
        rates = [rate for rate, _ in self._requested.values()] + ([always] if always else [])
        wanted = min(rates, default=None)
        if wanted != self._written:
            self._written = -1
            for path, text in self._limits["files"].items():
                with open(path, "w", encoding="ascii") as file:  # noqa: PTH123  # pathlib takes long to import
                    file.write(text.replace("{}", str(wanted or self._limits["unlimited"])))
            self._written = wanted
        return min((end - now for _, end in self._requested.values()), default=None)


def serve(control: Control, listener: socket.socket, host: int) -> None:
    """Serve until the descriptor `host` of a process becomes readable."""
    clients: dict[socket.socket, bytes] = {}
    while True:
        try:
            wait = control.apply()
        except OSError:
            wait = AGAIN_S
        watched: list[int | socket.socket] = [host, listener, *clients]
        ready = select.select(watched, [], [], wait)[0]
        if host in ready:
            return
        if listener in ready:
            client = listener.accept()[0]
            if len(clients) < MOST_CLIENTS:
                client.setblocking(False)
                clients[client] = b""
            else:
                client.close()
        for client in [each for each in clients if each in ready]:
            try:
                data = client.recv(LONGEST_LINE)
            except OSError:
                data = b""
            line, end, clients[client] = (clients[client] + data).partition(b"\n")
            if data and not end and len(line) < LONGEST_LINE:
                clients[client] = line
                continue
            try:
                if not end:
                    raise OSError
                client.send(f"{control.request(client, line)}\n".encode())
            except OSError:
                del clients[client]
                control.forget(client)
                client.close()


def main() -> None:
    """Listen, become ready, and serve until the host ends; its end also ends what limits its disk."""
    directory, pid, limits = sys.argv[1:]
    os.chdir(directory)  # relative names keep the socket's path within its 108 bytes
    host = os.pidfd_open(int(pid))
    with open("/proc/self/stat", encoding="ascii") as file:  # noqa: PTH123
        started = file.read().rpartition(")")[2].split()[19]
    with open("disk_control", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(f"{os.getpid()} {started}\n")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o177)
    listener.bind("control/disk")
    listener.listen(MOST_CLIENTS)
    serve(Control(json.loads(limits)), listener, host)


if __name__ == "__main__":
    main()

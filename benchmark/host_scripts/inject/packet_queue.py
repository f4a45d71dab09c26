"""Packets that the kernel hands over and forwards or drops on order: nfnetlink_queue.

Kernel headers: linux/netfilter/nfnetlink_queue.h, nf_tables.h, nf_tables_compat.h, xt_NFQUEUE.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .mechanism import ProblemError

READ_AT_ONCE = 64
_NETFILTER = 12
_RECEIVE_BYTES = 64 << 20
_MOST_PACKETS = 1 << 20
_RCVBUFFORCE, _NETLINK, _NO_ENOBUFS = 33, 270, 5
_ACCEPT, _DROP = 1, 0
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_NESTED = 0x8000
_INET = 1
_HOOK_OUTPUT = 3
_QUEUE, _PACKET, _VERDICT, _CONFIG = 3, 0, 1, 2
"""The subsystem of netlink, and its messages."""


class Packet(NamedTuple):
    """A packet that waits."""

    number: int
    inbound: bool
    address: bytes
    """Of the other host, 4 or 16 bytes."""
    size: int


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _message(kind: int, flags: int, family: int, resource: int, body: bytes = b"") -> bytes:
    header = struct.pack("=IHHII", 20 + len(body), kind, flags, 0, 0)
    return header + struct.pack(">BBH", family, 0, resource) + body


def _open() -> socket.socket:
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
    found.bind((0, 0))
    return found


def _require_success(connection: socket.socket) -> None:
    """Read an acknowledgement; OSError if it is an error."""
    (code,) = struct.unpack_from("=i", connection.recv(65536), 16)
    if code:
        raise OSError(-code, os.strerror(-code))


def add_rule_of_xtables(table: str, chain: str, number: int) -> None:
    """Add a rule that directs packets to queue `number`, if anyone reads it, for kernels without nft_queue.

    The target is that of iptables (xt_NFQUEUE), which nft itself cannot write. OSError if the kernel lacks it, too.
    """
    target = _attribute(1, b"NFQUEUE\0") + _attribute(2, struct.pack(">I", 3))
    target += _attribute(3, struct.pack("=HHHH", number, 1, 1, 0))
    expression = _attribute(1, b"target\0") + _attribute(2 | _NESTED, target)
    body = _attribute(1, table.encode() + b"\0") + _attribute(2, chain.encode() + b"\0")
    body += _attribute(4 | _NESTED, _attribute(1 | _NESTED, expression))
    with _open() as connection:
        begin, end = _message(0x10, _REQUEST, 0, 10), _message(0x11, _REQUEST, 0, 10)
        connection.send(begin + _message(10 << 8 | 6, _REQUEST | _ACK | _CREATE | _APPEND, _INET, 0, body) + end)
        _require_success(connection)


class PacketQueue:
    """Queue `number` of this network namespace. ProblemError if the kernel has no queues, or it is in use."""

    def __init__(self, number: int) -> None:
        self.number = number
        try:
            self.socket = _open()
            self._configure(_attribute(1, struct.pack(">BBH", 1, 0, 0)))
        except OSError as error:
            raise ProblemError(
                f"its kernel does not hand over packets ({error.strerror}); load the module nfnetlink_queue"
            ) from None
        self._configure(_attribute(2, struct.pack(">IB", 40, 2)))  # of each packet the headers with addresses
        self._configure(_attribute(3, struct.pack(">I", _MOST_PACKETS)))
        self._configure(
            _attribute(4, struct.pack(">I", 4)) + _attribute(5, struct.pack(">I", 4))
        )  # segments stay whole
        self._release, self._drop = self._verdict(_ACCEPT), self._verdict(_DROP)
        self.socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _RECEIVE_BYTES)
        self.socket.setsockopt(_NETLINK, _NO_ENOBUFS, 1)
        self.socket.setblocking(False)

    def receive(self) -> Iterator[Packet]:
        """Yield some of the packets that have arrived."""
        for _ in range(READ_AT_ONCE):
            try:
                data = self.socket.recv(4096)
            except OSError:
                return
            if struct.unpack_from("=H", data, 4)[0] != _QUEUE << 8 | _PACKET:
                continue  # the kernel no longer knows a packet: it drops all when any chain of packets is deleted
            attributes = {}
            position = 20
            while position < len(data):
                length, kind = struct.unpack_from("=HH", data, position)
                attributes[kind] = data[position + 4 : position + length]
                position += length + 3 & ~3
            number, _, hook = struct.unpack(">IHB", attributes[1])
            headers, inbound = attributes[10], hook != _HOOK_OUTPUT
            size = struct.unpack(">I", attributes[13])[0] if 13 in attributes else len(headers)
            first, length = (8, 16) if headers[0] >> 4 == 6 else (12, 4)
            start = first if inbound else first + length
            yield Packet(number, inbound, headers[start : start + length], size)

    def release(self, number: int) -> None:
        """Let a packet pass."""
        self.socket.send(self._release + number.to_bytes(4, "big"))

    def drop(self, number: int) -> None:
        """Drop a packet."""
        self.socket.send(self._drop + number.to_bytes(4, "big"))

    def overflowed(self) -> int:
        """Return how many packets the kernel dropped because this process did not read them in time."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path("/proc/net/netfilter/nfnetlink_queue").read_text().splitlines():
                words = line.split()
                if int(words[0]) == self.number:
                    return int(words[5]) + int(words[6])
        return 0

    def close(self) -> None:
        """Give the queue up: packets that wait are dropped."""
        self.socket.close()

    def _configure(self, body: bytes) -> None:
        self.socket.send(_message(_QUEUE << 8 | _CONFIG, _REQUEST | _ACK, 0, self.number, body))
        _require_success(self.socket)

    def _verdict(self, verdict: int) -> bytes:
        """Return the message of a verdict without its end, the number of the packet."""
        attribute = _attribute(2, struct.pack(">II", verdict, 0))
        return _message(_QUEUE << 8 | _VERDICT, _REQUEST, 0, self.number, attribute)[:-4]

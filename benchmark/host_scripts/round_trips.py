"""Measure round trips from this host to others, and print each of them.

usage: round_trips.py PROBES INTERVAL_S NAME=ADDRESS:PORT ...

One echo request (ICMP) is sent to every other host every INTERVAL_S, PROBES times. Hosts that answer none of them are
timed by as many TCP connects to PORT. Each line of the output is JSON: `[NAME, SECONDS, MS]` for a round trip that
began SECONDS after the start, or `[NAME, SECONDS, null]` for a request without an answer.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import sys
import time
from typing import NamedTuple

SO_TIMESTAMPNS = 35
TCP_RTT, TCP_RETRANSMITTED = 68, 100
"""Offsets of `tcpi_rtt` (µs) and `tcpi_total_retrans` in tcp_info(7)."""
ANSWER_S = 1.0
"""How long answers may take after the last request, longer than any round trip on earth."""
ECHO = {socket.AF_INET: (8, 0, socket.IPPROTO_ICMP), socket.AF_INET6: (128, 129, socket.IPPROTO_ICMPV6)}
"""Types of request and reply, and the protocol, by address family."""
MARK = os.urandom(8)
"""Tells the answers to this process from those to others."""


class Peer(NamedTuple):
    """A host to measure."""

    name: str
    family: socket.AddressFamily
    address: tuple[object, ...]


def resolve(text: str) -> Peer | None:
    """Read NAME=ADDRESS:PORT, in which an IPv6 address is in brackets; None for a name without an address."""
    name, _, target = text.partition("=")
    host, _, port = target.rpartition(":")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    except OSError:
        return None
    return Peer(name, family, address)


def report(name: str, began: float, milliseconds: float | None) -> None:
    """Print one result."""
    print(json.dumps([name, round(began, 4), milliseconds and round(milliseconds, 4)]))


def open_echo(family: socket.AddressFamily) -> tuple[socket.socket, bool] | None:
    """Return a socket for echo requests and whether its packets have an IPv4 header; None without the permission."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            opened = socket.socket(family, kind, ECHO[family][2])
        except OSError:
            continue
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        return opened, kind == socket.SOCK_RAW and family == socket.AF_INET
    return None


def checksum(packet: bytes) -> int:
    """Return the internet checksum (RFC 1071) of a packet of even length."""
    total: int = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Echoes:
    """Echo requests to peers and what answers them."""

    def __init__(self, peers: list[Peer], start: float) -> None:
        self.peers, self.start = peers, start
        found = {family: open_echo(family) for family in {peer.family for peer in peers}}
        self.sockets = {family: opened for family, opened in found.items() if opened}
        """Socket of each address family, and whether its packets have an IPv4 header."""
        self.by_fd = {opened.fileno(): (opened, family, header) for family, (opened, header) in self.sockets.items()}
        self.waiting: dict[tuple[int, int], tuple[float, int]] = {}
        """(number of the peer, sequence number) to the monotonic and real time (ns) of a request."""
        self.answered: set[str] = set()

    def send(self, sequence: int) -> None:
        """Send a request to every peer."""
        for number, peer in enumerate(self.peers):
            if peer.family not in self.sockets:
                continue
            kind = ECHO[peer.family][0]
            body = MARK + struct.pack("!II", number, sequence)
            head = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, sequence & 0xFFFF)
            if peer.family == socket.AF_INET:
                head = struct.pack("!BBHHH", kind, 0, checksum(head + body), os.getpid() & 0xFFFF, sequence & 0xFFFF)
            self.waiting[number, sequence] = (time.monotonic(), time.time_ns())
            try:
                self.sockets[peer.family][0].sendto(head + body, (peer.address[0], 0, *peer.address[2:]))
            except OSError:
                continue  # a request without an answer

    def receive(self, until: float) -> None:
        """Read answers until the monotonic time `until`; end the program if nobody reads its output any more."""
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
        both = select.poll()
        for fd in (*self.by_fd, sys.stdout.fileno()):
            both.register(fd, select.POLLIN if fd in self.by_fd else 0)
        while (left := until - time.monotonic()) > 0:
            # Raw sockets also get what others are waiting for, which need not wake this process.
            for fd, _ in (both if self.waiting else output).poll(left * 1000):
                if fd not in self.by_fd:
                    sys.exit("nobody reads the output")
                self._read(*self.by_fd[fd])

    def finish(self) -> None:
        """Read answers to the last requests, and report those that did not come."""
        end = time.monotonic() + ANSWER_S
        while self.waiting and self.by_fd and time.monotonic() < end:
            ready, _, _ = select.select(list(self.by_fd), [], [], end - time.monotonic())
            for fd in ready:
                self._read(*self.by_fd[fd])
        for (number, _), (began, _) in self.waiting.items():
            if self.peers[number].name in self.answered:
                report(self.peers[number].name, began - self.start, None)

    def _read(self, opened: socket.socket, family: socket.AddressFamily, header: bool) -> None:
        try:
            data, extra, _, _ = opened.recvmsg(2048, 64)
        except OSError:
            return
        now, arrived = time.monotonic(), time.time_ns()
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(content) >= 16:
                seconds, nanoseconds = struct.unpack_from("@qq", content)
                arrived = seconds * 1_000_000_000 + nanoseconds
        packet = data[(data[0] & 15) * 4 :] if header and data else data
        if len(packet) != 24 or packet[0] != ECHO[family][1] or packet[8:16] != MARK:
            return
        number, sequence = struct.unpack_from("!II", packet, 16)
        if found := self.waiting.pop((number, sequence), None):
            began, sent = found
            # The kernel's time of arrival leaves out how long this process waited for a processor. The clock may have
            # been set in between, which the monotonic one shows.
            exact, longest = (arrived - sent) / 1e6, (now - began) * 1e3
            self.answered.add(self.peers[number].name)
            report(self.peers[number].name, began - self.start, exact if 0 < exact <= longest else longest)


def connect_all(peers: list[Peer], start: float) -> None:
    """Time one TCP connect to each of the peers, as the kernel measured its round trip."""
    poll = select.poll()
    open_sockets: dict[int, tuple[Peer, socket.socket, float]] = {}
    for peer in peers:
        opened = socket.socket(peer.family, socket.SOCK_STREAM)
        opened.setblocking(False)
        began = time.monotonic()
        if opened.connect_ex(peer.address) not in (0, errno.EINPROGRESS):
            opened.close()
            report(peer.name, began - start, None)
            continue
        open_sockets[opened.fileno()] = (peer, opened, began)
        poll.register(opened, select.POLLOUT)
    end = time.monotonic() + ANSWER_S
    while open_sockets and (left := end - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            peer, opened, began = open_sockets.pop(fd)
            poll.unregister(fd)
            with opened:
                milliseconds = None
                if opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                    if len(info) >= TCP_RETRANSMITTED + 4 and not struct.unpack_from("@I", info, TCP_RETRANSMITTED)[0]:
                        milliseconds = struct.unpack_from("@I", info, TCP_RTT)[0] / 1e3 or None
                report(peer.name, began - start, milliseconds)
    for peer, opened, began in open_sockets.values():
        opened.close()
        report(peer.name, began - start, None)


def main(probes: int, interval: float, targets: list[str]) -> None:
    """Measure and print."""
    peers = [peer for peer in map(resolve, targets) if peer]
    start = time.monotonic()
    echoes = Echoes(peers, start)
    for sequence in range(probes):
        echoes.send(sequence)
        if sequence < probes - 1:
            echoes.receive(start + (sequence + 1) * interval)
            sys.stdout.flush()
    echoes.finish()
    silent = [peer for peer in peers if peer.name not in echoes.answered]
    start = time.monotonic()
    for sequence in range(probes if silent else 0):
        connect_all(silent, start)
        sys.stdout.flush()
        if sequence < probes - 1:
            time.sleep(max(0.0, start + (sequence + 1) * interval - time.monotonic()))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])

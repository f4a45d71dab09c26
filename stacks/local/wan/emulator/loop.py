"""The emulated wide area network: one process that delays the packets between a testbed's hosts.

    TUN of a host --read--> route by destination --> delay line --when due--> write --> TUN of another host

Started as `python3 emulator.py --directory DIR`; needs nothing but the standard library. It detaches once it can be
reached at DIR/control, reads DIR/links.json at every `configure`, and writes DIR/metrics/wan.prom once a second.
It holds no state that outlives it: when it ends, its interfaces vanish from all hosts.

A delay line is a FIFO of packets that all wait equally long, so only the heads of lines need sorting. The operator
(the machine itself) is attached as well; its packets pass at once.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import gc
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn

HEADER = 10
"""Bytes of `struct virtio_net_hdr` before each packet (TUN/TAP documentation of the kernel, IFF_VNET_HDR)."""
SOURCE = slice(HEADER + 12, HEADER + 16)
DESTINATION = slice(HEADER + 16, HEADER + 20)
LARGEST = HEADER + 65535
BATCH = 16
"""Packets read from one host before others get their turn."""
SPIN_S = 20e-6
"""A wait shorter than this costs less as an empty poll than as a timer and a wake-up."""
QUEUE_BYTES = 512 << 20
"""Bytes in flight over all links; 2.5 Gb/s times 400 ms is a quarter of it."""
UPLINK_S = 0.1
"""How much an uplink of limited rate buffers, in seconds of its rate."""
JITTER_HOLD = 4.0
"""A link's jitter is drawn anew after this many standard deviations, so that keeping the order of packets does not
turn into the running maximum of the draws."""

TUNSETOFFLOAD = 0x400454D0
CHECKSUM, SEGMENTS = 0x01, 0x02 | 0x04 | 0x08
TIMER_ABSOLUTE = 1
BOUNDS_S = (1e-4, 2e-4, 3e-4, 5e-4, 7e-4, 1e-3, 1.5e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)
"""Upper bounds of the buckets of wan_lateness_seconds."""

_libc = ctypes.CDLL(None, use_errno=True)


class Line:
    """Packets that wait for the same time, first in first out: (due, file descriptor to write to, packet)."""

    __slots__ = ("delay", "jitter", "jitter_until", "last", "loss", "queue", "serial", "shift")

    def __init__(self, serial: int, delay: float, jitter: float = 0.0, loss: float = 0.0) -> None:
        self.serial = serial
        self.delay, self.jitter, self.loss = delay, jitter, loss
        self.queue: deque[tuple[float, int, bytes]] = deque()
        self.shift = self.jitter_until = self.last = 0.0

    def due(self, sent: float) -> float:
        """When a packet sent at `sent` arrives: delay and jitter, never before the one ahead of it."""
        if self.jitter and sent >= self.jitter_until:
            self.shift = max(random.gauss(0.0, self.jitter), -self.delay)
            self.jitter_until = sent + JITTER_HOLD * self.jitter
        self.last = max(self.last, sent + self.delay + self.shift)
        return self.last


class Port:
    """An attached host; the operator is the port without a region."""

    def __init__(self, name: str, region: str | None, address: str, fd: int) -> None:
        self.name, self.region, self.text, self.fd = name, region, address, fd
        self.address = socket.inet_aton(address)
        self.routes: dict[bytes, tuple[Line, int]] = {}
        self.free_at = 0.0
        """When the uplink will have sent all it was given."""
        self.behind = 0.0
        """Since when each read left packets waiting; 0 if the last one took all there was."""


class Emulator:
    """The event loop; `offload` switches segmentation offload of a TUN on or off."""

    def __init__(self, directory: Path, offload: Callable[[int, bool], None], report: Callable[[bytes], None]) -> None:
        self.directory, self.offload, self.report = directory, offload, report
        self.ports: dict[int, Port] = {}
        self.operator: Port | None = None
        self.heads: list[tuple[float, int, Line]] = []
        self.lines: dict[tuple[Any, ...], Line] = {}
        self.serial = 0
        self.links: dict[str, Any] = {"rtt_ms": {}, "loss": 0.0, "jitter_ms": 0.0, "bandwidth_mbps": None}
        self.impaired, self.segments, self.rate = False, True, 0.0
        self.packets_in = self.bytes_in = self.packets_out = self.bytes_out = 0
        self.bytes_discarded = 0
        self.dropped: Counter[str] = Counter()
        self.late = [0] * (len(BOUNDS_S) + 1)
        self.late_sum = 0.0
        self.epoll = select.epoll()
        self.timer = _libc.timerfd_create(1, os.O_NONBLOCK | os.O_CLOEXEC)
        self.epoll.register(self.timer, select.EPOLLIN | select.EPOLLET)
        self.control: Control | None = None

    # The hot path: receive, deliver, step.

    def receive(self, port: Port) -> None:
        """Read what a host has sent, at most BATCH packets, and queue it."""
        fd, address, routes, heads, impaired = port.fd, port.address, port.routes, self.heads, self.impaired
        read, now, size, count = os.read, monotonic(), 0, 0
        full = self.bytes_in - self.bytes_out - self.bytes_discarded > QUEUE_BYTES
        for _ in range(BATCH):
            try:
                packet = read(fd, LARGEST)
            except BlockingIOError:
                port.behind = 0.0
                break
            except OSError:
                self.detach(port)
                break
            route = routes.get(packet[DESTINATION])
            if route is None or full or packet[SOURCE] != address:
                self._leave(port, packet, full)
                continue
            line, out = route
            due = self._impair(port, line, len(packet), now) if impaired else now + line.delay
            if due is None:
                continue
            if not line.queue:
                heapq.heappush(heads, (due, line.serial, line))
            line.queue.append((due, out, packet))
            size += len(packet)
            count += 1
        else:
            self._fall_behind(port, now)
        self.bytes_in += size
        self.packets_in += count

    def _impair(self, port: Port, line: Line, size: int, now: float) -> float | None:
        """When a packet is due over a link with a rate, loss or jitter; None if it is dropped."""
        if self.rate:
            port.free_at = max(port.free_at, now)
            if port.free_at - now > max(UPLINK_S, 65536 / self.rate):
                self.dropped["uplink"] += 1
                return None
            now = port.free_at = port.free_at + (size - HEADER) / self.rate
        if line.loss and random.random() < line.loss:
            self.dropped["loss"] += 1
            return None
        return line.due(now)

    def _fall_behind(self, port: Port, now: float) -> None:
        """Count as lateness how long a host's packets may have waited to be read; their delay begins only then."""
        if port.behind:
            self.late[bisect_left(BOUNDS_S, now - port.behind)] += 1
            self.late_sum += now - port.behind
        else:
            port.behind = now

    def deliver(self, now: float) -> None:
        """Write every packet that is due at `now`."""
        heads, late, write, clock = self.heads, self.late, os.write, monotonic
        late_sum, size, count = 0.0, 0, 0
        while heads and heads[0][0] <= now:
            line = heads[0][2]
            queue = line.queue
            while queue and queue[0][0] <= now:
                due, out, packet = queue.popleft()
                try:
                    size += write(out, packet)
                except OSError:
                    self.bytes_discarded += len(packet)
                    self.dropped["unreachable"] += 1
                    continue
                lateness = clock() - due
                late[bisect_left(BOUNDS_S, lateness)] += 1
                late_sum += lateness
                count += 1
            if queue:
                heapq.heapreplace(heads, (queue[0][0], line.serial, line))
            else:
                heapq.heappop(heads)
        self.late_sum += late_sum
        self.bytes_out += size
        self.packets_out += count

    def run(self) -> NoReturn:
        """Serve until the process is killed."""
        heads, ports, clock = self.heads, self.ports, monotonic
        armed, next_report = 0.0, clock()
        while True:
            now = clock()
            if heads and heads[0][0] <= now:
                self.deliver(now)
                now = clock()
            busy = bool(heads) and heads[0][0] - now < 1e-3
            if now >= next_report and (not busy or now > next_report + 0.5):
                self.report(self.metrics().encode())
                next_report = now + 1.0
            due = heads[0][0] if busy else min(next_report, heads[0][0]) if heads else next_report
            spin = due - now < SPIN_S
            if not spin and due != armed:
                self._arm(due)
                armed = due
            for fd, _ in self.epoll.poll(0 if spin else -1):
                port = ports.get(fd)
                if port is None:
                    self._serve(fd)
                elif port is self.operator:
                    self.receive_operator(port)
                else:
                    self.receive(port)
                if heads and heads[0][0] <= clock():
                    self.deliver(clock())

    def _arm(self, due: float) -> None:
        whole, part = divmod(due, 1.0)
        spec = struct.pack("@4q", 0, 0, int(whole), int(part * 1e9) or 1)
        _libc.timerfd_settime(self.timer, TIMER_ABSOLUTE, spec, None)

    # Packets that leave the network or must not pass.

    def _leave(self, port: Port, packet: bytes, full: bool = False) -> None:
        """Hand a host's packet to the operator or count why it is dropped."""
        destination, operator = packet[DESTINATION], self.operator
        if packet[SOURCE] != port.address:
            self.dropped["source"] += 1
        elif operator and (destination == operator.address or (self.links.get("internet") and _outside(destination))):
            self._write(operator.fd, packet)
        else:
            self.dropped["queue" if full and destination in port.routes else "destination"] += 1

    def receive_operator(self, port: Port) -> None:
        """Pass what the machine sends to hosts; other testbeds' packets are dropped."""
        for _ in range(BATCH):
            try:
                packet = os.read(port.fd, LARGEST)
            except BlockingIOError:
                break
            except OSError:
                self.detach(port)
                break
            source = packet[SOURCE]
            target = port.routes.get(packet[DESTINATION])
            if source != port.address and _benchmark(source):
                self.dropped["source"] += 1
            elif target is None:
                self.dropped["destination"] += 1
            else:
                self._write(target[1], packet)

    def _write(self, fd: int, packet: bytes) -> None:
        try:
            os.write(fd, packet)
        except OSError:
            self.dropped["unreachable"] += 1

    # Ports and routes.

    def attach(self, port: Port) -> None:
        """Add a host, or the operator; one of the same name is replaced. ValueError if the region has no links."""
        if port.region and f"{port.region}/{port.region}" not in self.links["rtt_ms"]:
            known = sorted({name for pair in self.links["rtt_ms"] for name in pair.split("/")})
            raise ValueError(f"region {port.region!r} has no links; regions with links: {', '.join(known) or 'none'}")
        for other in list(self.ports.values()):
            if other.name == port.name:
                self.detach(other)
        if port.region is None:
            self.operator = port
        else:
            self.offload(port.fd, self.segments)
        os.set_blocking(port.fd, False)
        for other in self.ports.values():
            self._connect(port, other)
            self._connect(other, port)
        self.ports[port.fd] = port
        self.epoll.register(port.fd, select.EPOLLIN)

    def detach(self, port: Port) -> None:
        """Forget a host and what is on its way to it."""
        self.epoll.unregister(port.fd)
        del self.ports[port.fd]
        if port is self.operator:
            self.operator = None
        for other in self.ports.values():
            other.routes.pop(port.address, None)
        for _, _, line in self.heads:
            kept = [entry for entry in line.queue if entry[1] != port.fd]
            self.bytes_discarded += sum(len(entry[2]) for entry in line.queue) - sum(len(entry[2]) for entry in kept)
            self.dropped["detached"] += len(line.queue) - len(kept)
            line.queue.clear()
            line.queue.extend(kept)
        self.heads[:] = [(line.queue[0][0], line.serial, line) for _, _, line in self.heads if line.queue]
        heapq.heapify(self.heads)
        os.close(port.fd)

    def configure(self, links: dict[str, Any]) -> None:
        """Take over a new matrix and new impairments; packets under way keep the time they were given."""
        attached = {port.region for port in self.ports.values() if port.region}
        missing = sorted(region for region in attached if f"{region}/{region}" not in links["rtt_ms"])
        if missing:
            raise ValueError(f"hosts are attached in {', '.join(missing)}, which the new links leave out")
        self.links, self.lines = links, {}
        self.rate = (links["bandwidth_mbps"] or 0.0) * 125e3  # bytes/s
        self.segments = not (links["loss"] or self.rate)  # a lost segment would be 45 lost packets
        self.impaired = bool(not self.segments or links["jitter_ms"])
        for port in self.ports.values():
            if port.region:
                self.offload(port.fd, self.segments)
            for other in self.ports.values():
                if port is not other:
                    self._connect(port, other)

    def _connect(self, port: Port, other: Port) -> None:
        """Route packets from `port` to `other`; equal delays share a line unless links are impaired."""
        if other.region is None:
            return
        region = port.region or other.region
        delay = self.links["rtt_ms"]["/".join(sorted((region, other.region)))] / 2e3
        between = region != other.region
        key = (port.name, other.region) if self.impaired else (delay,)
        line = self.lines.get(key)
        if line is None:
            self.serial += 1
            jitter, loss = (self.links["jitter_ms"] / 1e3, self.links["loss"]) if between else (0.0, 0.0)
            line = self.lines[key] = Line(self.serial, delay, jitter, loss)
        port.routes[other.address] = (line, other.fd)

    # Control and metrics.

    def _serve(self, fd: int) -> None:
        if self.control and fd != self.timer:
            self.control.serve(fd)

    def command(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        """Carry out a control request; ValueError says what was wrong with it."""
        name = request.get("command")
        if name == "configure":
            self.configure(json.loads((self.directory / "links.json").read_text(encoding="utf-8")))
        elif name == "attach" and len(fds) == 1:
            self.attach(Port(request["host"], request["region"], request["address"], fds[0]))
            fds.clear()  # the port has it now
        elif name == "detach":
            for port in [port for port in self.ports.values() if port.name == request["host"]]:
                self.detach(port)
        elif name != "status":
            raise ValueError(f"unknown request {name!r} with {len(fds)} file descriptors")
        hosts = {port.name: port.text for port in self.ports.values() if port.region}
        return {"hosts": hosts, "operator": self.operator is not None, "dropped": self.dropped}

    def metrics(self) -> str:
        """Write the counters in Prometheus' text format."""
        lines = ["# TYPE wan_lateness_seconds histogram"]
        total = 0
        for bound, count in zip((*BOUNDS_S, "+Inf"), self.late, strict=True):
            total += count
            lines.append(f'wan_lateness_seconds_bucket{{le="{bound}"}} {total}')
        lines += [f"wan_lateness_seconds_sum {self.late_sum:.6f}", f"wan_lateness_seconds_count {total}"]
        lines += ["# TYPE wan_packets_total counter", f"wan_packets_total {self.packets_out}"]
        lines += ["# TYPE wan_bytes_total counter", f"wan_bytes_total {self.bytes_out - HEADER * self.packets_out}"]
        lines.append("# TYPE wan_dropped_packets_total counter")
        lines += [f'wan_dropped_packets_total{{reason="{reason}"}} {n}' for reason, n in sorted(self.dropped.items())]
        return "\n".join(lines) + "\n"


class Control:
    """The control socket: a request and a reply are one JSON message each; `attach` brings a TUN (SCM_RIGHTS)."""

    def __init__(self, emulator: Emulator, listener: socket.socket) -> None:
        self.emulator, self.listener = emulator, listener
        self.clients: dict[int, socket.socket] = {}
        emulator.control = self
        emulator.epoll.register(listener.fileno(), select.EPOLLIN)

    def serve(self, fd: int) -> None:
        """Accept a connection or answer the one that `fd` is."""
        if fd == self.listener.fileno():
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

    def _answer(self, text: bytes, fds: list[int]) -> dict[str, Any]:
        try:
            return self.emulator.command(json.loads(text), fds)
        except Exception as error:  # no request may end the network of a running testbed
            return {"error": f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else f"{error}"}
        finally:
            for fd in fds:
                os.close(fd)


def set_offload(fd: int, segments: bool) -> None:
    """Let a TUN hand over TCP segments of up to 64 KB, or only what fits its MTU."""
    fcntl.ioctl(fd, TUNSETOFFLOAD, CHECKSUM | (SEGMENTS if segments else 0))


def _benchmark(address: bytes) -> bool:
    """Whether an address lies in 198.18.0.0/15 (RFC 2544)."""
    return address[:1] == b"\xc6" and address[1:2] in (b"\x12", b"\x13")


def _outside(address: bytes) -> bool:
    """Whether an address is neither a testbed's nor multicast."""
    return len(address) == 4 and address[0] < 224 and not _benchmark(address)


def writer(path: Path) -> Callable[[bytes], None]:
    """Start a process that writes what it is handed to `path`, so that a slow disk delays no packet."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        mine.close()
        partial = path.with_suffix(".partial")
        while text := its.recv(65536):
            partial.write_bytes(text)
            partial.replace(path)
        os._exit(0)
    its.close()
    mine.setblocking(False)

    def report(text: bytes) -> None:
        with contextlib.suppress(OSError):
            mine.send(text)

    return report


def run_first() -> str:
    """Ask the scheduler to run this process before all others; return what was granted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        return "real-time priority 10"
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)
        return f"no real-time priority, nice {os.getpriority(os.PRIO_PROCESS, 0)}"


def detach_from_starter(log: Path) -> None:
    """Become a daemon; standard output and error go to `log`. Only the daemon returns."""
    if os.fork():
        os._exit(0)
    os.setsid()
    for target, flags, fds in ((os.devnull, os.O_RDONLY, (0,)), (log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, (1, 2))):
        opened = os.open(target, flags, 0o600)
        for fd in fds:
            os.dup2(opened, fd)
        os.close(opened)


def main() -> NoReturn:
    """Serve the testbed whose network lives in --directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True)
    directory: Path = parser.parse_args().directory.resolve()
    os.chdir(directory)  # relative names keep the socket's path within its 108 bytes
    Path("metrics").mkdir(exist_ok=True)
    Path("control").unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind("control")
    Path("control").chmod(0o600)
    listener.listen(64)
    listener.setblocking(False)
    detach_from_starter(directory / "emulator.log")
    emulator = Emulator(directory, set_offload, writer(directory / "metrics" / "wan.prom"))
    Control(emulator, listener)
    started = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    Path("emulator.pid").write_text(f"{os.getpid()} {started}\n", encoding="utf-8")
    gc.disable()
    print(f"serving {directory}: {run_first()}", file=sys.stderr, flush=True)
    emulator.run()


if __name__ == "__main__":
    main()

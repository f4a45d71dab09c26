"""The event loop: reads packets from hosts, and writes each to its receiver when it is due.

A delay line is a queue of packets with equal delay, so only the heads of the lines need sorting. The operator (the
machine itself) is attached as well; its packets pass without delay.
"""

from __future__ import annotations

import ctypes
import heapq
import os
import select
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic, sleep, time
from typing import NoReturn

from .impairments import Jitter, Loss, Pacer, Trace
from .keeper import Journal
from .links import Line, Links, Port
from .metrics import BOUNDS_S, Counters
from .packets import DESTINATION, HEADER, LARGEST, SOURCE, is_benchmark, is_internet

BATCH = 32
"""Packets read from one host before others get their turn."""
TICK_S = 100e-6
"""Time between two rounds that follow each other closely: the fewer rounds, the less each packet costs. Their packets
count as sent in the middle, and are delivered up to half a tick before they are due, so delays stay right on average
and within half a tick."""
REPORT_S = 1.0
"""Time between two reports of metrics."""
QUEUE_BYTES = 512 << 20
"""Limit of bytes in flight over the links of a worker, half of it if there are eight; 2.5 Gb/s times 400 ms is a
quarter of it."""
_TIMER_ABSOLUTE = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Emulator:
    """Moves the packets of attached hosts, or as worker `index` of `workers` those that its share of the hosts sends.

    `offload` switches segmentation offload of a TUN on or off, `report` publishes metrics about once a second,
    `on_control` is called with every readable file descriptor that is not a host's.
    """

    def __init__(
        self,
        offload: Callable[[int, bool], None],
        report: Callable[[Counters], None],
        index: int = 0,
        workers: int = 1,
    ) -> None:
        self.offload, self.report = offload, report
        self.index, self.workers = index, workers
        self.on_control: Callable[[int], None] = lambda _fd: None
        self.journal: Journal | None = None
        self.unchanged_since = time()
        self.identity = f"{os.getpid()} {self.unchanged_since}"
        self.ports: dict[int, Port] = {}
        self.operator: Port | None = None
        self.heads: list[tuple[float, int, Line]] = []
        self.lines: dict[tuple[str, str] | float, Line] = {}
        self.serial = 0
        self.links = Links(directions={}, bandwidth_mbps=None, internet=False, trace=None)
        self.traces: Mapping[str, Trace] = {}
        self.packets_in = self.bytes_in = self.packets_out = self.bytes_out = 0
        self.bytes_discarded = 0
        self.dropped: Counter[str] = Counter()
        self.late = [0] * (len(BOUNDS_S) + 1)
        self.late_sum = 0.0
        self.epoll = select.epoll()
        self.timer: int = _libc.timerfd_create(1, os.O_NONBLOCK | os.O_CLOEXEC)
        self.epoll.register(self.timer, select.EPOLLIN | select.EPOLLET)

    # The hot path: receive, deliver, run. A call or an attribute more for each packet costs throughput.

    def receive(self, port: Port, now: float) -> None:
        """Read and queue what a host has sent at `now`, at most BATCH packets."""
        fd, address, routes, heads, impaired = port.fd, port.address, port.routes, self.heads, port.impaired
        read, size, count = os.read, 0, 0
        full = self.bytes_in - self.bytes_out - self.bytes_discarded > QUEUE_BYTES // max(1, self.workers // 4)
        for _ in range(BATCH):
            try:
                packet = read(fd, LARGEST)
            except BlockingIOError:
                port.behind = 0.0
                break
            except OSError:
                self.lose(port)
                break
            route = routes.get(packet[DESTINATION])
            if route is None or full or packet[SOURCE] != address:
                self._pass_or_drop(port, packet, full)
                continue
            line, out = route
            if impaired:
                found = self._impair(port, line, len(packet), now)
                if found is None:
                    continue
                due, line = found
            else:
                due = now + line.delay
            if not line.queue:
                heapq.heappush(heads, (due, line.serial, line))
            line.queue.append((due, out, packet))
            size += len(packet)
            count += 1
        else:
            # More may be waiting: their delay starts only when they are read, so the wait counts as behind schedule.
            if port.behind:
                self.late[bisect_left(BOUNDS_S, now - port.behind)] += 1
                self.late_sum += now - port.behind
            else:
                port.behind = now
        self.bytes_in += size
        self.packets_in += count

    def _impair(self, port: Port, line: Line, size: int, now: float) -> tuple[float, Line] | None:
        """Return when a packet is due, and the line to queue it in; None if it is dropped."""
        for pacer, reason in ((port.uplink, "uplink"), (line.pacer, "rate")):
            if pacer is not None:
                sent = pacer.departure(now, size - HEADER)
                if sent is None:
                    self.dropped[reason] += 1
                    return None
                now = sent
        if line.loss is not None and line.loss.loses():
            self.dropped["loss"] += 1
            return None
        due = line.due(now)
        if line.jitter is not None and line.jitter.reorder:
            self.serial += 1
            line = Line(self.serial, 0.0)  # a queue keeps its order, so this packet has one to itself
        return due, line

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
        heads, ports, timer, clock = self.heads, self.ports, self.timer, monotonic
        armed, polled, next_report = 0.0, clock(), clock()
        crowded = False
        while True:
            now = clock()
            busy = bool(heads) and heads[0][0] - now < 1e-3
            if now >= next_report and (not busy or now > next_report + 0.5):
                self.report(self.counters())
                next_report = now + REPORT_S
            if crowded:
                sleep(max(polled + TICK_S - clock(), 0.0))
            else:
                due = heads[0][0] if busy else min(next_report, heads[0][0]) if heads else next_report
                if due != armed or armed <= now:  # a timer that has fired does not fire again
                    whole, part = divmod(due, 1.0)
                    spec = struct.pack("@4q", 0, 0, int(whole), int(part * 1e9) or 1)
                    _libc.timerfd_settime(timer, _TIMER_ABSOLUTE, spec, None)
                    armed = due
            events = self.epoll.poll(0 if crowded else -1)
            before, polled = polled, clock()
            since = polled - before
            sent = polled - min(since, TICK_S) / 2 if crowded else polled
            for fd, _ in events:
                port = ports.get(fd)
                if port is None:
                    if fd != timer:
                        self.on_control(fd)
                elif port is self.operator:
                    self.receive_operator(port)
                else:
                    self.receive(port, sent)
                    if heads and heads[0][0] <= clock():
                        self.deliver(clock())
            early = clock() + TICK_S / 2
            work = bool(events)
            if heads and heads[0][0] <= early:
                self.deliver(early)
                work = True
            if crowded and since > 2 * TICK_S:
                self.late[bisect_left(BOUNDS_S, since - TICK_S)] += 1
                self.late_sum += since - TICK_S
            crowded = work and since < 2 * TICK_S

    # Packets that leave the network or are dropped.

    def _pass_or_drop(self, port: Port, packet: bytes, full: bool) -> None:
        """Hand a host's packet to the operator, or count why it is dropped."""
        destination, operator = packet[DESTINATION], self.operator
        if packet[SOURCE] != port.address:
            self.dropped["source"] += 1
        elif operator and (destination == operator.address or (self.links["internet"] and is_internet(destination))):
            self._write(operator.fd, packet)
        else:
            self.dropped["queue" if full and destination in port.routes else "destination"] += 1

    def receive_operator(self, port: Port) -> None:
        """Pass packets from the machine to hosts; drop those from other testbeds."""
        for _ in range(BATCH):
            try:
                packet = os.read(port.fd, LARGEST)
            except BlockingIOError:
                break
            except OSError:
                self.lose(port)
                break
            source = packet[SOURCE]
            target = port.routes.get(packet[DESTINATION])
            if source != port.address and is_benchmark(source):
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
        """Add a host or the operator, replacing one of the same name. ValueError if the region has no links."""
        if port.region and f"{port.region}->{port.region}" not in self.links["directions"]:
            known = sorted({name.partition("->")[0] for name in self.links["directions"]})
            raise ValueError(f"region {port.region!r} has no links; regions with links: {', '.join(known) or 'none'}")
        for other in list(self.ports.values()):
            if other.name == port.name:
                self.detach(other)
        if port.region is None:
            self.operator = port
        else:
            self._configure_port(port)
        os.set_blocking(port.fd, False)
        for other in self.ports.values():
            self._connect(port, other)
            self._connect(other, port)
        self.ports[port.fd] = port
        if self._sends_here(port):
            self.epoll.register(port.fd, select.EPOLLIN)

    def _sends_here(self, port: Port) -> bool:
        """Whether this worker moves what a host sends; so packets between two hosts keep their order."""
        return port.address[-1] % self.workers == self.index

    def lose(self, port: Port) -> None:
        """Remove a host whose interface has ended."""
        self.detach(port)
        if self.journal:
            self.journal.detached(port)

    def detach(self, port: Port) -> None:
        """Remove a host, and discard the packets on their way to it."""
        if self._sends_here(port):
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

    def configure(self, links: Links, traces: Mapping[str, Trace]) -> None:
        """Apply new links; packets in flight keep their delivery time. ValueError if attached hosts lose theirs."""
        attached = {port.region for port in self.ports.values() if port.region}
        missing = sorted(region for region in attached if f"{region}->{region}" not in links["directions"])
        if missing:
            raise ValueError(f"hosts are attached in {', '.join(missing)}, which the new links leave out")
        known = {name: links["directions"].get(name) for name in self.links["directions"]}
        if attached and {**links, "directions": known} != self.links:
            self.unchanged_since = time()
        self.links, self.traces, self.lines = links, traces, {}
        for port in self.ports.values():
            if port.region:
                self._configure_port(port)
            for other in self.ports.values():
                if port is not other:
                    self._connect(port, other)

    def _configure_port(self, port: Port) -> None:
        """Set what all packets of a host have in common."""
        rate, outgoing = self.links["bandwidth_mbps"], f"{port.region}->"
        mine = {name: each for name, each in self.links["directions"].items() if name.startswith(outgoing)}
        port.uplink = Pacer(rate * 125e3) if rate else None
        port.impaired = bool(rate or any(len(each) > 1 or name in self.traces for name, each in mine.items()))
        # A lost segment would be 45 lost packets.
        self.offload(port.fd, not (rate or any("loss" in each or "rate_mbps" in each for each in mine.values())))

    def _connect(self, port: Port, other: Port) -> None:
        """Route packets from `port` to `other`; equal delays share a line unless the sender's links are impaired."""
        if other.region is None:
            return
        name = f"{port.region or other.region}->{other.region}"
        link = self.links["directions"][name]
        key = (port.name, other.region) if port.impaired else link["delay_ms"]
        line = self.lines.get(key)
        if line is None:
            self.serial += 1
            line = self.lines[key] = Line(self.serial, link["delay_ms"] / 1e3)
            if port.impaired:
                line.trace = self.traces.get(name)
                if "jitter_ms" in link:
                    reorder = link.get("reorder", False)
                    line.jitter = Jitter(link["jitter_ms"] / 1e3, link.get("distribution", "normal"), reorder)
                if "loss" in link:
                    line.loss = Loss(link["loss"], link.get("mean_burst", 1.0))
                if "rate_mbps" in link:
                    line.pacer = Pacer(link["rate_mbps"] * 125e3)
        port.routes[other.address] = (line, other.fd)

    def counters(self) -> Counters:
        """Return what this worker has counted."""
        return Counters(
            worker=self.identity,
            unchanged_since=self.unchanged_since,
            packets=self.packets_out,
            bytes=self.bytes_out - HEADER * self.packets_out,
            late=self.late,
            late_sum=self.late_sum,
            dropped=self.dropped,
        )

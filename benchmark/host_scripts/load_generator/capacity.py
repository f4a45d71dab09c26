"""Decide how many processes a load requires."""

from __future__ import annotations

import os
import socket
from math import ceil
from time import monotonic, process_time

from .config import Config
from .hdr import Recorder
from .http import Target
from .loop import READ, Loop, Stream
from .metrics import Metrics

_ALWAYS_POSSIBLE = 1000.0
"""Requests/s that one process can send on any host, so that most generators start without a measurement."""
_SPARE = 2.0
"""Factor on the measured cost, because requests that are due alone cost more than the measured ones, several at a time.

One process sends 60,000 requests/s with a p99 scheduling delay below 1 ms (tools/performance/load_generator.py) where
the cost measured here is 19 µs. Half of that remains where other processes use the same processors.
"""
_WARM_UP, _MEASURED, _IN_FLIGHT = 100, 400, 8


def required_processes(config: Config) -> int:
    """Return the configured number of processes, or as many as the peak of the load requires, at most one per CPU."""
    if config.processes:
        return config.processes
    if config.peak_rate <= _ALWAYS_POSSIBLE:
        return 1
    required = ceil(config.peak_rate * _cpu_per_request(config) * _SPARE)
    return min(required, len(os.sched_getaffinity(0)), config.max_connections)


class _Server(Stream):
    """A connection on which each request is answered at once."""

    __slots__ = ("_left",)

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        sock.setblocking(False)
        super().__init__(loop, sock, READ)
        self._left = 0

    def on_event(self, events: int) -> None:
        """Read a part of a request; answer it if it is complete."""
        data = self.read()
        if data is None:
            return
        if not data:
            self.close()
            return
        if not self._left:
            head, _, data = data.partition(b"\r\n\r\n")
            self._left = int(head.rpartition(b" ")[2])
        self._left -= len(data)
        if not self._left:
            self.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


def _accept(loop: Loop, listener: socket.socket) -> None:
    _Server(loop, listener.accept()[0])


def _cpu_per_request(config: Config) -> float:
    """Return the CPU time in s to send a request and handle its response, and of a minimal server."""
    loop, recorder = Loop(), Recorder(lambda number, interval: None)
    metrics = Metrics([workload.name for workload in config.workloads], config.timeout_s, recorder)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        loop.watch(listener.fileno(), lambda _: _accept(loop, listener))
        address = (listener.family, listener.getsockname())
        target = Target(loop, metrics, address, timeout_s=60.0, max_connections=_IN_FLIGHT)
        sequence, began = 0, 0.0
        while sequence < _WARM_UP + _MEASURED:
            if sequence == _WARM_UP:
                began = process_time()
            for _ in range(_IN_FLIGHT // 2):
                workload = config.workloads[sequence % len(config.workloads)]
                target.submit(monotonic(), sequence, workload, workload.targets[0][2])
                sequence += 1
            while metrics.inflight:
                loop.run_once(1.0)
        return (process_time() - began) / _MEASURED

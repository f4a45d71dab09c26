"""Send the requests of one process."""

from __future__ import annotations

import gc
from bisect import bisect_right
from itertools import accumulate
from math import gcd, inf
from random import Random
from time import monotonic

from .channel import Channel
from .config import Config, Workload
from .hdr import Interval, Recorder
from .http import Address, Target
from .loop import Loop
from .metrics import Metrics

Route = tuple[Target, Workload, bytes]
"""What a request is sent to, its kind, and its first bytes."""


class Worker:
    """Send every `count`-th request of the schedule, beginning with number `index`, when it is due.

    Messages of the generator: `start` and when the schedule begins, `samples`, and `stop` and when to give up requests
    without outcome. The worker sends `samples` with the current metrics, `interval` with the histograms of 0.1 s, and
    finally `end` with the metrics. All times are those of the monotonic clock, which all processes share.
    """

    def __init__(
        self, config: Config, addresses: dict[tuple[str, int], Address], channel: Channel, index: int, count: int
    ) -> None:
        self._config, self._channel, self._count = config, channel, count
        self._loop = Loop()
        logs = bool(config.latency_log)
        recorder = Recorder(self._send_interval if logs else None, every=logs and count > 1)
        self._metrics = Metrics([workload.name for workload in config.workloads], config.timeout_s, recorder)
        turns = len(config.workloads[0].targets)
        # Of the processes that use a target, this one has rank `rank`: requests take turns between targets.
        users, rank = count // gcd(count, turns), index // gcd(count, turns)
        connections = (config.max_connections + users - 1 - rank) // users
        self._targets = {
            key: Target(self._loop, self._metrics, address, timeout_s=config.timeout_s, max_connections=connections)
            for key, address in addresses.items()
        }
        self._routes: list[list[Route]] = [
            [
                (self._targets[host, port], workload, head)
                for workload in config.workloads
                for host, port, head in workload.targets[turn : turn + 1]
            ]
            for turn in range(turns)
        ]
        self._weights = list(accumulate(workload.weight for workload in config.workloads))
        self._random = Random(config.seed + (index << 32))
        for workload in config.workloads:
            workload.body.seed(self._random.getrandbits(64))
        self._next = index
        self._started = self._next_due = self._end = inf
        self._loop.watch(channel.fileno(), self._on_messages)

    def run(self) -> None:
        """Send requests until stopped; EOFError or OSError if the generator has ended."""
        gc.disable()  # nothing below creates reference cycles, and a collection would delay requests
        metrics, targets, schedule, count = self._metrics, [*self._targets.values()], self._config.schedule, self._count
        intervals = metrics.intervals
        while True:
            now = monotonic()
            while self._next_due <= now:
                sequence, due = self._next, self._next_due
                self._next = sequence + count
                self._next_due = self._started + schedule.due(self._next)
                metrics.due += 1
                target, workload, head = self._route(sequence)
                target.submit(due, sequence, workload, head)
            if now >= intervals.end:
                intervals.close()
            if now >= self._end or (self._end < inf and not metrics.inflight):
                break
            wake = min(self._next_due, self._end, intervals.wake)
            for target in targets:
                wake = min(wake, target.expire(now))
            self._loop.run_once(wake - monotonic())
        for target in targets:
            target.give_up()
        intervals.close()
        self._channel.wait()
        self._channel.send("end", samples=metrics.samples())

    def _send_interval(self, number: int, interval: Interval) -> None:
        self._channel.send("interval", number, interval=interval)

    def _route(self, sequence: int) -> Route:
        routes = self._routes[sequence % len(self._routes)]
        if len(routes) == 1:
            return routes[0]
        return routes[bisect_right(self._weights, self._random.random() * self._weights[-1])]

    def _on_messages(self, events: int) -> None:
        for kind, number, _, _ in self._channel.receive():
            if kind == "samples":
                self._channel.send("samples", samples=self._metrics.samples())
            elif kind == "start":
                self._started = number
                self._next_due = self._started + self._config.schedule.due(self._next)
            else:
                self._end, self._next_due = number, inf
                for target in self._targets.values():
                    target.stop()

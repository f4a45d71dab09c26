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
from .hdr import Recorder
from .http import Address, Target
from .loop import Loop
from .metrics import Metrics

_MOST_PRELOADING = 64
"""Requests in flight while keys are written before the load."""

Route = tuple[Target, Workload, bytes]
"""What a request is sent to, its kind, and its first bytes."""


class PreloadError(Exception):
    """Requests before the load failed."""


class Worker:
    """Send every `count`-th request of the schedule, beginning with number `index`, when it is due.

    First it sends the requests that write all keys, if the configuration has any, and then `samples`.

    Messages of the generator: `start` and when the schedule begins, `samples`, and `stop` and when to give up requests
    without outcome. The worker sends `samples` with the current metrics, `interval` with the histograms of 0.1 s, and
    finally `end` with the metrics. All times are those of the monotonic clock, which all processes share.
    """

    def __init__(
        self, config: Config, addresses: dict[tuple[str, int], Address], channel: Channel, index: int, count: int
    ) -> None:
        self._config, self._channel, self._index, self._count = config, channel, index, count
        self._addresses = addresses
        self._loop = Loop()
        logs = bool(config.latency_log)
        recorder = Recorder(channel.send_interval if logs else None, every=logs and count > 1)
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
        """Send requests until stopped; PreloadError, or EOFError or OSError if the generator has ended."""
        self._preload()
        self._channel.send("samples", samples=self._metrics.samples())
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

    def _preload(self) -> None:
        """Send the requests that write this process's share of all keys, outside all metrics."""
        for workload, keys in filter(None, [workload.preload for workload in self._config.workloads]):
            metrics = Metrics([workload.name], self._config.timeout_s, Recorder(None))
            host, port, head = workload.targets[0]
            target = Target(
                self._loop,
                metrics,
                self._addresses[host, port],
                timeout_s=self._config.timeout_s,
                max_connections=min(_MOST_PRELOADING, self._config.max_connections),
            )
            left = iter(keys[self._index :: self._count])
            key = next(left, None)
            while self._end == inf and (key is not None or metrics.inflight):
                while key is not None and metrics.inflight < _MOST_PRELOADING:
                    target.submit(monotonic(), key, workload, head)
                    key = next(left, None)
                self._loop.run_once(min(target.expire(monotonic()) - monotonic(), 1.0))
                if failed := ", ".join(f"{count} {kind}" for kind, count in metrics.errors.items() if count):
                    raise PreloadError(f"could not write all keys before the load: {workload.name}: {failed}")
            target.close()

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

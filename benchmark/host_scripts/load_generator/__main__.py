"""Run a load generator: `python3 load_generator.pyz --config FILE`."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import signal
import socket
import sys
from contextlib import suppress
from math import inf, isfinite
from time import monotonic, time

from .config import Config, ConfigError
from .hdr import LogWriter
from .http import Scrape, Target
from .loop import READ, Loop
from .metrics import Metrics

GRACE_S = 0.5
"""Time that requests in flight have to complete after SIGTERM."""


class Generator:
    """Wait for `go`, send requests when they are due, stop at SIGTERM."""

    def __init__(self, config: Config) -> None:
        log = LogWriter(config.latency_log).write if config.latency_log else None
        self._config, self._loop, self._metrics = config, Loop(), Metrics(config.workload, config.timeout_s, log)
        self._targets = [Target(self._loop, self._metrics, config, *target) for target in config.targets]
        self._wakeup, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._loop.watch(self._wakeup, self._stop)
        self._listener = self._listen()
        self._next_due = self._end = inf
        self._input = b""

    def run(self) -> None:
        """Serve metrics and send load until stopped; ConfigError if standard input is anything but `go`."""
        if self._config.start_now:
            self._start_load(time())
        else:
            try:
                self._loop.watch(0, self._on_input)
            except PermissionError:  # a regular file: epoll cannot watch it, but it never blocks
                while self._next_due == inf == self._end:
                    self._on_input(READ)
        gc.disable()  # nothing below creates reference cycles, and a collection would delay requests
        metrics, targets, schedule = self._metrics, self._targets, self._config.schedule
        intervals = metrics.intervals
        while True:
            now = monotonic()
            while self._next_due <= now:
                sequence = metrics.due
                metrics.due += 1
                targets[sequence % len(targets)].submit(self._next_due, sequence)
                self._next_due = metrics.started + schedule.due(metrics.due)
            if now >= intervals.end:
                intervals.close()
            if now >= self._end or (self._end < inf and not metrics.inflight):
                break
            wake = min(self._next_due, self._end, *[target.expire(now) for target in targets])
            if not intervals.empty:
                wake = min(wake, intervals.end)
            self._loop.run_once(wake - monotonic())
        for target in targets:
            target.give_up()
        intervals.close()

    def _start_load(self, start: float) -> None:
        """Begin the schedule at a Unix time, or now if that has passed."""
        delay, first = max(0.0, start - time()), self._config.schedule.due(0)
        self._metrics.started = monotonic() + delay
        self._metrics.start_time = time() + delay + first if isfinite(first) else 0.0
        self._next_due = self._metrics.started + first

    def _stop(self, _: int) -> None:
        self._loop.forget(self._wakeup)
        if self._end == inf:
            now = monotonic()
            self._metrics.stopped, self._end, self._next_due = now, now + GRACE_S, inf
            for target in self._targets:
                target.stop()

    def _on_input(self, events: int) -> None:
        data = os.read(0, 4096)
        self._input += data
        line, newline, _ = self._input.partition(b"\n")
        if newline:
            found = re.fullmatch(rb"go(?:\s+(\d+(?:\.\d*)?))?\s*", line)
            if not found:
                raise ConfigError(f"standard input: found {line[:60]!r}, expected go or go UNIX_TIME")
            self._start_load(float(found[1] or 0.0))
        elif not data:
            self._stop(events)
        if newline or not data:
            self._loop.forget(0)

    def _listen(self) -> socket.socket:
        host, port = self._config.listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        listener.setblocking(False)
        self._loop.watch(listener.fileno(), self._accept)
        print(f"metrics at port {listener.getsockname()[1]}", flush=True)
        return listener

    def _accept(self, _: int) -> None:
        try:
            Scrape(self._loop, self._listener.accept()[0], self._metrics)
        except OSError:
            return


def allow_open_files(config: Config) -> None:
    """Raise the limit of open files as the connections require; ConfigError if it cannot be raised so far."""
    needed = config.max_connections * len(config.targets) + 64
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(f"max_connections: needs {needed} open files, but the limit is {hard} (`ulimit -Hn`)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main(arguments: list[str]) -> int:
    """Run the generator; return its exit code."""
    if len(arguments) != 2 or arguments[0] != "--config":
        print("usage: python3 load_generator.pyz --config FILE", file=sys.stderr)
        return 2
    try:
        with open(arguments[1], encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes long to import
            config = Config(json.load(file))
        allow_open_files(config)
        generator = Generator(config)
    except (ConfigError, ValueError) as error:
        print(f"load_generator: {arguments[1]}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"load_generator: {error.filename or 'listen ' + str(config.listen)}: {error.strerror}", file=sys.stderr)
        return 2 if error.filename else 1
    # Without real-time priority, a generator that shares its processors with the system under test falls behind
    # schedule whenever that system is loaded. Only root may set it, as on local hosts.
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        generator.run()
    except ConfigError as error:
        print(f"load_generator: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if not error.filename:
            raise
        print(f"load_generator: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

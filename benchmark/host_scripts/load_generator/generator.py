"""Start the processes that send requests, and combine what they measure."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from math import inf, isfinite
from time import monotonic, process_time, time

from .capacity import required_processes
from .channel import Channel
from .config import Config
from .fields import ConfigError
from .hdr import LogWriter, Merge
from .http import resolve
from .loop import READ, Loop
from .metrics import Samples, exposition, merge
from .scrape import Scrape
from .worker import PreloadError, Worker

GRACE_S = 0.5
"""Time that requests in flight have to complete after SIGTERM."""
_MOST_S = 1.0
"""Time after that within which all processes must have ended."""


class ProcessError(Exception):
    """A process that sends requests ended or does not respond."""


class Generator:
    """Wait for `go`, have processes send requests, serve their metrics and write their log, stop at SIGTERM."""

    def __init__(self, config: Config) -> None:
        """Start the processes; ConfigError or OSError if the configuration does not fit this host."""
        self._config = config
        self._addresses = {
            (host, port): resolve(host, port) for each in config.workloads for host, port, _ in each.targets
        }
        count = required_processes(config)
        self._merge = Merge(count, LogWriter(config.latency_log).write if config.latency_log else lambda *_: None)
        self._listener = _listen(*config.listen)
        self._wakeup, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self._channels: list[Channel] = []
        for index in range(count):
            self._channels.append(self._fork(index, count))
        _set_priority(1)
        self._loop = Loop()
        self._loop.watch(self._wakeup, self._stop)
        self._loop.watch(self._listener.fileno(), self._accept)
        for index, channel in enumerate(self._channels):
            self._loop.watch(channel.fileno(), partial(self._on_messages, index))
        self._running = set(range(count))
        self._samples: list[Samples] = [{} for _ in range(count)]
        self._unanswered = set(range(count))  # until they are ready
        self._scrapes: list[Scrape] = []
        self._started = self._stopped = self._end = inf
        self._start_time = 0.0
        self._input = b""
        print(f"metrics at port {self._listener.getsockname()[1]}", flush=True)

    def run(self) -> None:
        """Serve metrics and send load until stopped.

        Raises ConfigError if standard input is anything but `go`, OSError with the file's name if the log cannot be
        written, ProcessError if a process fails.
        """
        while self._unanswered and self._stopped == inf:
            self._loop.run_once(3600.0)
        if self._config.start_now:
            self._start_load(time())
        else:
            try:
                self._loop.watch(0, self._on_input)
            except PermissionError:  # a regular file: epoll cannot watch it, but it never blocks
                while self._started == inf == self._stopped:
                    self._on_input(READ)
        while self._running:
            if monotonic() >= self._end:
                for index in self._running:  # write what the others have measured
                    self._merge.finish(index)
                raise ProcessError(f"{len(self._running)} of {len(self._channels)} processes did not stop")
            self._loop.run_once(self._end - monotonic())

    def _fork(self, index: int, count: int) -> Channel:
        """Start a process; return the channel to it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork():
            theirs.close()
            return Channel(ours)
        code = 1
        try:
            # With a copy of the generator's end, a process would not notice that the generator has ended.
            for channel in self._channels:
                channel.close()
            ours.close()
            self._listener.close()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):  # sent to the whole group; the generator stops its processes
                signal.signal(number, signal.SIG_IGN)
            _set_priority(2)
            Worker(self._config, self._addresses, Channel(theirs), index, count).run()
            code = 0
        except (EOFError, ConnectionError):
            pass  # the generator has ended
        except PreloadError as error:
            print(f"load_generator: {error}", file=sys.stderr)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _start_load(self, start: float) -> None:
        """Begin the schedule at a Unix time, or now if that has passed."""
        delay, first = max(0.0, start - time()), self._config.schedule.due(0)
        self._started = monotonic() + delay
        self._start_time = time() + delay + first if isfinite(first) else 0.0
        self._tell("start", self._started)

    def _stop(self, _: int) -> None:
        self._loop.forget(self._wakeup)
        if self._stopped == inf:
            self._stopped = monotonic()
            self._end = self._stopped + GRACE_S + _MOST_S
            self._tell("stop", self._stopped + GRACE_S)

    def _tell(self, kind: str, number: float = 0) -> None:
        for index in self._running:
            with suppress(ConnectionError):  # it has ended, which the loop notices
                self._channels[index].send(kind, number)

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

    def _on_messages(self, index: int, _: int) -> None:
        channel = self._channels[index]
        try:
            for kind, number, samples, interval in channel.receive():
                if kind == "interval":
                    self._merge.add(index, int(number), interval)
                    continue
                self._samples[index] = samples
                if kind == "end":
                    self._merge.finish(index)
                    self._running.discard(index)
                self._unanswered.discard(index)
                self._answer_scrapes()
        except EOFError:
            self._loop.forget(channel.fileno())
            if index in self._running:
                raise ProcessError(f"process {index + 1} of {len(self._channels)} ended unexpectedly") from None

    def _accept(self, _: int) -> None:
        with suppress(OSError):
            Scrape(self._loop, self._listener.accept()[0], self._ask)

    def _ask(self, scrape: Scrape) -> None:
        """Answer a scrape when all processes have sent their current samples."""
        self._scrapes.append(scrape)
        if not self._unanswered:
            self._unanswered = set(self._running)
            self._tell("samples")
            self._answer_scrapes()

    def _answer_scrapes(self) -> None:
        if self._unanswered or not self._scrapes:
            return
        own: Samples = {
            "benchmark_duration": {"": max(0.0, min(monotonic(), self._stopped) - self._started)},
            "timeout_s": {"": self._config.timeout_s},
            "start_time_s": {"": self._start_time},
            "processes": {"": len(self._channels)},
            "process_cpu_seconds_total": {"": process_time()},
        }
        body = exposition(merge([*self._samples, own]))
        scrapes, self._scrapes = self._scrapes, []
        for scrape in scrapes:
            scrape.answer(body)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    listener.setblocking(False)
    return listener


def _set_priority(priority: int) -> None:
    """Use real-time priority if that is allowed: only for root, as on local hosts.

    Without it, a generator that shares its processors with the system under test falls behind schedule whenever that
    system is loaded.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))

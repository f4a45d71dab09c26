"""Write what the live page of a run shows: details of the load, round trips, and the ends of logs.

The loop that checks the processes of a run calls this now and then. Nothing here waits for a host, but for the start of
the measurement of round trips, and nothing here fails a run.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from benchmark.errors import InfrastructureError
from benchmark.files import write_atomically
from benchmark.measure.live_stats import HostStats, LiveStats, read_details
from benchmark.metrics.names import MetricNames
from benchmark.metrics.prometheus import Prometheus
from benchmark.plan.deployment import Deployment
from benchmark.remote.deadlines import ANSWER_S
from benchmark.remote.fleet import Session
from benchmark.results.live_feed import TAIL_LIMIT, LiveFeed, LiveSample, requested_tails, tail_path
from benchmark.testbed import round_trips
from benchmark.testbed.testbed import Testbed

_ROUND_TRIPS_S = 5.0
"""Time between two echo requests to the same host."""
_SILENT_S = 3 * _ROUND_TRIPS_S
"""After this time without an answer, the round trip to a host is unknown."""
_SPARE_PROBES = 200
"""Echo requests beyond those of the load: processes can take long to start."""
_TAILS_S = 2.0
_TAIL_DEADLINE_S = 5.0


class LiveWriter:
    """Writes the live feed of a run, from when its processes start until they are stopped."""

    def __init__(self, testbed: Testbed, deployment: Deployment, folder: Path, logs: str) -> None:
        """`folder` is that of the run's results, `logs` the one with the logs on every host."""
        self._testbed, self._plan, self._folder, self._logs = testbed, deployment.plan, folder, logs
        self._feed = LiveFeed(folder)
        self._hosts = {process.name: process.host.name for process in deployment.processes}
        self._sessions: dict[str, Session] = {}
        """By the name of the region that measures."""
        self._round_trips: dict[str, tuple[float, float]] = {}
        """By `FROM/TO`: when an answer came (monotonic time), and its round trip in ms."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tails")
        self._tails: Future[None] | None = None
        self._next_tails = 0.0

    def open(self) -> None:
        """Start to measure round trips, one host in each region; without an answer they are unknown."""
        hosts = {host.name: host for host in (*self._plan.nodes, *self._plan.clients)}
        probes = _SPARE_PROBES + round(self._plan.duration_s / _ROUND_TRIPS_S)
        commands = round_trips.commands(list(hosts.values()), probes, _ROUND_TRIPS_S)
        for name, session in self._testbed.fleet.open(commands, deadline=ANSWER_S).ok.items() if commands else ():
            self._sessions[hosts[name].region] = session
            with suppress(InfrastructureError):
                session.send(round_trips.script())
                session.finish_input()

    def sample(self, prometheus: Prometheus | None, window: timedelta, names: MetricNames) -> None:
        """Add the current details to the feed; a Prometheus that does not answer leaves out the load and the hosts."""
        regions: dict[str, LiveStats] = {}
        hosts: dict[str, HostStats] = {}
        if prometheus:
            with suppress(InfrastructureError):
                regions, hosts = read_details(prometheus, window, names)
        self._feed.append(
            LiveSample(time=time.time(), regions=regions, hosts=hosts, round_trips_ms=self._read_round_trips())
        )

    def advance(self) -> None:
        """Copy the ends of logs that a viewer of the live page asked for; returns at once."""
        if time.monotonic() < self._next_tails or (self._tails and not self._tails.done()):
            return
        self._next_tails = time.monotonic() + _TAILS_S
        if names := requested_tails(self._folder, self._hosts):
            self._tails = self._pool.submit(self._copy_tails, names)

    def close(self) -> None:
        """End the measurement of round trips."""
        for session in self._sessions.values():
            session.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read_round_trips(self) -> dict[str, float | None]:
        now, known = time.monotonic(), list(self._sessions)
        for region, session in list(self._sessions.items()):
            try:
                found = round_trips.parse(region, "\n".join(session.read_lines()), known)
            except InfrastructureError:
                session.close()
                del self._sessions[region]
                continue
            for pair, samples in found.items():
                answers = [sample.rtt_ms for sample in samples if sample.rtt_ms is not None]
                if answers and pair[0] != pair[1]:
                    self._round_trips["/".join(pair)] = now, answers[-1]
        return {
            pair: round(rtt_ms, 3) if now - at < _SILENT_S else None for pair, (at, rtt_ms) in self._round_trips.items()
        }

    def _copy_tails(self, names: Iterable[str]) -> None:
        """Copy the ends of the logs of processes; what fails is tried again with the next request."""
        for name in names:
            command = f"tail -c {TAIL_LIMIT} {shlex.quote(f'{self._logs}/{name}.log')}"
            found = self._testbed.fleet.run(command, hosts=[self._hosts[name]], deadline=_TAIL_DEADLINE_S)
            for answer in found.ok.values():
                with suppress(OSError):
                    write_atomically(tail_path(self._folder, name), answer.stdout[-TAIL_LIMIT:])

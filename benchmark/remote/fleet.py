"""Commands and files on all hosts of a testbed at once, over SSH connections that are opened once.

The rest of the runner uses this module only; `connection`, `session` and `tunnel` behind it know Fabric. Fabric
opens the connections; commands run on channels of their own instead of `Connection.run`, which starts three threads
for each command, looks for its end every 10 ms and cannot be left while the host does not answer.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from fabric import Connection
from paramiko import ChannelException

from benchmark.errors import HostError, UsageError
from benchmark.inventory import Host
from benchmark.remote.archive import File, pack, pack_command, unpack, unpack_command
from benchmark.remote.connection import ConnectError, connect, disconnect, load_key
from benchmark.remote.fanout import Completed, Job, Results, collect, exit_reason
from benchmark.remote.session import Session, Sessions
from benchmark.remote.tunnel import Tunnel

__all__ = ["Completed", "File", "Fleet", "Results", "Session", "Sessions"]


class Fleet:
    """The hosts of a testbed, reached together.

    Life cycle: made without touching the network; `connect` opens all connections (a command that finds none
    opens it with a single attempt); `run`, `put`, `get`, `open` and `tunnel` share them; `close`, or leaving the
    `with` block, ends everything. A connection that was lost is opened again by the next command; a command is never
    repeated. Threads may share a fleet.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        user: str,
        key: Path | str,
        *,
        timeout: timedelta,
        retries: int,
        width: int = 64,
    ) -> None:
        """`key` is a private key's path, or its text; at most `width` hosts are worked on at once."""
        self.hosts = {host.name: host for host in hosts}
        self._user = user
        self._key = load_key(key)
        self._timeout = timeout.total_seconds()
        self._retries = retries
        self._connections: dict[str, Connection] = {}
        self._locks = {name: threading.Lock() for name in self.hosts}
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="fleet")
        # Closing a channel can block on a host that vanished, so what is late is closed aside.
        self._closer = ThreadPoolExecutor(4, thread_name_prefix="fleet-closer")

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self, hosts: Iterable[str] | None = None, patience: float = 0.0) -> Results[None]:
        """Open the connections; refused or unanswered ones are tried again, for `patience` (s) at least.

        Refused keys are not.
        """
        names = self._known(self.hosts if hosts is None else hosts)
        arguments = self._timeout, self._retries, time.monotonic() + patience
        opened = {name: self._pool.submit(self._connection, name, *arguments) for name in names}
        results: Results[None] = Results()
        for name, future in opened.items():
            try:
                future.result()
                results.ok[name] = None
            except ConnectError as error:
                results.failed[name] = str(error)
        return results

    def run(
        self,
        commands: Mapping[str, str] | str,
        *,
        hosts: Iterable[str] | None = None,
        deadline: float,
        stdin: Mapping[str, str | bytes] | str | bytes | None = None,
        check: bool = True,
    ) -> Results[Completed]:
        """Run a command on each host, the same or one of its own, and wait until all have ended.

        `stdin` reaches the command's standard input and nothing else: secrets travel there. A host without an
        answer within `deadline` (s) has failed; its command may still be running there. With `check`, an exit code
        other than 0 is a failure too. Nothing is ever repeated.
        """
        jobs = [
            Job(name, command, _stdin(stdin, name), deadline) for name, command in self._each(commands, hosts).items()
        ]
        return collect(self._drive(jobs), check)

    def put(self, files: Mapping[str, Mapping[str, bytes | File]], *, deadline: float) -> Results[Completed]:
        """Write files on each host: {host: {path: content}}, in one command per host.

        Missing folders are made, files are replaced as a whole, and have mode 644 unless `File` says otherwise.
        A relative path starts at the login's home.
        """
        jobs = [Job(name, unpack_command(), pack(content), deadline) for name, content in files.items()]
        return collect(self._drive(jobs), check=True)

    def get(
        self, paths: Mapping[str, Sequence[str]] | Sequence[str], into: Path, *, deadline: float, limit: int = 1 << 30
    ) -> Results[Path]:
        """Copy files and folders of each host into `into`/HOST under their last names.

        A host that has more than `limit` bytes, packed or unpacked, fails; so does one where a path is missing, but
        what it has is copied.
        """
        wanted = paths if isinstance(paths, Mapping) else dict.fromkeys(self.hosts, paths)
        into.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            sinks = {name: stack.enter_context(tempfile.TemporaryFile(dir=into)) for name in wanted}
            jobs = [
                Job(name, pack_command(names), (), deadline, sink=sinks[name], limit=limit)
                for name, names in wanted.items()
            ]
            done = collect(self._drive(jobs), check=False)
            results: Results[Path] = Results(failed=done.failed)
            for name, completed in done.ok.items():
                problem = unpack(sinks[name], into / name, limit)
                if completed.exit_code or problem:
                    results.failed[name] = problem or exit_reason(completed, "tar")
                else:
                    results.ok[name] = into / name
        return results

    def open(
        self, commands: Mapping[str, str] | str, *, hosts: Iterable[str] | None = None, deadline: float
    ) -> Results[Session]:
        """Start a long-lived command on each host, its standard input held open; `deadline` (s) is for the start."""
        jobs = [
            Job(name, command, (), deadline, keep_open=True) for name, command in self._each(commands, hosts).items()
        ]
        self._drive(jobs)
        started = {job.host: job.session for job in jobs if job.session and not job.reason}
        return Results(started, {job.host: job.reason for job in jobs if job.reason})

    @contextlib.contextmanager
    def tunnel(self, host: str, remote_port: int) -> Iterator[int]:
        """Yield a local port that leads to 127.0.0.1:`remote_port` on `host` until the block is left."""
        self._known([host])
        try:
            self._connection(host, self._timeout, 0)
        except ConnectError as error:
            raise HostError("cannot open a tunnel", {host: str(error)}) from None
        tunnel = Tunnel(lambda: self._connection(host, self._timeout, 0).transport, remote_port)
        try:
            yield tunnel.port
        finally:
            tunnel.close()

    def close(self) -> None:
        """End all sessions and connections; the fleet cannot be used afterwards."""
        self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._disconnect()  # frees the threads that wait for a host
        self._pool.shutdown()
        self._disconnect()  # what they opened meanwhile
        self._closer.shutdown()

    def _drive(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Start all jobs and wait for each, at most its deadline; a failed one gets its `reason`."""
        news: SimpleQueue[Job] = SimpleQueue()
        pending = set(jobs)
        try:
            for job in jobs:
                job.started = self._pool.submit(self._start, job, news)
                job.started.add_done_callback(partial(_announce, news, job))
            look_at = 0.0
            while pending:
                try:
                    touched = {news.get(timeout=max(0.0, look_at - time.monotonic()))} & pending
                except Empty:
                    touched = pending
                for job in list(touched):
                    if job.settle():
                        pending.discard(job)
                if time.monotonic() >= look_at:  # no deadline can pass before the first of those that run
                    look_at = min((job.ends or time.monotonic() + job.deadline for job in pending), default=0.0)
        finally:
            for job in jobs:
                if job.reason or job in pending:
                    self._abandon(job)
        return jobs

    def _start(self, job: Job, news: SimpleQueue[Job]) -> None:
        """Get the command running on its host and feed it; runs in the pool."""
        job.ends = time.monotonic() + job.deadline
        transport = self._connection(job.host, min(self._timeout, job.deadline), 0).transport
        try:
            channel = transport.open_session(timeout=max(0.1, job.ends - time.monotonic()))
        except ChannelException as error:
            raise ConnectError(
                f"sshd refused a channel ({error.text}); MaxSessions limits them", temporary=True
            ) from None
        channel.settimeout(job.deadline)
        session = Session(job.host, job.command, channel, job.sink, job.limit)
        job.session = session
        if job.abandoned:
            session.close()
            return
        session.watch(partial(news.put, job))
        session.start()
        with contextlib.suppress(OSError, EOFError):  # a command need not read its input; its exit code tells
            for piece in job.stdin or ():
                session.send(piece)
            if not job.keep_open:
                session.finish_input()

    def _abandon(self, job: Job) -> None:
        job.abandoned = True
        if job.started:
            job.started.cancel()
        if job.session:
            self._closer.submit(job.session.close)

    def _connection(self, name: str, timeout: float, retries: int, until: float = 0.0) -> Connection:
        """Return the host's connection, opened if there is none that lives; ConnectError otherwise.

        It is tried `retries` times again, and more often before `until` (monotonic time).
        """
        with self._locks[name]:
            known = self._connections.get(name)
            if known is not None:
                if known.is_connected:
                    return known
                disconnect(known)
            for attempt in itertools.count():
                try:
                    host = self.hosts[name]
                    self._connections[name] = connect(host, host.ssh_user or self._user, self._key, timeout)
                    break
                except ConnectError as error:
                    if not error.temporary or (attempt >= retries and time.monotonic() >= until):
                        raise
                    if self._closing.wait(min(5.0, 0.25 * 2**attempt)):
                        raise
            return self._connections[name]

    def _disconnect(self) -> None:
        for connection in list(self._connections.values()):
            disconnect(connection)

    def _each(self, commands: Mapping[str, str] | str, hosts: Iterable[str] | None) -> dict[str, str]:
        """Give every host its command."""
        if isinstance(commands, str):
            return dict.fromkeys(self._known(self.hosts if hosts is None else hosts), commands)
        return {name: commands[name] for name in self._known(commands if hosts is None else hosts)}

    def _known(self, names: Iterable[str]) -> list[str]:
        """Return `names` as a list; UsageError if one is no host of this fleet."""
        found = list(names)
        for name in found:
            if name not in self.hosts:
                raise UsageError(f"no host named {name!r}; the hosts are: {', '.join(self.hosts)}")
        return found


def _announce(news: SimpleQueue[Job], job: Job, _: Future[None]) -> None:
    news.put(job)


def _stdin(stdin: Mapping[str, str | bytes] | str | bytes | None, host: str) -> Iterable[str | bytes]:
    """The input of one host, in pieces."""
    given = stdin.get(host) if isinstance(stdin, Mapping) else stdin
    return () if given is None else (given,)

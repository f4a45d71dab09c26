"""Run commands and copy files on all hosts of a testbed in parallel, over SSH connections that are reused.

This is the interface of the package; `connection`, `session` and `tunnel` do the work behind it. Fabric opens the
connections. Commands run on channels opened here instead of through Fabric's `Connection.run`, which starts three
threads per command, polls for its end every 10 ms and cannot be abandoned while the host does not answer.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from fabric import Connection
from paramiko import ChannelException, SSHException

from benchmark.errors import HostError, UsageError
from benchmark.inventory import Host
from benchmark.remote.archive import File, pack, pack_command, unpack, unpack_command
from benchmark.remote.connection import ConnectError, ServerSilentError, connect, disconnect, load_key
from benchmark.remote.fanout import Completed, RemoteCall, Results, collect, exit_reason
from benchmark.remote.session import Session, Sessions
from benchmark.remote.tunnel import Tunnel

__all__ = ["Completed", "File", "Fleet", "Results", "Session", "Sessions"]

_CONNECT_FAILED = 2
"""SSH_OPEN_CONNECT_FAILED (RFC 4254, 5.1)."""
_AVOID_S = 15.0
"""How long commands fail at once on a host that did not answer; `connect` always tries."""


class Fleet:
    """All hosts of a testbed, addressed together.

    Life cycle: creating a fleet does not touch the network. `connect` opens all connections; a command without a
    connection opens it, in a single attempt. `run`, `put`, `get`, `open` and `tunnel` share the connections. `close`,
    or leaving the `with` block, ends everything. The next command reopens a lost connection; a command is never
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
        """`key` is the path of a private key, or its text; at most `width` hosts are connected to at the same time."""
        self.hosts = {host.name: host for host in hosts}
        self._user = user
        self._key = load_key(key)
        self._timeout = timeout.total_seconds()
        self._retries = retries
        self._connections: dict[str, Connection] = {}
        self._silent: dict[str, tuple[float, ConnectError]] = {}
        """Hosts that did not answer: until when (monotonic time) commands fail at once, and why."""
        self._gateways: dict[str, Connection] = {}
        self._gateway_lock = threading.Lock()
        self._locks = {name: threading.Lock() for name in self.hosts}
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="fleet")
        # Closing a channel can block on a vanished host, so late calls are closed in separate threads.
        self._closer = ThreadPoolExecutor(4, thread_name_prefix="fleet-closer")

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self, hosts: Iterable[str] | None = None, patience: float = 0.0) -> Results[None]:
        """Open the connections.

        Attempts that fail at once are repeated; with `patience` (s) also those that end with the timeout, at least for
        that long. A rejected key is final.
        """
        names = self._require_known(self.hosts if hosts is None else hosts)
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
        """Run a command on each host, the same one or {host: command}, and wait until all have ended.

        `stdin` reaches the command's standard input and nothing else, so it may hold secrets. A host that does not
        answer within `deadline` (s) has failed; its command may still be running. With `check`, an exit code other
        than 0 is a failure too. Nothing is repeated.
        """
        calls = []
        for name, command in self._commands(commands, hosts).items():
            data = stdin.get(name) if isinstance(stdin, Mapping) else stdin
            calls.append(RemoteCall(name, command, () if data is None else (data,), deadline))
        return collect(self._drive(calls), check)

    def put(self, files: Mapping[str, Mapping[str, bytes | File]], *, deadline: float) -> Results[Completed]:
        """Write files on each host, {host: {path: content}}, with one command per host.

        Missing folders are created and existing files replaced. The mode is 644 unless `File` sets another. A relative
        path starts from the user's home folder.
        """
        calls = [RemoteCall(name, unpack_command(), pack(content), deadline) for name, content in files.items()]
        return collect(self._drive(calls), check=True)

    def get(
        self, paths: Mapping[str, Sequence[str]] | Sequence[str], into: Path, *, deadline: float, limit: int = 1 << 30
    ) -> Results[Path]:
        """Copy files and folders of each host into `into`/HOST, under their base names.

        A host that sends more than `limit` bytes, compressed or not, fails. So does one where a path is missing, but
        its other paths are copied.
        """
        wanted = paths if isinstance(paths, Mapping) else dict.fromkeys(self.hosts, paths)
        into.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            sinks = {name: stack.enter_context(tempfile.TemporaryFile(dir=into)) for name in wanted}
            calls = [
                RemoteCall(name, pack_command(names), (), deadline, sink=sinks[name], limit=limit)
                for name, names in wanted.items()
            ]
            done = collect(self._drive(calls), check=False)
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
        """Start a long-lived command on each host and keep its standard input open; `deadline` (s) is for the start."""
        calls = [
            RemoteCall(name, command, (), deadline, keep_open=True)
            for name, command in self._commands(commands, hosts).items()
        ]
        self._drive(calls)
        started = {call.host: call.session for call in calls if call.session and not call.reason}
        return Results(started, {call.host: call.reason for call in calls if call.reason})

    @contextlib.contextmanager
    def tunnel(self, host: str, remote_port: int) -> Iterator[int]:
        """Yield a local port that forwards to 127.0.0.1:`remote_port` on `host`, until the block is left."""
        self._require_known([host])
        try:
            transport = self._connection(host, self._timeout, 0).transport
            # An sshd that forwards no ports is found here, and not by whoever uses the port.
            transport.open_channel("direct-tcpip", ("127.0.0.1", remote_port), ("", 0), timeout=self._timeout).close()
        except ChannelException as error:
            if error.code != _CONNECT_FAILED:  # else nothing listens, yet
                reason = (
                    f"its sshd does not forward ports ({error.text}); set `AllowTcpForwarding yes` in "
                    "/etc/ssh/sshd_config there, without `PermitOpen` or options of the key in authorized_keys"
                )
                raise HostError("cannot open a tunnel to:", {host: reason}) from None
        except (ConnectError, OSError, EOFError, SSHException) as error:
            raise HostError("cannot open a tunnel to:", {host: str(error) or "the connection was lost"}) from None
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

    def _drive(self, calls: Sequence[RemoteCall]) -> Sequence[RemoteCall]:
        """Start all calls and wait until each is over or its deadline has passed; a failed one gets its `reason`."""
        updates: SimpleQueue[RemoteCall] = SimpleQueue()
        pending = set(calls)
        try:
            for call in calls:
                call.started = self._pool.submit(self._start, call, updates)
                call.started.add_done_callback(lambda _, call=call: updates.put(call))  # type: ignore[misc]
            next_deadline = 0.0
            while pending:
                try:
                    changed = {updates.get(timeout=max(0.0, next_deadline - time.monotonic()))} & pending
                except Empty:
                    changed = pending
                pending -= {call for call in changed if call.poll()}
                now = time.monotonic()
                if now >= next_deadline:  # the earliest deadline may have moved, but only to a later time
                    next_deadline = min((call.ends or now + call.deadline for call in pending), default=0.0)
        finally:
            for call in calls:
                if call.reason or call in pending:
                    call.abandoned = True
                    if call.started:
                        call.started.cancel()
                    if call.session:
                        self._closer.submit(call.session.close)
        return calls

    def _start(self, call: RemoteCall, updates: SimpleQueue[RemoteCall]) -> None:
        """Start the command on its host and send its input; runs in the pool."""
        call.ends = time.monotonic() + call.deadline
        # Shorter than the deadline, so that a silent SSH server is known as such when the call has failed.
        transport = self._connection(call.host, min(self._timeout, 0.9 * call.deadline), 0).transport
        patience = min(self._timeout, max(0.1, 0.9 * (call.ends - time.monotonic())))
        began = time.monotonic()
        try:
            channel = transport.open_session(timeout=patience)
        except ChannelException as error:
            raise ConnectError(
                f"sshd rejected a channel ({error.text}); MaxSessions in its configuration limits them", temporary=True
            ) from None
        except ServerSilentError as error:  # which this takes from the transport
            self._silent[call.host] = time.monotonic() + _AVOID_S, _silence(error)
            raise
        except SSHException:
            if time.monotonic() - began < patience:
                raise
            reason = f"no answer within {patience:.3g} s: its SSH server opens no channel"
            silent = ConnectError(reason, temporary=True, timed_out=True)
            if patience >= 0.9 * self._timeout:
                self._silent[call.host] = time.monotonic() + _AVOID_S, silent
                transport.close()
            raise silent from None
        channel.settimeout(call.deadline)
        session = Session(call.host, call.command, channel, call.sink, call.limit)
        call.session = session
        if call.abandoned:
            session.close()
            return
        session.watch(partial(updates.put, call))
        session.start()
        with contextlib.suppress(HostError):  # a command need not read its input; its exit code counts
            for piece in call.stdin or ():
                session.send(piece)
            if not call.keep_open:
                session.finish_input()

    def _connection(self, name: str, timeout: float, retries: int, until: float = 0.0) -> Connection:
        """Return the connection to a host, opened if necessary; ConnectError if that fails.

        Attempts that fail at once are repeated `retries` times, and all before `until` (monotonic time). Without
        `until`, which commands do not have, a host that was silent a moment ago fails at once.
        """
        with self._locks[name]:
            known = self._connections.get(name)
            if known is not None:
                if known.is_connected:
                    return known
                if isinstance(known.transport.saved_exception, ServerSilentError):
                    self._silent[name] = time.monotonic() + _AVOID_S, _silence(known.transport.saved_exception)
                del self._connections[name]
                disconnect(known)
            avoided_until, reason = self._silent.get(name, (0.0, None))
            if reason and not until and time.monotonic() < avoided_until:
                raise reason
            for attempt in itertools.count():
                try:
                    host = self.hosts[name]
                    user = host.ssh_user or self._user
                    gateway = self._gateway(host, user, timeout) if host.jump else None
                    self._connections[name] = connect(host, user, self._key, timeout, gateway)
                    self._silent.pop(name, None)
                    break
                except ConnectError as error:
                    last = attempt >= retries or error.timed_out
                    if not error.temporary or (last and time.monotonic() >= until):
                        if error.timed_out:
                            self._silent[name] = time.monotonic() + _AVOID_S, error
                        raise
                    if self._closing.wait(min(5.0, 0.25 * 2**attempt)):
                        raise
            return self._connections[name]

    def _gateway(self, host: Host, user: str, timeout: float) -> Connection:
        """Return the connection to the host's gateway, which hosts share; ConnectError if that fails."""
        jump = host.jump
        assert jump is not None
        login = jump.ssh_user or user
        with self._gateway_lock:
            key = f"{login}@{jump.address}:{jump.ssh_port}"
            known = self._gateways.get(key)
            if known is not None:
                if known.is_connected:
                    return known
                disconnect(known)
            fields: dict[str, object] = {"address": jump.address, "ssh_address": None, "jump": None}
            fields |= {"ssh_port": jump.ssh_port, "host_key": jump.host_key}
            try:
                self._gateways[key] = connect(host.model_copy(update=fields), login, self._key, timeout)
            except ConnectError as error:
                reason = f"its gateway {error}"
                raise ConnectError(reason, temporary=error.temporary, timed_out=error.timed_out) from None
            return self._gateways[key]

    def _disconnect(self) -> None:
        for connection in [*self._connections.values(), *self._gateways.values()]:
            disconnect(connection)

    def _commands(self, commands: Mapping[str, str] | str, hosts: Iterable[str] | None) -> dict[str, str]:
        """Return the command of each host."""
        if isinstance(commands, str):
            return dict.fromkeys(self._require_known(self.hosts if hosts is None else hosts), commands)
        return {name: commands[name] for name in self._require_known(commands if hosts is None else hosts)}

    def _require_known(self, names: Iterable[str]) -> list[str]:
        """Return `names` as a list; UsageError if one is not a host of this fleet."""
        found = list(names)
        for name in found:
            if name not in self.hosts:
                raise UsageError(f"no host named {name!r}; the hosts are: {', '.join(self.hosts)}")
        return found


def _silence(error: ServerSilentError) -> ConnectError:
    return ConnectError(str(error), temporary=True, timed_out=True)

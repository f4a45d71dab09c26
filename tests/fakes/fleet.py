"""A fleet without hosts: it answers like the scripts that run there, keeps what was done, and fails on request.

A testbed on it goes through all phases of a run in milliseconds.
"""

from __future__ import annotations

import gzip
import json
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from benchmark.errors import HostError
from benchmark.host_scripts import read_script
from benchmark.inventory import Host
from benchmark.remote.fleet import Completed, File, Fleet, Results, Session

T = TypeVar("T")
FACTS = (
    "stale_processes 0\ncpus 4\nmemory_mb 8000\nmemory_free_mb 7000\ndisk_free_mb 90000\ndisk_mb 99000\n"
    "root_free_mb 80000\ndisk 20GB at geobench\nkernel 6.1\nboot_id b\n"
)


class FakeSession(Session):
    """A remote command: lock.sh, supervise.sh, inject.pyz or a clock."""

    def __init__(self, fleet: FakeFleet, host: str, command: str) -> None:
        self.fleet, self.host, self.command = fleet, host, command
        self.sent: list[str] = []
        self.closed = False
        self._mechanisms: list[dict[str, Any]] = []
        self._lines = [fleet.lock_answer] if " lock " in command else []

    def send(self, text: str | bytes) -> None:
        self.fleet.touch("send")
        self.sent.append(str(text).rstrip("\n"))
        if self.host in self.fleet.mute:
            return
        match self.sent[-1].split():
            case [word, *_] if word.startswith("{"):
                order = json.loads(self.sent[-1])
                self._mechanisms = order.get("mechanisms", self._mechanisms)
                killed = [name for each in self._mechanisms if each["kind"] == "crash" for name in each["processes"]]
                if order["do"] == "inject":
                    self.fleet.exits.setdefault(self.host, []).extend(f"exited {name} 137" for name in killed)
                now = time.time() + self.fleet.clock_offset_s
                problem = self.fleet.unproved.get(order["do"], "")
                answer = {"do": order["do"], "id": order["id"], "began": now, "at": now}
                text = problem or f"{order['do']} seen"
                self._lines.append(json.dumps({**answer, "ok": not problem, "text": text}))
            case ["start", name, at]:
                self._lines += [f"started {name} {at}", f"ready {name} {at}"]
            case ["probe", name]:
                self._lines.append(f"answers {name}" if name not in self.fleet.hung else f"found {name} no HTTP answer")
            case ["ping"]:
                offset = self.fleet.clock_offsets_s.get(self.host, self.fleet.clock_offset_s)
                self._lines.append(f"pong {time.time() + offset}")
            case ["stop", name] if self.host not in self.fleet.stuck:
                self._lines.append(f"exited {name} 0")
            case ["stop"] if self.host not in self.fleet.stuck:
                self._lines.append("stopped")

    def read_lines(self) -> list[str]:
        self.fleet.touch("read")
        printed = self.fleet.exits if "supervise.sh" in self.command else self.fleet.measured
        lines, self._lines = self._lines + ([] if "inject.pyz" in self.command else printed.pop(self.host, [])), []
        return lines

    @property
    def ended(self) -> bool:
        return self.closed or self.host in self.fleet.lost

    @property
    def stderr(self) -> str:
        return ""

    @property
    def failure(self) -> str | None:
        return "the connection was lost" if self.host in self.fleet.lost else None

    @property
    def exit_status(self) -> int | None:
        return None if self.host in self.fleet.lost or not self.closed else 0

    def finish_input(self) -> None:
        if self.host in self.fleet.lost:
            raise HostError("could not send input to the command on:", {self.host: "the connection was lost"})
        self.closed = self.host not in self.fleet.stuck

    def close(self) -> None:
        self.closed = True


class FakeFleet(Fleet):
    """Hosts that execute every operation; `hook` is called with the name of every operation and may raise."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.hook: Callable[[str], None] = lambda operation: None
        self.operations: list[str] = []
        self.commands: list[str] = []
        self.files: dict[str, dict[str, bytes]] = {name: {} for name in self.hosts}
        self.sessions: list[FakeSession] = []
        self.facts = FACTS
        self.versions: dict[str, str] = {"etcd-server": "3.4.23", "etcd-client": "3.4.23"}
        """Installed packages; empty where an installation is needed."""
        self.answers: dict[str, str] = {}
        """Output of commands that contain a text."""
        self.replies: dict[str, dict[str, str]] = {}
        """The same, by host."""
        self.exit_codes: dict[str, int] = {}
        """Errors of commands that fail."""
        self.failed: dict[str, str] = {}
        """Hosts where every operation fails, and why."""
        self.exits: dict[str, list[str]] = {}
        """Lines that supervisors print besides their answers, such as `exited node-0 1`."""
        self.measured: dict[str, list[str]] = {}
        """Lines that a long measurement of round trips prints, by host."""
        self.lost: set[str] = set()
        self.mute: set[str] = set()
        """Hosts whose commands do not answer."""
        self.hung: set[str] = set()
        """Processes that no longer answer."""
        self.leader = ""
        """Host of the node that leads, if any does."""
        self.unproved: dict[str, str] = {}
        """Orders to inject.pyz that fail, such as `prove`, and why."""
        self.stuck: set[str] = set()
        """Hosts that do not confirm the end of their processes."""
        self.preamble = ""
        """What login shells print before every command."""
        self.stored: dict[str, Callable[[], bytes]] = {}
        """Content of files on hosts, by base name; others are logs."""
        self.lock_answer = "locked"
        self.clock_offset_s = 0.0
        self.clock_offsets_s: dict[str, float] = {}
        """Of single hosts."""
        self.rtt_ms = 80.0
        """Between all hosts."""
        self.tunnels = 0
        self.prometheus_problem = ""
        """Why the Prometheus behind them cannot answer."""

    def touch(self, operation: str) -> None:
        if threading.current_thread() is threading.main_thread():  # those in the background come at any time
            self.operations.append(operation)
            self.hook(operation)

    def connect(self, hosts: Iterable[str] | None = None, patience: float = 0.0) -> Results[None]:
        self.touch("connect")
        return self._results(self.hosts if hosts is None else hosts, lambda name: None)

    def run(
        self,
        commands: Mapping[str, str] | str,
        *,
        hosts: Iterable[str] | None = None,
        deadline: float,
        stdin: object = None,
        check: bool = True,
    ) -> Results[Completed]:
        self.touch("run")
        each = commands if isinstance(commands, Mapping) else dict.fromkeys(hosts or self.hosts, commands)
        self.commands += each.values()
        return self._results(
            each,
            lambda name: Completed(
                name, self._reply(name, each[name], stdin), "", self.exit_codes.get(each[name], 0), 0.0, self.preamble
            ),
        )

    def put(self, files: Mapping[str, Mapping[str, bytes | File]], *, deadline: float) -> Results[Completed]:
        self.touch("put")
        for name, content in files.items():
            self.files[name] |= {path: one if isinstance(one, bytes) else b"" for path, one in content.items()}
        return self._results(files, lambda name: Completed(name, "", "", 0, 0.0))

    def get(
        self, paths: Mapping[str, Sequence[str]] | Sequence[str], into: Path, *, deadline: float, limit: int = 1 << 30
    ) -> Results[Path]:
        self.touch("get")
        wanted = paths if isinstance(paths, Mapping) else dict.fromkeys(self.hosts, paths)
        for name in wanted.keys() - self.failed:
            for path in wanted[name]:
                (into / name).mkdir(parents=True, exist_ok=True)
                log = gzip.compress(f"{path} on {name}\n".encode())
                (into / name / Path(path).name).write_bytes(self.stored.get(Path(path).name, lambda log=log: log)())
        return self._results(wanted, lambda name: into / name)

    def open(
        self, commands: Mapping[str, str] | str, *, hosts: Iterable[str] | None = None, deadline: float
    ) -> Results[Session]:
        self.touch("open")
        names = list(commands if hosts is None and isinstance(commands, Mapping) else hosts or self.hosts)
        each = commands if isinstance(commands, Mapping) else dict.fromkeys(names, commands)
        opened = self._results(names, lambda name: FakeSession(self, name, each[name]))
        self.sessions += opened.ok.values()
        return Results(dict(opened.ok), opened.failed)

    @contextmanager
    def tunnel(self, host: str, remote_port: int) -> Iterator[int]:
        self.touch("tunnel")
        self.tunnels += 1
        try:
            yield remote_port
        finally:
            self.tunnels -= 1

    def close(self) -> None:
        self.touch("close")

    def supervisors(self) -> list[FakeSession]:
        """The sessions of supervise.sh."""
        return [session for session in self.sessions if "supervise.sh" in session.command]

    def injectors(self) -> list[FakeSession]:
        """The sessions of inject.pyz."""
        return [session for session in self.sessions if "inject.pyz" in session.command]

    def locks(self) -> list[FakeSession]:
        """The sessions of lock.sh."""
        return [session for session in self.sessions if " lock " in session.command]

    def _results(self, names: Iterable[str], result: Callable[[str], T]) -> Results[T]:
        failed = {name: self.failed[name] for name in names if name in self.failed}
        return Results({name: result(name) for name in names if name not in failed}, failed)

    def _reply(self, host: str, command: str, stdin: object) -> str:
        for text, answer in {**self.answers, **self.replies.get(host, {})}.items():
            if text in command:
                return answer
        words = shlex.split(command)
        if stdin == read_script("probe.sh"):
            packages = list(filter(None, words[-1].split(",")))
            return self.facts + "".join(f"package {name} {self.versions.get(name, '')}\n" for name in packages)
        if stdin == read_script("round_trips.py"):
            return "".join(f"{json.dumps([word.partition('=')[0], 0.0, self.rtt_ms])}\n" for word in words[7:])
        if stdin == read_script("collect_logs.sh"):  # processes that were started have logs
            started = {
                line.split()[1] for each in self.supervisors() for line in each.sent if line.startswith("start ")
            }
            uploaded = [Path(path).parent.name for path in self.files[host] if path.endswith("/command")]
            return "".join(f"kept\t{name}\n" for name in dict.fromkeys(uploaded) if name in started)
        if "for file in " in command and "*/pid" not in command:  # latency logs
            return command.partition("for file in ")[2].partition(";")[0] + "\n"
        if "apt-get install" in command:
            names = shlex.split(command.rpartition(" install ")[2].rstrip("; fi"))
            return "".join(f"{name} 1.0\n" for name in names)
        return ""

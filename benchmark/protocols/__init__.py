"""The systems under test, as data: what is installed, what runs where, how readiness and latency are seen.

A protocol maps a `Plan` (which hosts carry nodes and clients, what load) to processes. It runs nothing and reaches no
host, so all of it is tested by comparing data.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel

from benchmark.errors import UsageError
from benchmark.inventory import Host
from benchmark.metrics import LOAD_GENERATOR, Metrics

ENTRY_POINTS = "geobench.protocols"
"""Installed packages add protocols under this entry point group."""


@dataclass(frozen=True)
class Process:
    """A long-running command on one host.

    `files` maps paths in the process's folder to their content; the command runs in that folder, as does `prepare`,
    which ends before any process is started. `ready` is how readiness is seen from the host itself: `tcp PORT`,
    `http PORT PATH` (a 2xx answer), `metric PORT PATH NAME` (it is exported), `log PATTERN` (extended regular
    expression), `run SCRIPT` (that bash script among the files ends with 0), or nothing. `grace` is how many seconds
    lie between SIGTERM and SIGKILL at the end.
    """

    name: str
    job: Literal["node", "client"]
    host: Host
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    metrics_port: int | None = None
    metrics_path: str = "/metrics"
    ready: str = ""
    grace: int = 5
    prepare: tuple[str, ...] = ()

    def script(self) -> str:
        """The bash script that becomes this process."""
        return self._script(self.argv)

    def prepare_script(self) -> str:
        """The bash script that goes before, empty if there is nothing to do."""
        return self._script(self.prepare) if self.prepare else ""

    def _script(self, argv: tuple[str, ...]) -> str:
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return "\n".join([*exports, f"exec {shlex.join(argv)}", ""])


@dataclass(frozen=True)
class Build:
    """How a system's binaries are made from a checkout of its repository.

    `command` is a bash script that runs in the checkout, as the login of the host that builds; what it puts into
    `$BUILD_CACHE`, a folder of this repository's own, is there again for the next commit. `outputs` are the files it
    leaves, relative to the checkout: each is installed under its last name and found on PATH by every process.
    """

    packages: tuple[str, ...]
    """Debian packages that the command needs."""
    command: str
    """Empty for a system that is not built here: its binaries are brought."""
    outputs: tuple[str, ...]
    repository: str | None = None
    """Where it is built from if the settings do not say."""


Pieces = tuple[tuple[float, float, float], ...]
"""Load over time: (start in s, share of the whole load there, share at the end of the piece); the last is constant."""


@dataclass(frozen=True)
class Plan:
    """Which hosts carry what in one run, and the load that is asked for.

    `shares[i]` is the load in tx/s of client i, or of node i where nodes make the load; their sum is what is really
    offered. `rtt_ms` are the measured round-trip times between regions, empty until they are measured; `duration_s`
    is how long load is wanted, warm-up included; `profile` how it changes over that time, constant if empty.
    """

    nodes: tuple[Host, ...]
    clients: tuple[Host, ...]
    load: int
    shares: tuple[int, ...]
    rtt_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)
    duration_s: float = 0.0
    profile: Pieces = ()

    @property
    def offered(self) -> int:
        """The load that is really offered at most, in tx/s."""
        return sum(self.shares)


class NoParameters(BaseModel, extra="forbid"):
    """Nothing can be set."""


class Protocol(ABC):
    """One system under test."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for `--help`."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Debian packages that hosts of nodes need; their versions are recorded."""
    build: ClassVar[Build | None] = None
    """How it is built; none for what is installed from packages."""
    minimum_nodes: ClassVar[int] = 1
    most_nodes: ClassVar[int | None] = None
    """Largest committee chosen without being asked for, where the system's own documents give a limit."""
    metrics: ClassVar[Metrics] = LOAD_GENERATOR
    """Which metrics mean latency and throughput, and who exports them."""
    load_from: ClassVar[Literal["client", "node"]] = "client"
    """`node`: nodes make the load themselves and there are no clients; it begins when they start."""
    load_step: ClassVar[int] = 1
    """What the load of a client, or of a node that makes its own, is a multiple of, in tx/s."""
    profiles: ClassVar[bool] = False
    """Whether the load can change over time, as `Plan.profile` says."""
    leader_metric: ClassVar[str | None] = None
    """Gauge of a node that is 1 while it leads."""
    node_model: ClassVar[type[BaseModel]] = NoParameters
    client_model: ClassVar[type[BaseModel]] = NoParameters

    def __init__(self, node_parameters: BaseModel, client_parameters: BaseModel) -> None:
        self.node_parameters = node_parameters
        self.client_parameters = client_parameters

    @abstractmethod
    def tolerated_faults(self, nodes: int) -> int:
        """How many of `nodes` may crash while the system still answers."""

    @abstractmethod
    def nodes(self, plan: Plan) -> tuple[Process, ...]:
        """The process of each node, in the plan's order."""

    @abstractmethod
    def clients(self, plan: Plan) -> tuple[Process, ...]:
        """The process of each client, in the plan's order; none where nodes make their own load."""


def known_protocols() -> dict[str, type[Protocol]]:
    """Every protocol by name: those that come with the runner and those of installed packages."""
    from benchmark.protocols.etcd import Etcd
    from benchmark.protocols.mysticeti import Mysticeti
    from benchmark.protocols.remora import Remora

    found: dict[str, type[Protocol]] = {protocol.name: protocol for protocol in (Etcd, Mysticeti, Remora)}
    return found | {entry.name: _load(entry) for entry in entry_points(group=ENTRY_POINTS)}


def find_protocol(name: str) -> type[Protocol]:
    """Return the protocol called `name`, or described by the file of that name if it ends in .yaml.

    UsageError names the known ones, or says what is wrong with the file.
    """
    if name.endswith((".yaml", ".yml")):
        from benchmark.protocols.declared import read_protocol

        return read_protocol(Path(name))
    known = known_protocols()
    if name not in known:
        raise UsageError(f"no protocol named {name!r}; known are: {', '.join(sorted(known))}, or a file FILE.yaml")
    return known[name]


def _load(entry: EntryPoint) -> type[Protocol]:
    """Load what an installed package offers; UsageError if it is no protocol."""
    source = f"{entry.dist.name if entry.dist else 'an installed package'}, entry point {entry.name} = {entry.value}"
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{source}: {error}; repair or uninstall that package") from None
    if not (isinstance(found, type) and issubclass(found, Protocol)):
        raise UsageError(f"{source}: found {found!r}, expected a subclass of benchmark.protocols.Protocol")
    return found

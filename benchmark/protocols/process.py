"""The processes of a system as data: what runs where, how it is built, how it becomes ready."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmark.inventory import Host


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


RateSegments = tuple[tuple[float, float, float], ...]
"""Load over time: (start in s, share of the whole load there, share at the end of the piece); the last is constant."""


@dataclass(frozen=True)
class Plan:
    """Which hosts carry what in one run, and the load that is asked for.

    `shares[i]` is the load in tx/s of client i, or of node i where nodes make the load; their sum is what falls
    due. `rtt_ms` are the measured round-trip times between regions, empty until they are measured; `duration_s`
    is how long load is wanted, warm-up included; `rate_segments` how it changes over that time, constant if empty.
    """

    nodes: tuple[Host, ...]
    clients: tuple[Host, ...]
    load: int
    shares: tuple[int, ...]
    rtt_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)
    duration_s: float = 0.0
    rate_segments: RateSegments = ()

    @property
    def scheduled_tps(self) -> int:
        """The load that falls due at most, in tx/s; less than `load` where a protocol takes whole steps only."""
        return sum(self.shares)

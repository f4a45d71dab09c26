"""Describe the processes of a system: commands, hosts, builds and readiness."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from benchmark.inventory import Host

if TYPE_CHECKING:
    from benchmark.metrics.foreign_logs import LatencySource  # it imports numpy, which makes `--help` slow

AGREEMENT = "agreement"
"""File in the folder of a node with the script that prints what all nodes must agree on."""


@dataclass(frozen=True)
class Process:
    """A long-running command on one host.

    `files` maps paths in the process's folder to their content. The command runs in that folder, as does `prepare`,
    which completes before any process is started. `ready` is a condition that is checked on the host: `tcp PORT`,
    `http PORT PATH` (a 2xx response), `metric PORT PATH NAME` (the metric exists), `log PATTERN` (extended regular
    expression), `run SCRIPT` (that bash script among the files exits with 0), or empty. `alive` is the condition that
    it meets from then on, also after another start; empty if it is `ready`. `grace` is the time in seconds between
    SIGTERM and SIGKILL. `user` runs `prepare` and the command, and owns their folder, where the login is root; any
    other login runs them itself. `latency_log` is the file in the folder, if any, to which the process
    writes the latencies of all requests: an HdrHistogram interval log as the project's load generator writes it, or
    what `latency_source` describes, in all files that match the name as a pattern. `agreement` is a command that prints
    what all nodes must agree on once the load is over.
    """

    name: str
    job: Literal["node", "client", "probe"]
    host: Host
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    metrics_port: int | None = None
    metrics_path: str = "/metrics"
    ready: str = ""
    alive: str = ""
    grace: int = 5
    prepare: tuple[str, ...] = ()
    user: str = ""
    latency_log: str = ""
    latency_source: LatencySource | None = None
    agreement: tuple[str, ...] = ()

    def script(self) -> str:
        """Return the bash script that becomes this process."""
        return self._script(self.argv)

    def prepare_script(self) -> str:
        """Return the bash script for `prepare`; empty if there is nothing to prepare."""
        return self._script(self.prepare) if self.prepare else ""

    def agreement_script(self) -> str:
        """Return the bash script for `agreement`; empty if there is none."""
        return self._script(self.agreement) if self.agreement else ""

    def _script(self, argv: tuple[str, ...]) -> str:
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        command = shlex.join(argv)
        if self.user:
            exports = [_BECOME.replace("NAME", shlex.quote(self.user)), *exports]
            command = f'"${{become[@]}}" {command}'
        return "\n".join([*exports, f"exec {command}", ""])


_BECOME = """\
become=()
if ((EUID == 0)); then
    user=NAME
    fail() { echo "cannot run as $user: $1" >&2; exit 1; }
    id "$user" >/dev/null 2>&1 || fail "this host has no such user"
    become=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups)
    chown -R "$user:" . || fail "cannot give it $PWD"
    "${become[@]}" test -r "$PWD" || fail "it cannot reach $PWD; set working_dir to /srv/geobench in the settings"
    export HOME=$(getent passwd "$user" | cut -d : -f 6) USER=$user LOGNAME=$user
fi"""


@dataclass(frozen=True)
class Build:
    """How a system's binaries are built from a checkout of its repository.

    `command` is a bash script that runs in the checkout, as the login user of the build host. `$BUILD_CACHE` is a
    folder for this repository that is kept for later builds. `outputs` are the files that the command creates, by name
    or by path relative to the checkout; each is installed under its base name, on the PATH of every process.
    """

    packages: tuple[str, ...] | None = None
    """Debian packages that the command needs; None for those of the default command."""
    command: str = ""
    """Empty for the release build of the tool whose file the repository has: `benchmark.artifacts.toolchains`."""
    outputs: tuple[str, ...] = ()
    """Empty for all executable files that the command creates."""
    repository: str | None = None
    """Default repository, if the settings have none."""


RateSegments = tuple[tuple[float, float, float], ...]
"""Load over time: (start in s, share of the load at its start, share at its end); the last segment is constant."""


@dataclass(frozen=True)
class Plan:
    """The hosts of nodes and clients in one run, and the requested load.

    `shares[i]` is the load in tx/s of client i, or of node i where nodes generate the load; their sum is the scheduled
    load. `rtt_ms` are the measured round-trip times between regions, empty until they are measured; `duration_s` is
    the duration of the load including warm-up; `rate_segments` how it changes over that time, constant if empty.
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
        """The peak of the scheduled load in tx/s; differs from `load` if the protocol requires multiples of a step."""
        return sum(self.shares)

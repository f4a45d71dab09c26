"""Facts about a host: its resources, software and ports, and whether a run is possible there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Literal

from benchmark.host_layout import VOLATILE_DISK
from benchmark.host_scripts import read_script
from benchmark.remote.answers import reading

LEAST_DISK_MB = 1024
LEAST_ROOT_MB = 128
Leftovers = Literal["count", "kill", "remove"]
"""What to do with processes of earlier runs: count, also kill, also remove their files."""
_NUMBERS = ("stale_processes", "cpus", "memory_mb", "memory_free_mb", "disk_free_mb", "disk_mb", "root_free_mb")


@dataclass(frozen=True)
class Facts:
    """One host's facts; sizes in MiB, package versions empty where not installed."""

    stale_processes: int = 0
    """Process groups that an earlier run left."""
    cpus: int = 0
    memory_mb: int = 0
    memory_free_mb: int = 0
    disk_free_mb: int = 0
    """Of the file system of `working_dir`, as is `disk_mb`."""
    disk_mb: int = LEAST_DISK_MB
    root_free_mb: int = LEAST_DISK_MB
    """Of the root file system; on a local host that of this machine's disk, where disks of hosts take space."""
    disk: str = VOLATILE_DISK
    """On a local host what `working_dir` is on, as `Disk.describe` writes it."""
    kernel: str = ""
    cpu_model: str = ""
    """As `lscpu` names it; empty if unknown, as is `os`."""
    os: str = ""
    """Name and release of the operating system, from /etc/os-release."""
    boot_id: str = ""
    listening: frozenset[int] = frozenset()
    packages: Mapping[str, str] = field(default_factory=dict)
    foreign_folder: str = ""
    """The run folder, if something other than a run made it: it is left alone."""
    unhealed: str = ""
    """Why a fault of an earlier run could not be healed; empty if none is left."""
    login_output: str = ""
    """What the start-up files of the login shell print before every command; it is ignored."""

    @property
    def platform(self) -> str:
        """The hardware and operating system in one line; numbers of hosts that differ in it cannot be pooled."""
        return ", ".join([f"{self.cpus} x {self.cpu_model or 'unknown CPU'}", self.os or "unknown OS", self.kernel])


def script() -> str:
    """Return the bash script that prints the facts; it is sent on standard input of `command`."""
    return read_script("probe.sh")


def command(
    working_dir: str,
    leftovers: Leftovers = "count",
    *,
    packages: Sequence[str] = (),
) -> str:
    """Return the command that runs the script."""
    arguments = (working_dir, leftovers, ",".join(packages))
    return "exec bash -s -- " + " ".join(map(quote, arguments))


def parse(text: str, login_output: str = "") -> Facts:
    """Read the script's output; InfrastructureError if it is something else."""
    found: dict[str, str] = {}
    listening: set[int] = set()
    packages: dict[str, str] = {}
    with reading("the host's facts", text):
        for line in text.splitlines():
            key, _, value = line.partition(" ")
            if key == "listening":
                listening.add(int(value))
            elif key == "package":
                name, _, version = value.partition(" ")
                packages[name] = version
            else:
                found[key] = value
        numbers = {name: int(found[name]) for name in _NUMBERS}
    return Facts(
        **numbers,
        disk=found.get("disk", VOLATILE_DISK),
        kernel=found.get("kernel", ""),
        cpu_model=found.get("cpu_model", ""),
        os=found.get("os", ""),
        boot_id=found.get("boot_id", ""),
        listening=frozenset(listening),
        packages=packages,
        foreign_folder=found.get("foreign", ""),
        unhealed=found.get("unhealed", ""),
        login_output=login_output.strip(),
    )


def problems(facts: Facts, ports: Sequence[int]) -> list[str]:
    """Return why a run that needs `ports` is not possible on the host; empty if it is."""
    found = [
        f"port {port} is in use; `ss -ltnp` there shows by what, `geobench stop` kills leftovers of a run"
        for port in sorted(set(ports) & facts.listening)
    ]
    least = min(LEAST_DISK_MB, facts.disk_mb // 2)  # a disk may be small on purpose
    if facts.disk_free_mb < least:
        found.append(f"{facts.disk_free_mb} MiB of disk space are free, at least {least} are needed")
    if facts.root_free_mb < LEAST_ROOT_MB:
        found.append(f"{facts.root_free_mb} MiB are free on its root disk, at least {LEAST_ROOT_MB} are needed")
    if facts.foreign_folder:
        found.append(
            f"{facts.foreign_folder} exists and was not made by a run, which would replace it; set another working_dir"
        )
    if facts.unhealed:
        found.append(f"a fault of an earlier run could not be healed ({facts.unhealed}); restart the host")
    return found

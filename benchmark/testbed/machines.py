"""What machines that the user already has lack for measurements: found out, and given to them, over SSH alone.

Machines of the other providers are made with it. `machine.sh` is all that runs there; what the user has set up,
such as a Prometheus of their own, is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import join, quote

from benchmark.errors import HostError
from benchmark.host_scripts import read_script
from benchmark.inventory import Host
from benchmark.testbed.testbed import Testbed

_LOOK_DEADLINE_S = 60.0
_SET_UP_DEADLINE_S = 120.0
_NO_SUDO = (
    "its login may not use sudo without a password. On the machine, as root (with the package sudo installed): "
    "echo '{login} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/{login}"
)


@dataclass(frozen=True)
class Needs:
    """What one machine lacks: Debian packages, and services that are not set up; `problems` are the user's to solve."""

    packages: tuple[str, ...] = ()
    services: bool = False
    problems: tuple[str, ...] = ()


def machines(testbed: Testbed) -> tuple[Host, ...]:
    """The running hosts that are machines of the user's."""
    return tuple(host for host in testbed.running if host.provider == "machines")


def look(testbed: Testbed) -> dict[str, Needs]:
    """Find out what each machine lacks, changing nothing. Raises HostError if one does not answer."""
    return {name: parse(text) for name, text in _run(testbed, "inspect", machines(testbed), _LOOK_DEADLINE_S).items()}


def problems(testbed: Testbed) -> dict[str, str]:
    """Say of each machine what the user has to do before a run can take place there, if anything."""
    return {name: "; ".join(needs.problems) for name, needs in look(testbed).items() if needs.problems}


def set_up(testbed: Testbed, tell: Callable[[str], None]) -> None:
    """Install and start what machines lack; nothing happens where nothing does. Raises HostError."""
    found = look(testbed)
    if unsolved := {name: "; ".join(needs.problems) for name, needs in found.items() if needs.problems}:
        raise HostError("machines cannot be set up for measurements:", unsolved)
    if lacking := {name: needs.packages for name, needs in found.items() if needs.packages}:
        packages = dict.fromkeys(package for names in lacking.values() for package in names)
        tell(f"installing {', '.join(packages)} on {', '.join(lacking)}")
        testbed.install(lacking)
    hosts = [host for host in machines(testbed) if found[host.name].services]
    _run(testbed, "set-up", hosts, _SET_UP_DEADLINE_S)


def command(mode: str, host: Host, interval_ms: int, others: Sequence[str] = ()) -> str:
    """The command that runs the script, given on its standard input, as root or through sudo.

    `others` are the addresses of hosts that this one has to reach.
    """
    arguments = f'{mode} "$(id -un)" {int(host.role == "monitoring")} {interval_ms} {join(others)}'.rstrip()
    refused = quote("problem " + _NO_SUDO)
    return (
        f'[ "$(id -u)" = 0 ] && exec bash -s -- {arguments}; '
        f'sudo -n true </dev/null 2>/dev/null || {{ echo {refused} | sed "s/{{login}}/$(id -un)/g"; exit; }}; '
        f"exec sudo -n bash -s -- {arguments}"
    )


def parse(text: str) -> Needs:
    """Read what the script printed."""
    found: dict[str, list[str]] = {"missing": [], "set-up": [], "problem": []}
    for line in text.splitlines():
        kind, _, value = line.partition(" ")
        found.setdefault(kind, []).append(value)
    return Needs(tuple(found["missing"]), bool(found["set-up"]), tuple(found["problem"]))


def _run(testbed: Testbed, mode: str, hosts: Sequence[Host], deadline: float) -> Mapping[str, str]:
    if not hosts:
        return {}
    interval_ms = round(testbed.settings.scrape_interval.total_seconds() * 1000)
    addresses = {host.name: host.address for host in testbed.running}
    commands = {
        host.name: command(mode, host, interval_ms, [each for name, each in addresses.items() if name != host.name])
        for host in hosts
    }
    answers = testbed.fleet.run(commands, stdin=read_script("machine.sh"), deadline=deadline)
    done = answers.raise_for_failures("machines could not be set up for measurements:")
    return {name: answer.stdout for name, answer in done.items()}

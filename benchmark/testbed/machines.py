"""Install what existing machines need for measurements, over SSH alone.

Hosts of the other providers are created with it. What the user has set up, such as a Prometheus for other purposes, is
left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import join, quote

from benchmark.errors import HostError
from benchmark.host_scripts import read_script
from benchmark.inventory import Host
from benchmark.remote.deadlines import INSPECT_S, SET_UP_S
from benchmark.testbed.testbed import Testbed

_NO_SUDO = (
    "its login may not use sudo without a password. On the machine, as root (with the package sudo installed): "
    "echo '{login} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/{login}"
)


@dataclass(frozen=True)
class MissingRequirements:
    """Missing Debian packages and services of one machine; the user has to solve the `problems`."""

    packages: tuple[str, ...] = ()
    services: bool = False
    problems: tuple[str, ...] = ()


def machines(testbed: Testbed) -> tuple[Host, ...]:
    """Return the running hosts that existed before the testbed."""
    return tuple(host for host in testbed.running if host.capabilities.user_owned)


def inspect(testbed: Testbed) -> dict[str, MissingRequirements]:
    """Return what is missing on each machine, changing nothing; HostError if one does not answer."""
    return {name: parse(text) for name, text in _run(testbed, "inspect", machines(testbed), INSPECT_S).items()}


def problems(testbed: Testbed) -> dict[str, str]:
    """Return by machine what the user has to solve before a run is possible there."""
    return {name: "; ".join(found.problems) for name, found in inspect(testbed).items() if found.problems}


def set_up(testbed: Testbed, report: Callable[[str], None]) -> None:
    """Install and start what is missing on machines; HostError if that fails."""
    found = inspect(testbed)
    if unsolved := {name: "; ".join(each.problems) for name, each in found.items() if each.problems}:
        raise HostError("machines cannot be set up for measurements:", unsolved)
    if missing := {name: each.packages for name, each in found.items() if each.packages}:
        packages = dict.fromkeys(package for names in missing.values() for package in names)
        report(f"installing {', '.join(packages)} on {', '.join(missing)}")
        testbed.install(missing)
    hosts = [host for host in machines(testbed) if found[host.name].services]
    _run(testbed, "set-up", hosts, SET_UP_S)


def command(mode: str, host: Host, interval_ms: int, others: Sequence[str] = ()) -> str:
    """Return the command that runs machine.sh, given on its standard input, as root or through sudo.

    `others` are the addresses of the hosts that this one has to reach.
    """
    arguments = f'{mode} "$(id -un)" {int(host.role == "monitoring")} {interval_ms} {join(others)}'.rstrip()
    refused = quote("problem " + _NO_SUDO)
    return (
        f'[ "$(id -u)" = 0 ] && exec bash -s -- {arguments}; '
        f'sudo -n true </dev/null 2>/dev/null || {{ echo {refused} | sed "s/{{login}}/$(id -un)/g"; exit; }}; '
        f"exec sudo -n bash -s -- {arguments}"
    )


def parse(text: str) -> MissingRequirements:
    """Read what the script printed."""
    found: dict[str, list[str]] = {"missing": [], "set-up": [], "problem": []}
    for line in text.splitlines():
        kind, _, value = line.partition(" ")
        found.setdefault(kind, []).append(value)
    return MissingRequirements(tuple(found["missing"]), bool(found["set-up"]), tuple(found["problem"]))


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

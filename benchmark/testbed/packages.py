"""Debian packages: which are missing, how they are installed, and the commit that a version stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import join

from benchmark.errors import InfrastructureError, UsageError
from benchmark.host_scripts import read_script
from benchmark.remote.answers import reading

INSTALL_DEADLINE_S = 900.0


def install_command(packages: Sequence[str]) -> str:
    """Return the command that installs packages without starting their services, as root or through sudo."""
    quoted = join(["bash", "-c", read_script("install.sh"), "install", *packages])
    return f'if [ "$(id -u)" = 0 ]; then exec {quoted}; else exec sudo -n {quoted}; fi'


def parse_versions(text: str) -> dict[str, str]:
    """Read what `install_command` printed: package to version."""
    with reading("the versions of packages", text):
        return dict(line.split(" ", 1) for line in text.splitlines())


def missing_command(packages: Sequence[str]) -> str:
    """Return the command that prints those of `packages` that are not installed, a line each."""
    query = "dpkg-query -W -f '${Status}' \"$name\" 2>/dev/null | grep -q ' installed$'"
    return join(["sh", "-c", f'for name; do {query} || echo "$name"; done', "missing", *packages])


def missing_packages(versions: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Return the missing packages of each host; `versions` maps host to package to version, empty if not installed."""
    missing = {host: [name for name, version in found.items() if not version] for host, found in versions.items()}
    return {host: names for host, names in missing.items() if names}


def package_commit(packages: Sequence[str], versions: Mapping[str, Mapping[str, str]]) -> str:
    """Return the version of the first of `packages`, which names what was installed; `unknown` without packages.

    UsageError where hosts have different versions: a committee of two versions measures neither.
    """
    if not packages:
        return "unknown"
    by_version: dict[tuple[str, ...], list[str]] = {}
    for host, found in versions.items():
        by_version.setdefault(tuple(found.get(name, "") for name in packages), []).append(host)
    if len(by_version) > 1:
        listed = "; ".join(f"{', '.join(version)} on {', '.join(hosts[:3])}" for version, hosts in by_version.items())
        raise UsageError(f"hosts have different versions of {', '.join(packages)}: {listed}; install the same version")
    if not by_version:
        raise InfrastructureError(f"no host reported its version of {', '.join(packages)}")
    return next(iter(by_version))[0]

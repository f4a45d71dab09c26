"""Debian packages: which are missing, how they are installed, how a version names what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import join

from benchmark.errors import InfrastructureError, UsageError
from benchmark.host_scripts import read_script

INSTALL_DEADLINE_S = 900.0


def install_command(packages: Sequence[str]) -> str:
    """The command that installs Debian packages whose services shall not run; as root or through sudo."""
    quoted = join(["bash", "-c", read_script("install.sh"), "install", *packages])
    return f'if [ "$(id -u)" = 0 ]; then exec {quoted}; else exec sudo -n {quoted}; fi'


def lacking_command(packages: Sequence[str]) -> str:
    """The command that prints those of `packages` that are not installed, a line each."""
    query = "dpkg-query -W -f '${Status}' \"$name\" 2>/dev/null | grep -q ' installed$'"
    return join(["sh", "-c", f'for name; do {query} || echo "$name"; done', "lacking", *packages])


def missing_packages(versions: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Return what each host lacks; `versions` maps host to package to version, empty where not installed."""
    lacking = {host: [name for name, version in found.items() if not version] for host, found in versions.items()}
    return {host: names for host, names in lacking.items() if names}


def package_commit(packages: Sequence[str], versions: Mapping[str, Mapping[str, str]]) -> str:
    """Name what was installed by the version of the first of `packages`, which must be the same on all hosts.

    Without packages nobody knows. Raises UsageError where hosts differ: a committee of two versions measures neither.
    """
    if not packages:
        return "unknown"
    by_version: dict[tuple[str, ...], list[str]] = {}
    for host, found in versions.items():
        by_version.setdefault(tuple(found.get(name, "") for name in packages), []).append(host)
    if len(by_version) > 1:
        listed = "; ".join(f"{', '.join(version)} on {', '.join(hosts[:3])}" for version, hosts in by_version.items())
        raise UsageError(f"hosts have different versions of {', '.join(packages)}: {listed}; bring them to one version")
    if not by_version:
        raise InfrastructureError("no host told which packages it has")
    return next(iter(by_version))[0]

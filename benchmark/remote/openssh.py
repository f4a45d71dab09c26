"""How a person logs in to a host: OpenSSH's command line, with the same pinned host key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.inventory import Host


def known_hosts_line(host: Host) -> str:
    """Return the line of a known_hosts file that pins `host` for `openssh_command`."""
    return f"{host.name} {host.host_key}\n"


def openssh_command(
    host: Host, user: str, key_path: Path, known_hosts_path: Path, command: Sequence[str] = ()
) -> list[str]:
    """Return the OpenSSH command line that logs in to `host`, or runs `command` there, with nobody's own settings."""
    options = {
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "HostKeyAlias": host.name,
        "UserKnownHostsFile": str(known_hosts_path),
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
    }
    flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return [
        *("ssh", "-F", "none", "-i", str(key_path), "-p", str(host.ssh_port), *flags),
        *("-l", host.ssh_user or user, host.address, *(["--", *command] if command else [])),
    ]

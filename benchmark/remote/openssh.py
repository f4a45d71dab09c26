"""Log a person in to a host with OpenSSH, with the same pinned host key as the runner."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.inventory import Host


def known_hosts_line(host: Host) -> str:
    """Return the known_hosts line that pins `host` for `openssh_command`."""
    return f"{host.name} {host.host_key}\n"


def openssh_command(
    host: Host, user: str, key_path: Path, known_hosts_path: Path, command: Sequence[str] = ()
) -> list[str]:
    """Return the `ssh` command line that logs in to `host`, or runs `command` there.

    It reads no configuration of the operator. UsageError if the inventory's address is not an IP address or host name:
    an inventory file may come from somebody else, and ssh takes an address such as `-oProxyCommand=…` for an option.
    """
    if not re.fullmatch(r"[A-Za-z0-9:][A-Za-z0-9:.%_-]*", host.address):
        raise UsageError(
            f"host {host.name}: the address in the inventory is {host.address!r}, expected an IP address or host name"
            + ("; start the host with `pulumi up -c state=running`" if host.state == "stopped" else "")
        )
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
        *("-l", host.ssh_user or user, "--", host.address, *command),
    ]

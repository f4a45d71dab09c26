"""Log a person in to a host with OpenSSH, with the same pinned host key as the runner."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.inventory import Host

_ADDRESS = r"[A-Za-z0-9:][A-Za-z0-9:.%_-]*"
_GATEWAY = "gateway"
_TARGET = "[%h]:%p"


def known_hosts_line(host: Host) -> str:
    """Return the known_hosts lines that pin `host`, and its gateway, for `openssh_command`."""
    gateway = f"{_GATEWAY} {host.jump.host_key}\n" if host.jump else ""
    return f"{host.name} {host.host_key}\n{gateway}"


def openssh_command(
    host: Host, user: str, key_path: Path, known_hosts_path: Path, command: Sequence[str] = ()
) -> list[str]:
    """Return the `ssh` command line that logs in to `host`, or runs `command` there.

    It reads no configuration of the operator. UsageError if the inventory's address is not an IP address or host name:
    an inventory file may come from somebody else, and ssh takes an address such as `-oProxyCommand=…` for an option.
    """
    if not re.fullmatch(_ADDRESS, host.login_address):
        raise UsageError(
            f"host {host.name}: the address in the inventory is {host.login_address!r}, expected an IP address or host "
            "name" + ("; start the host with `pulumi up -c state=running`" if host.state == "stopped" else "")
        )
    login = host.ssh_user or user
    common = ["ssh", "-F", "none", "-i", str(key_path)]
    proxy: list[str] = []
    if host.jump:
        if not re.fullmatch(_ADDRESS, host.jump.address):
            raise UsageError(
                f"host {host.name}: the address of its gateway is {host.jump.address!r}, expected an IP address or "
                "host name"
            )
        through = [*common, "-p", str(host.jump.ssh_port), *_options(_GATEWAY, known_hosts_path)]
        # ssh expands %h and %p, and passes the command to a shell.
        through += ["-W", _TARGET, "-l", host.jump.ssh_user or login, "--", host.jump.address]
        quoted = " ".join(f"'{part}'" if part == _TARGET else shlex.quote(part).replace("%", "%%") for part in through)
        proxy = ["-o", f"ProxyCommand={quoted}"]
    options = [*proxy, *_options(host.name, known_hosts_path)]
    return [*common, "-p", str(host.ssh_port), *options, "-l", login, "--", host.login_address, *command]


def _options(alias: str, known_hosts_path: Path) -> list[str]:
    """Return the options that pin the key of `alias` and read no configuration of the operator."""
    options = {
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "HostKeyAlias": alias,
        "UserKnownHostsFile": str(known_hosts_path),
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]

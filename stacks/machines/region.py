"""Machines the user already has: nothing is created, they are only described.

They keep their own users, keys and firewalls; what a run needs there is installed by the runner. Their cost is the
user's own affair and counts as nothing.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi

from benchmark.errors import SettingsError
from benchmark.settings import Machine, Settings

if TYPE_CHECKING:
    from stacks.region import Plan

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


class MachineRegion:
    """The machines of one region, with what `stacks.Region` asks for."""

    def __init__(self, hosts: list[dict[str, Any]]) -> None:
        self.hosts = [pulumi.Output.from_input(host) for host in hosts]
        self.hourly_cost_usd: float | None = 0.0
        self.grafana_password: pulumi.Output[str] | None = None

    def admit(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Do nothing: the machines' firewalls are the user's own."""


def regions(plan: Plan, names: Sequence[str]) -> list[MachineRegion]:
    """Describe the machines of these regions; a warning tells that they stay up where other hosts are to be stopped.

    Raises SettingsError like `machine_hosts`, if the key is not named, or if machines alone are to be stopped.
    """
    if plan.operator.private_key_file is None:
        raise SettingsError(
            "ssh_private_key_file is missing: nothing is installed on machines you already have, so name a private key "
            "that all of them let in, such as ~/.ssh/id_ed25519"
        )
    hosts = machine_hosts(plan.settings)
    if plan.settings.state == "stopped":
        _check_stop(plan.settings)
    for host in hosts:
        host["role"] = plan.role(host["name"])
    return [MachineRegion([host for host in hosts if host["region"] == name]) for name in names]


def _check_stop(settings: Settings) -> None:
    """Tell that machines are not halted: as an error where the testbed has no other hosts."""
    if all(spec.provider == "machines" for spec in settings.region_specs):
        raise SettingsError(
            "state: found stopped, expected running: machines you already have are never halted; "
            "`sudo systemctl poweroff` on each does it, `pulumi destroy` forgets them and changes nothing on them"
        )
    pulumi.log.warn(
        f"state: stopped leaves {', '.join(machine.address for machine in settings.machines)} running: machines you "
        "already have are never halted, only the testbed's other hosts are"
    )


def machine_hosts(settings: Settings) -> list[dict[str, Any]]:
    """Return the fields of `benchmark.inventory.Host` for every machine, all as instances.

    Raises SettingsError that names every machine without a usable host key and the command that shows it.
    """
    _check_keys(settings.machines)
    _check_addresses(settings.machines)
    return [_host(machine, index) for machine, index in _numbered(settings.machines)]


def _numbered(machines: Sequence[Machine]) -> Iterator[tuple[Machine, int]]:
    """Every machine with its number within its region."""
    counted: dict[str, int] = {}
    for machine in machines:
        counted[machine.region] = counted.get(machine.region, -1) + 1
        yield machine, counted[machine.region]


def _host(machine: Machine, index: int) -> dict[str, Any]:
    return {
        "name": f"{machine.region}-{index}",
        "provider": "machines",
        "region": machine.region,
        "specs": "machine",
        "address": machine.address,
        "ssh_port": machine.port,
        "ssh_user": machine.user,
        "host_key": parse_host_key(machine.host_key or ""),
        "role": "instance",
        "state": "unknown",
    }


def parse_host_key(text: str) -> str:
    """Return `TYPE BASE64` of a key as sshd's .pub file or a line of ssh-keyscan has it; ValueError if it is none."""
    words = [word for word in text.split() if not word.startswith("#")]
    kind = next((word for word in words if word in _KINDS), None)
    if kind is None:
        raise ValueError(f"{text[:40]!r} has no key of the kinds {', '.join(_KINDS)}")
    after = words[words.index(kind) + 1 :]
    try:
        blob = base64.b64decode(after[0] if after else "", validate=True)
    except binascii.Error:
        blob = b""
    # The type stands in the key itself once more, behind its length (RFC 4253, 6.6).
    if blob[4 : 4 + int.from_bytes(blob[:4], "big")] != kind.encode():
        raise ValueError(f"{text[:40]!r} is cut off or damaged")
    return f"{kind} {after[0]}"


def _check_keys(machines: tuple[Machine, ...]) -> None:
    wrong = []
    for index, machine in enumerate(machines):
        try:
            parse_host_key(machine.host_key or "")
        except ValueError as error:
            found = error if machine.host_key else "missing"
            wrong.append(f"  machines.{index}.host_key: {found}; `{_show_key(machine)}` shows it")
    if wrong:
        raise SettingsError(
            "\n".join(
                [
                    "a host key is never accepted blindly: each machine needs its own in the settings",
                    *wrong,
                    "compare with the machine's own: `cat /etc/ssh/ssh_host_ed25519_key.pub` on its console",
                ]
            )
        )


def _show_key(machine: Machine) -> str:
    return shlex.join(["ssh-keyscan", "-t", "ed25519", "-p", str(machine.port), machine.address])


def _check_addresses(machines: tuple[Machine, ...]) -> None:
    seen: dict[tuple[str, int], int] = {}
    for index, machine in enumerate(machines):
        first = seen.setdefault((machine.address, machine.port), index)
        if first != index:
            raise SettingsError(f"machines.{index}: {machine.address} port {machine.port} is machines.{first} already")

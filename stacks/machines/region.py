"""Machines the user already has: nothing is created, they are only described.

They keep their users, keys and firewalls; the runner installs a run's requirements there. They count as free of charge.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

import pulumi

from benchmark.errors import SettingsError
from benchmark.inventory import EmulatedRoundTrip, Host, HostCapabilities, HostHelp, Jump
from benchmark.settings import Machine
from stacks.region import Plan

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


class MachineRegion:
    """The machines of one region; see `stacks.region.Region`."""

    round_trips: Mapping[str, EmulatedRoundTrip] = {}
    capabilities = HostCapabilities(
        user_owned=True,
        help=HostHelp(
            unreachable="Existing machines must be on and admit you: pulumi does not start them, it takes their "
            "address, port, user and host_key from the settings",
            login_rejected="Set ssh_private_key_file to the matching key, or add the public key there, or correct the "
            "machine's `user` and run `pulumi up`",
            host_key_changed="the machine was reinstalled, set `host_key` in the settings to its new key and run "
            "`pulumi up`",
        ),
    )
    hourly_cost_usd: float | None = 0.0
    grafana_password: pulumi.Output[str] | None = None

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = [pulumi.Output.from_input(host) for host in hosts]

    def authorize_ingress(self, addresses: Mapping[str, pulumi.Input[str]]) -> None:
        """Do nothing: the machines' firewalls belong to the user."""


def regions(plan: Plan, names: Sequence[str]) -> list[MachineRegion]:
    """Describe the machines of these regions; warn that they stay up if the testbed's other hosts are to be stopped.

    Raises SettingsError like `machine_hosts`, if no key is named, or if a testbed of machines alone is to be stopped.
    """
    settings = plan.settings
    if plan.operator.private_key_file is None:
        raise SettingsError(
            "ssh_private_key_file is missing: nothing is installed on machines you already have, so name a private key "
            "that all of them accept, such as ~/.ssh/id_ed25519"
        )
    hosts = machine_hosts(settings.machines)
    if settings.state == "stopped":
        if all(spec.provider == "machines" for spec in settings.region_specs):
            raise SettingsError(
                "state: found stopped, expected running: machines you already have are never halted; "
                "`sudo systemctl poweroff` on each does it, `pulumi destroy` removes them from the testbed and changes "
                "nothing on them"
            )
        pulumi.log.warn(
            f"state: stopped leaves {', '.join(machine.address for machine in settings.machines)} running: machines "
            "you already have are never halted, only the testbed's other hosts are"
        )
    hosts = [host.model_copy(update={"role": plan.role(host.name)}) for host in hosts]
    return [MachineRegion([host for host in hosts if host.region == name]) for name in names]


def machine_hosts(machines: Sequence[Machine]) -> list[Host]:
    """Return the inventory's entry for every machine, all as instances.

    Raises SettingsError that names every machine without a usable host key and the command that shows the key, or the
    first machine that is listed twice.
    """
    hosts: list[Host] = []
    problems: list[str] = []
    numbers: Counter[str] = Counter()
    first: dict[tuple[str, int], int] = {}
    for index, machine in enumerate(machines):
        same = first.setdefault((machine.address, machine.port), index)
        if same != index:
            raise SettingsError(
                f"machines.{index}: {machine.address} port {machine.port} is already listed as machines.{same}; "
                "remove one"
            )
        try:
            host_key = parse_host_key(machine.host_key or "")
        except ValueError as error:
            reached = machine.ssh_address or machine.address
            command = shlex.join(["ssh-keyscan", "-t", "ed25519", "-p", str(machine.port), reached])
            if machine.jump:
                command = shlex.join(["ssh", machine.jump.address, *shlex.split(command)])
            problem = error if machine.host_key else "missing"
            problems.append(f"  machines.{index}.host_key: {problem}; `{command}` shows it")
            continue
        try:
            jump = None
            if machine.jump:
                jump = Jump(
                    address=machine.jump.address,
                    ssh_port=machine.jump.port,
                    ssh_user=machine.jump.user,
                    host_key=parse_host_key(machine.jump.host_key),
                )
        except ValueError as error:
            problems.append(f"  machines.{index}.jump.host_key: {error}")
            continue
        host = Host(
            name=f"{machine.region}-{numbers[machine.region]}",
            provider="machines",
            region=machine.region,
            specs="machine",
            address=machine.address,
            ssh_address=machine.ssh_address,
            jump=jump,
            ssh_port=machine.port,
            ssh_user=machine.user,
            host_key=host_key,
            role="instance",
            state="unknown",
            capabilities=MachineRegion.capabilities,
        )
        hosts.append(host)
        numbers[machine.region] += 1
    if problems:
        raise SettingsError(
            "\n".join(
                [
                    "host keys are never accepted blindly: set the key of each machine in the settings",
                    *problems,
                    "compare with `cat /etc/ssh/ssh_host_ed25519_key.pub` on the machine's console",
                ]
            )
        )
    return hosts


def parse_host_key(text: str) -> str:
    """Return `TYPE BASE64` of a key from sshd's .pub file or a line of ssh-keyscan; ValueError if there is none."""
    words = [word for word in text.split() if not word.startswith("#")]
    kind = next((word for word in words if word in _KINDS), None)
    if kind is None:
        raise ValueError(f"{text[:40]!r} contains no key of type {', '.join(_KINDS)}")
    after = words[words.index(kind) + 1 :]
    try:
        blob = base64.b64decode(after[0] if after else "", validate=True)
    except binascii.Error:
        blob = b""
    # The key itself begins with its type, preceded by the type's length (RFC 4253, 6.6).
    if blob[4 : 4 + int.from_bytes(blob[:4], "big")] != kind.encode():
        raise ValueError(f"{text[:40]!r} is truncated or damaged")
    return f"{kind} {after[0]}"

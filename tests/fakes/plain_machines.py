"""Existing machines of a user: Debian with sshd and a login with sudo, without the benchmark's requirements."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import yaml
from fakes.debian_repository import Repository
from fakes.emulators.machine import Image, Machine
from waiting import wait_for

from benchmark.settings import Network
from stacks.keys import generate_key
from stacks.local.wan.links import links_for
from stacks.local.wan.network import WideAreaNetwork

LOGIN = "ada"
PACKAGES = ("prometheus", "prometheus-node-exporter", "etcd-server", "etcd-client")
RECOMMENDED = ("prometheus-node-exporter-collectors",)
"""Packages that this machine has only if recommended packages were installed, too."""


class PlainMachines:
    """Machines by name, each in a region and with a port for SSH; GEOBENCH_STATE_DIR is the folder of the network."""

    def __init__(self, folder: Path, name: str, machines: Mapping[str, tuple[str, int]]) -> None:
        self.folder = folder
        self.key_file = folder / "id_ed25519"
        self._key = generate_key()
        self.key_file.touch(0o600)
        self.key_file.write_text(self._key.private_key, encoding="utf-8")
        self.key_file.with_suffix(".pub").write_text(f"{self._key.public_key} ada@desk\n", encoding="utf-8")
        regions = sorted({region for region, _ in machines.values()})
        pairs = itertools.combinations_with_replacement(regions, 2)
        rtt_ms = {f"{a}/{b}": 0.5 if a == b else 20.0 for a, b in pairs}
        self.network = WideAreaNetwork(name)
        self.machines: dict[str, Machine] = {}
        self._ends = ExitStack()
        try:
            self.network.start(links_for(regions, Network(rtt_ms=rtt_ms, internet=False)))
            self._ends.callback(self.network.stop)
            self.image = Image(folder / "image")
            self._ends.callback(self.image.remove)
            self.repository = Repository(folder / "packages", PACKAGES, self.network.operator_address)
            self._ends.callback(self.repository.close)
            for each, (region, port) in machines.items():
                self.machines[each] = Machine(folder / each, self.image, self.network, each, region)
                self._ends.callback(self.machines[each].remove)
                self.machines[each].create(self._cloud_config(port))
            for machine in self.machines.values():
                wait_for(machine.path("/var/lib/installed").exists, f"{machine.name} is installed", 180.0)
        except BaseException:
            self.close()
            raise

    def _cloud_config(self, port: int) -> str:
        """The set-up by whoever installed the machines."""
        config = {
            "manage_etc_hosts": "localhost",  # as installers do: sudo looks the machine's name up
            "ssh_deletekeys": True,
            "ssh_genkeytypes": ["ed25519", "ecdsa"],
            "users": [
                {
                    "name": LOGIN, "shell": "/bin/bash", "lock_passwd": True, "sudo": "ALL=(ALL) NOPASSWD:ALL",
                    "ssh_authorized_keys": [self._key.public_key],
                }
            ],
            "write_files": [
                {"path": "/etc/ssh/sshd_config.d/port.conf", "content": f"Port {port}\n"},
                {"path": "/etc/apt/sources.list", "content": f"{self.repository.source}\n"},
            ],
            "runcmd": [
                ["dpkg", "--purge", "--force-depends", *PACKAGES, *RECOMMENDED],
                ["rm", "-rf", "/etc/prometheus", "/var/lib/prometheus", "/usr/sbin/policy-rc.d"],
                ["systemctl", "restart", "ssh"],
                ["touch", "/var/lib/installed"],
            ],
        }  # fmt: skip
        return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)

    def root(self, name: str, command: str) -> str:
        """Run a shell command on a machine's console; it must succeed."""
        done = self.machines[name].enter(["sh", "-c", command])
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        """Stop all machines and the network."""
        self._ends.close()

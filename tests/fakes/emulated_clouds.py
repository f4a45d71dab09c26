"""Stacks of the program in emulated clouds whose machines really boot, and what tests do with them."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from fakes.emulators.machine import Machine
from fakes.emulators.site import AWS_SECRET, TOKEN, Site
from fakes.emulators.vultr_kinds import CONSOLE_TOKEN
from fakes.pulumi_stack import Stack
from fakes.runner import Runner
from waiting import wait_for

from benchmark.inventory import Host

SETTINGS = """\
cloud_provider: aws
regions: [us-east-1, vultr:ewr]
specs: {{aws: m5d.2xlarge, vultr: vc2-4c-8gb}}
instances: 2
operator_cidrs: [{operator}]
scrape_interval: 500ms
"""
"""A testbed over both clouds; `{operator}` is this machine's network."""
ONE_AWS_HOST = """\
cloud_provider: aws
regions: [us-east-1]
specs: m5d.large
instances: 1
monitoring: false
operator_cidrs: [{operator}]
"""
SECRETS = (TOKEN, AWS_SECRET, CONSOLE_TOKEN, "PRIVATE KEY")


class HeardStack(Stack):
    """A stack that keeps the output of pulumi, except of commands that show secrets."""

    def __init__(self, folder: Path, testbed_id: str, settings: str) -> None:
        self.said: list[bytes] = []
        super().__init__(folder, testbed_id, settings)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = super().run(*arguments)
        if "--show-secrets" not in arguments:
            self.said += [done.stdout.encode(), done.stderr.encode()]
        return done


class Clouds:
    """A stack of the program and the site that it is deployed to."""

    def __init__(self, folder: Path, site: Site, testbed_id: str, settings: str = SETTINGS) -> None:
        self.site, self.folder = site, folder
        self.stack = HeardStack(folder / testbed_id, testbed_id, settings.format(operator=site.operator))
        self.stack.environment |= {**site.environment, "GEOBENCH_STATE_DIR": os.environ["GEOBENCH_STATE_DIR"]}

    @property
    def machines(self) -> dict[str, Machine]:
        """Return the machines of this testbed in the clouds, by host name, including orphans."""
        prefix = f"{self.stack.testbed_id}-"
        found = {machine.name: machine for machine in self.site.machines}
        return {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}

    @property
    def only_host(self) -> Host:
        """Return a host of the testbed, None if it does not exist."""
        (host,) = self.stack.inventory().hosts
        return host

    def ssh(self, host: Host, command: str) -> str:
        """Run a command on a host with the stack's key; the host must have the key of the inventory."""
        done = self.try_ssh(host, command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def try_ssh(self, host: Host, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, without checking its exit code."""
        key, known = self.stack.project / "key", self.stack.project / "known"
        if not key.exists():
            key.touch(0o600)
            key.write_text(self.stack.pulumi("stack", "output", "ssh_private_key", "--show-secrets"), encoding="utf-8")
        known.write_text(f"{host.address} {host.host_key}\n", encoding="utf-8")
        options = ["-F", "none", "-i", str(key), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
        options += ["-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10"]
        target = ["ssh", *options, f"{host.ssh_user}@{host.address}", command]
        return subprocess.run(target, capture_output=True, text=True, timeout=60, check=False)

    def benchmark(self, *arguments: str, exit_code: int = 0) -> str:
        """Run a command of the runner and return its standard output, or its errors where it printed nothing there."""
        runner = Runner(self.stack)
        out, err = runner(*arguments, codes=(exit_code,))
        self.stack.said += runner.printed
        return out or err

    def measure(self, *options: str) -> dict[str, Any]:
        """Run a benchmark and return its summary; it may be invalid for the load on this machine only."""
        runner = Runner(self.stack)
        found = runner.measure(*options)
        self.stack.said += runner.printed
        return found

    def _lets_in(self, host: Host) -> bool:
        done: bool = self.try_ssh(host, "true").returncode == 0
        return done

    def wait_until_ready(self) -> None:
        """Wait until every host has finished bootstrapping and accepts logins."""
        hosts = self.stack.inventory().hosts
        for host in hosts:
            wait_for(partial(reaches, host.address, 22), f"{host.name} answers")
        for machine in self.machines.values():
            wait_for(partial(_is_over, machine), f"{machine.name} is set up")
            assert _state(machine) == "ready", f"{machine.name} is {_state(machine)}: {_said(machine)}"
        for host in hosts:  # a restarted host reports ready before it accepts logins
            wait_for(partial(self._lets_in, host), f"{host.name} lets users in")


def _is_over(machine: Machine) -> bool:
    """Return whether bootstrapping has ended, successfully or not."""
    return _state(machine) not in ("", "booting")


def _state(machine: Machine) -> str:
    file = machine.path("/var/lib/geobench/state")
    return file.read_text(encoding="utf-8").strip() if file.exists() else ""


def _said(machine: Machine) -> str:
    """Return the last log lines of the bootstrap and of the units that it created."""
    shown = "tail -n 30 /var/log/cloud-init-output.log; journalctl --no-pager --lines=30 --unit='geobench-*'"
    said: str = machine.enter(["sh", "-c", shown]).stdout
    return said


@contextmanager
def emulated_site(folder: Path, name: str, regions: Sequence[str] = ("us-east-1", "ewr")) -> Iterator[Site]:
    """Yield a site of that name, and remove it with all its machines."""
    with mock.patch.dict(os.environ, GEOBENCH_STATE_DIR=str(folder / "machines")):
        site = Site(folder, name, regions)
        try:
            yield site
        finally:
            site.close()


@contextmanager
def emulated_clouds(
    folder: Path, testbed_id: str, settings: str = SETTINGS, regions: Sequence[str] = ("us-east-1", "ewr")
) -> Iterator[Clouds]:
    """Yield a stack that is not created yet, in a dedicated site; destroy both."""
    with emulated_site(folder, testbed_id, regions) as site:
        clouds = Clouds(folder, site, testbed_id, settings)
        try:
            yield clouds
        finally:
            clouds.stack.destroy()


def reaches(address: str, port: int) -> bool:
    """Return whether this machine, the operator's, can connect to an address."""
    try:
        with socket.create_connection((address, port), timeout=1.0):
            return True
    except OSError:
        return False


def connects(machine: Machine, address: str, port: int) -> bool:
    """Return whether a machine can connect to an address."""
    done: bool = machine.enter(["timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]).returncode == 0
    return done


@contextmanager
def watched_commands() -> Iterator[set[bytes]]:
    """Collect the command lines and environments of all processes while the block runs."""
    seen: set[bytes] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
                with suppress(OSError):  # it has ended
                    seen.add(path.read_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def holding(texts: Iterable[bytes], *words: str) -> list[bytes]:
    """Return the texts in which one of the words occurs."""
    # A copy, made at once: watched_commands() may add to them meanwhile.
    return [text for text in list(texts) if any(word.encode() in text for word in words)]


def words_on(machine: Machine, *words: str) -> dict[str, set[str]]:
    """Return where on a machine each of the words occurs: in files that it has written, and in its journal.

    The words appear in no command line.
    """
    found: dict[str, set[str]] = {word: set() for word in words}
    for folder in ("/etc", "/home", "/root", "/var/log", "/var/lib"):
        search = ["grep", "-rhoaF", "--devices=skip", "--file=-", str(machine.disk / folder[1:])]
        done = subprocess.run(search, input="\n".join(words), capture_output=True, text=True, check=False)
        for word in set(done.stdout.splitlines()):
            found[word].add(folder)
    journal = machine.enter(["journalctl", "--no-pager", "--output=json"]).stdout
    for word in words:
        if word in journal:
            found[word].add("the journal")
    return found

"""One host of a local testbed: namespaces of its own over an overlay of this machine's files, sshd as process 1.

A host lies in `hosts/NAME` beside its network's folder: `upper` is its disk, `process` names process 1 (pid and start
time, as a pid alone may be reused), `log` is what process 1 printed. The host itself writes `process` before anything
else, so a creation that crashed leaves nothing that cannot be found again.
https://man7.org/linux/man-pages/man7/namespaces.7.html
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmark.errors import InfrastructureError
from stacks.local.host.filesystem import HostConfig, mounts, write_upper
from stacks.local.host.services import firewall
from stacks.local.wan.network import WideAreaNetwork

CHECKOUT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("host.sh")

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Found = TypeVar("Found")

_NAMESPACES = ("--net", "--mount", "--pid", "--uts", "--ipc")
_DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.005


class Host:
    """A host of the testbed whose network is `network`: create, then stop and start at will, then remove."""

    def __init__(self, network: WideAreaNetwork, name: str) -> None:
        self.name = name
        self.directory = network.directory.absolute().parent / "hosts" / name
        self._network = network

    def process_id(self) -> int | None:
        """Return process 1 as this machine numbers it, or None if it does not run."""
        try:
            pid, started = map(int, (self.directory / "process").read_text(encoding="utf-8").split())
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (OSError, ValueError):
            return None
        return pid if int(fields[19]) == started and fields[0] not in "ZX" else None

    def is_running(self) -> bool:
        """Whether process 1 lives and its device is attached to the emulated network."""
        pid = self.process_id()
        if pid is None:
            return False
        try:
            return "wan0:" in Path(f"/proc/{pid}/net/dev").read_text(encoding="utf-8")
        except OSError:  # it ended in between
            return False

    def create(self, config: HostConfig, running: bool = True) -> str:
        """Make the host anew, whatever was left of one of this name, and return its address.

        Raises InfrastructureError with the last lines of the host's log if it does not come up.
        """
        self.remove()
        return self.start(config) if running else self._network.claim_address(self.name)

    def start(self, config: HostConfig) -> str:
        """Start the host on the files it has, again if it runs, and return its address once sshd listens.

        Raises InfrastructureError like `create`.
        """
        self.stop()
        address = self._network.claim_address(self.name)
        self._prepare(config)
        try:
            self._launch()
            pid = self._wait_for("its first process", self.process_id)
            self._network.attach(self.name, config.region, address, pid)
            self._wait_for("its SSH server", lambda: self._ready(pid))
        except BaseException:
            self.stop()
            raise
        return address

    def stop(self) -> None:
        """End every process of the host and keep its files; nothing happens if none runs."""
        pid = self.process_id()
        if pid is not None:
            self._kill(pid)
        (self.directory / "process").unlink(missing_ok=True)
        self._network.detach(self.name)

    def remove(self) -> None:
        """End the host and delete all that it had: processes, device, files and address."""
        self.stop()
        self._network.release_address(self.name)
        if self.directory.exists():
            shutil.rmtree(self.directory)
        hosts = self.directory.parent
        if hosts.exists() and not any(hosts.iterdir()):
            hosts.rmdir()

    def _kill(self, pid: int) -> None:
        """Kill process 1: the kernel ends all others of its namespace before it lets it go."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if self.process_id() == pid:  # else the number was reused before the descriptor was had
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                if not select.select([descriptor], [], [], _DEADLINE_SECONDS)[0]:
                    raise InfrastructureError(
                        f"process {pid} of host {self.name} does not end; one of its processes hangs in the kernel"
                    )
        finally:
            os.close(descriptor)

    def _prepare(self, config: HostConfig) -> None:
        network = self._network
        upper = self.directory / "upper"
        rules = firewall(str(network.operator_address), str(network.subnet))
        state = self.directory.parents[3]
        write_upper(upper, config, rules, hidden=(state, CHECKOUT))
        # The kernel refuses a layer whose work folder says that it was mounted volatile before.
        shutil.rmtree(self.directory / "work", ignore_errors=True)
        for name in ("work", "root"):
            (self.directory / name).mkdir(exist_ok=True)
        metrics = network.directory.absolute() / "metrics" if config.role == "monitoring" else None
        (self.directory / "mounts").write_text(mounts(self.directory, metrics), encoding="utf-8")

    def _launch(self) -> None:
        # setsid's child enters the new pid namespace as process 1, and setsid itself ends at once. A shell's `&` would
        # do the same, but leave SIGINT ignored in the host and in everything that is ever started on it.
        process_1 = ["setsid", "--fork", str(SCRIPT), str(self.directory), self.name]
        with (self.directory / "log").open("wb") as log:
            subprocess.run(
                ["unshare", *_NAMESPACES, *process_1],
                env={"PATH": PATH, "LANG": "C.UTF-8"},  # and none of pulumi's environment, which holds secrets
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                timeout=_DEADLINE_SECONDS,
            )

    def _ready(self, pid: int) -> bool:
        if self.process_id() != pid:
            raise self._failure("its first process ended")
        return (self.directory / "upper/run/sshd.pid").exists()

    def _wait_for(self, what: str, condition: Callable[[], Found | None]) -> Found:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise self._failure(f"{what} did not come up within {_DEADLINE_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        return found

    def _failure(self, reason: str) -> InfrastructureError:
        log = (self.directory / "log").read_text(encoding="utf-8", errors="replace").strip()
        tail = "\n".join(log.splitlines()[-5:]) or "it printed nothing"
        return InfrastructureError(f"host {self.name} did not start: {reason}; its last lines: {tail}")

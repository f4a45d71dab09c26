"""One host of a local testbed: its own namespaces over an overlay of this machine's files, with sshd as process 1.

A host's folder is `hosts/NAME` beside its network's folder: `upper` has its files, `disk.img` those of its working
folder, `process` names process 1, `log` is the output of process 1, `disk_control` names the process that limits its
disk on request, through a socket in `control`. The host itself writes `process` before anything else, so even a
creation that crashed leaves nothing that cannot be found again.
https://man7.org/linux/man-pages/man7/namespaces.7.html
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from benchmark.errors import InfrastructureError
from stacks.local.host.disk import Disk, attached, create_image, wait_until_released
from stacks.local.host.filesystem import HostConfig, mounts, write_upper
from stacks.local.host.services import firewall
from stacks.local.host.throttle import control_files, limit_bandwidth, remove_limit
from stacks.local.process import PATH, find_process, kill_process
from stacks.local.wan.network import WideAreaNetwork

CHECKOUT = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("host.sh")
DISK_CONTROL = Path(__file__).with_name("disk_control.py")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names of hosts: they become the names of folders, and hostnames of at most 63 characters."""
Found = TypeVar("Found")

_NAMESPACES = ("--net", "--mount", "--pid", "--uts", "--ipc")
_DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.005


class Host:
    """A host of the testbed whose network is `network`: create it, stop and start it, remove it.

    InfrastructureError for a name that could lead out of the folder of hosts.
    """

    def __init__(self, network: WideAreaNetwork, name: str) -> None:
        if not NAME.fullmatch(name):
            raise InfrastructureError(
                f"host {name!r}: invalid name; use letters, digits, '.', '_' and '-' in the names of regions, starting "
                "with a letter or digit (`pulumi state delete URN` removes it from the state of an earlier release)"
            )
        self.name = name
        self.directory = network.directory.absolute().parent / "hosts" / name
        self._network = network
        self._image = self.directory / "disk.img"
        self._group = f"geobench-{network.testbed_id}-{name}"

    def process_id(self) -> int | None:
        """Return the machine's pid of the host's process 1, or None if it does not run."""
        process = find_process(self.directory / "process")
        return process.pid if process else None

    def is_running(self) -> bool:
        """Whether process 1 runs and its device is attached to the emulated network."""
        pid = self.process_id()
        if pid is None:
            return False
        try:
            return "wan0:" in Path(f"/proc/{pid}/net/dev").read_text(encoding="utf-8")
        except OSError:  # it ended in between
            return False

    def create(self, config: HostConfig, running: bool = True) -> str:
        """Create the host, replacing one of this name, and return its address.

        Raises InfrastructureError with the last lines of the host's log if it does not come up.
        """
        self.remove()
        return self.start(config) if running else self._network.claim_address(self.name)

    def start(self, config: HostConfig) -> str:
        """Start or restart the host on its files, and return its address once sshd listens.

        Raises InfrastructureError like `create`.
        """
        self.stop()
        network = self._network
        address = network.claim_address(self.name)
        rules = firewall(str(network.operator_address), str(network.subnet))
        write_upper(self.directory / "upper", config, rules, hidden=(self.directory.parents[2], CHECKOUT))
        # The kernel rejects a layer whose work folder is marked as mounted volatile before.
        shutil.rmtree(self.directory / "work", ignore_errors=True)
        # A setuid file that a host writes would give its rights to any user of this machine who can reach it.
        self.directory.parents[1].chmod(0o700)
        for name in ("work", "root", "disk", "control"):
            (self.directory / name).mkdir(exist_ok=True)
        metrics = network.directory.absolute() / "metrics" if config.role == "monitoring" else None
        try:
            with self._attached(config.disk) as device:
                (self.directory / "mounts").write_text(mounts(self.directory, metrics, device), encoding="utf-8")
                self._launch(config.disk.folder if config.disk else "")
                pid = self._wait_for("its first process", self.process_id)
                if device and config.disk:
                    limit_bandwidth(self._group, device, pid, config.disk.bandwidth)
                    self._control_disk(device, pid, config.disk)
                try:
                    network.attach(self.name, config.region, address, pid)
                except InfrastructureError:
                    if self.process_id() == pid:
                        raise
                    raise self._failure("its first process ended") from None  # its own log says why

                def ready() -> bool:
                    if self.process_id() != pid:
                        raise self._failure("its first process ended")
                    return (self.directory / "upper/run/sshd.pid").exists()

                self._wait_for("its SSH server", ready)
        except BaseException:
            self.stop()
            raise
        return address

    def stop(self) -> None:
        """Kill every process of the host but keep its files; a host that does not run stays as it is."""
        # With process 1 the kernel kills all others of its pid namespace, before it releases process 1 itself.
        if not kill_process(self.directory / "process", _DEADLINE_SECONDS):
            raise InfrastructureError(
                f"host {self.name}: process {self.process_id()} does not end; one of its processes hangs in the kernel"
            )
        (self.directory / "process").unlink(missing_ok=True)
        # It ends by itself, too, but must not write a limit after its device belongs to somebody else.
        kill_process(self.directory / "disk_control", _DEADLINE_SECONDS)
        (self.directory / "disk_control").unlink(missing_ok=True)
        self._network.detach(self.name)
        if self._image.exists():
            wait_until_released(self._image)
            remove_limit(self._group)

    def remove(self) -> None:
        """Stop the host and delete everything it had: processes, device, files and address."""
        self.stop()
        self._network.release_address(self.name)
        if self.directory.exists():
            shutil.rmtree(self.directory)
        with contextlib.suppress(OSError):  # other hosts have their files there
            self.directory.parent.rmdir()

    @contextlib.contextmanager
    def _attached(self, disk: Disk | None) -> Iterator[Path | None]:
        """Attach the host's disk, created if it has none yet, and yield its device; None without a disk."""
        if disk is None:
            yield None
            return
        create_image(self._image, disk.size)
        with attached(self._image) as device:
            yield device

    def _launch(self, disk_folder: str) -> None:
        # setsid's child enters the new pid namespace as process 1, and setsid itself ends at once. A shell's `&` would
        # do the same, but leave SIGINT ignored in the host and in everything ever started on it.
        process_1 = ["setsid", "--fork", str(SCRIPT), str(self.directory), self.name, sys.executable, disk_folder]
        (self.directory / "log").write_bytes(b"")
        self._run("unshare", *_NAMESPACES, *process_1)

    def _control_disk(self, device: Path, pid: int, disk: Disk) -> None:
        """Start what limits the host's disk on its request, where the kernel can do that."""
        limits = control_files(self._group, device, disk.bandwidth)
        (self.directory / "control/disk").unlink(missing_ok=True)
        if limits is None:
            return
        arguments = [str(DISK_CONTROL), str(self.directory), str(pid), json.dumps(limits)]
        self._run("setsid", "--fork", sys.executable, "-I", "-S", *arguments).check_returncode()
        self._wait_for("the control of its disk", (self.directory / "control/disk").exists)

    def _run(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command that starts a process of the host; what both print is added to the host's log."""
        with (self.directory / "log").open("ab") as log:
            return subprocess.run(
                command,
                env={"PATH": PATH, "LANG": "C.UTF-8"},  # nothing of pulumi's environment, which holds secrets
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
                timeout=_DEADLINE_SECONDS,
            )

    def _wait_for(self, what: str, condition: Callable[[], Found | None]) -> Found:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise self._failure(f"{what} did not come up within {_DEADLINE_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        return found

    def _failure(self, reason: str) -> InfrastructureError:
        log = (self.directory / "log").read_text(encoding="utf-8", errors="replace").strip()
        tail = "\n".join(log.splitlines()[-5:]) or "(no output)"
        return InfrastructureError(f"host {self.name} did not start: {reason}; last lines of its log: {tail}")

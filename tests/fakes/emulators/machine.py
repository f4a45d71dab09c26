"""The machines of an emulated cloud: systemd as process 1, cloud-init on the user data it is given, a real network.

A machine is a container of systemd-nspawn over an overlay: this machine's files, a layer that makes of them the image
of a cloud (no keys, nobody's files, no services but sshd and cloud-init), and the machine's own disk. Its network is
the emulated wide area network of the local provider.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fakes.emulators.firewall import EVERYWHERE, Rule, ruleset
from fakes.emulators.local_disk import LocalDisks
from paths import ROOT

from stacks.local.wan.network import WideAreaNetwork

_HIDDEN = {
    "root": 0o700, "home": 0o755, "tmp": 0o1777, "var/tmp": 0o1777, "var/log": 0o755, "var/lib/prometheus": 0o755,
    "var/lib/cloud": 0o755, "var/lib/geobench": 0o755, "etc/systemd/system": 0o755, "etc/apt/sources.list.d": 0o755,
    "etc/ssh/sshd_config.d": 0o755,
}  # fmt: skip
_ENABLED = {
    "multi-user.target.wants": ["ssh.service", "ufw.service"],
    "cloud-init.target.wants": [
        "cloud-init-local.service", "cloud-init.service", "cloud-config.service", "cloud-final.service",
    ],
}  # fmt: skip
_CLOUD_INIT = """\
datasource_list: [NoCloud]
network: {config: disabled}
locale: C.UTF-8
"""
# With shared control groups, the systemd of one machine would remove the units of another.
_IN_GROUPS = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"'
DEADLINE_SECONDS = 120.0
CLOUD_IMAGE = ROOT / "tools/setup/cloud_image.sh"


@functools.cache
def installed_layer() -> Path:
    """Return the folder with what emulated machines have installed besides this machine's packages.

    The first call on a machine installs them, into the folder alone.
    """
    done = subprocess.run([CLOUD_IMAGE], stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    return Path(done.stdout.strip())


class Image:
    """The layer between this machine's files and the disk of a machine: a separate file system at `directory`.

    `files` are added or replaced: path to content.
    """

    def __init__(self, directory: Path, files: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        # An overlay rejects a layer inside another one.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m,mode=0755", "image", str(directory)], check=True)
        self._guard = _guard('umount --lazy "$0"', str(directory))
        subprocess.run(["cp", "--archive", "--", f"{installed_layer()}/.", str(directory)], check=True)
        for name, mode in _HIDDEN.items():
            shutil.rmtree(directory / name, ignore_errors=True)
            _folder(directory, name, mode)
            os.setxattr(directory / name, "trusted.overlay.opaque", b"y")
        for name in ("metrics2", "node-exporter"):  # as the packages create them
            (directory / "var/lib/prometheus" / name).mkdir()
            shutil.chown(directory / "var/lib/prometheus" / name, "prometheus", "prometheus")
        for target, units in _ENABLED.items():
            wants = directory / "etc/systemd/system" / target
            wants.mkdir(exist_ok=True)
            for unit in units:
                (wants / unit).symlink_to(f"/lib/systemd/system/{unit}")
        _write(directory / "etc/apt/sources.list", "")
        _write(directory / "etc/cloud/cloud.cfg.d/90_emulated.cfg", _CLOUD_INIT)
        # In a container systemd may miss that a user's manager has ended; a login would then wait for it forever.
        _write(directory / "etc/systemd/logind.conf.d/emulated.conf", "[Login]\nUserStopDelaySec=infinity\n")
        _write(directory / "etc/resolv.conf", Path("/etc/resolv.conf").read_text(encoding="utf-8"))
        _write(directory / "etc/machine-id", "")
        # Emulated clouds need no internet: requests for Grafana's packages are refused immediately.
        _write(directory / "etc/hosts", "127.0.0.1 localhost apt.grafana.com\n")
        absent = [*Path("/etc/ssh").glob("ssh_host_*"), Path("/etc/cloud/cloud-init.disabled")]
        for path in absent:
            os.mknod(directory / path.relative_to("/"), 0o020000, os.makedev(0, 0))
        for name, content in (files or {}).items():
            _write(directory / name.lstrip("/"), content)

    def remove(self) -> None:
        """Remove the image; no machine may run."""
        subprocess.run(["umount", str(self.directory)], check=True)
        self._guard.communicate(b"ended\n")
        self.directory.rmdir()


class Machine:
    """One machine; `directory` is its disk and has a unique name. It may shut itself down: see `running`.

    `disks_gb` are the sizes of its local disks, blank at each start.
    """

    def __init__(
        self,
        directory: Path,
        image: Image,
        network: WideAreaNetwork,
        name: str,
        region: str,
        disks_gb: Sequence[int] = (),
    ) -> None:
        self.name, self.region = name, region
        self.address = ""
        self.identity = directory.name
        """Its name in the network: its replacement has the same host name while both exist."""
        self._directory, self._image, self._network = directory, image, network
        self.disks_gb, self._disks = disks_gb, LocalDisks(directory / "disks")
        self._process: subprocess.Popen[bytes] | None = None
        self._groups: list[Path] = []
        self._init: int | None = None
        self._guard: subprocess.Popen[bytes]

    def create(self, user_data: str, files: Mapping[str, str] | None = None) -> None:
        """Give it a disk with `files`, path to content, on which cloud-init will find `user_data`, and start it."""
        for name in ("upper", "work", "root"):
            (self._directory / name).mkdir(parents=True)
        seed = self._directory / "upper/var/lib/cloud/seed/nocloud"
        _write(seed / "user-data", user_data)
        _write(seed / "meta-data", f"instance-id: i-{self.name}\nlocal-hostname: {self.name}\n")
        for name, content in (files or {}).items():
            _write(self._directory / "upper" / name.lstrip("/"), content)
        self.start()

    @property
    def running(self) -> bool:
        """Whether its process 1 is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def console(self) -> str:
        """Return its console output since it was created."""
        return (self._directory / "console").read_text(encoding="utf-8", errors="replace")

    def path(self, name: str) -> Path:
        """Return the path of one of its files on this machine, while it runs."""
        return self._directory / "root" / name.lstrip("/")

    @property
    def disk(self) -> Path:
        """The folder with all that differs from its image."""
        return self._directory / "upper"

    def enter(self, command: list[str], seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root, without SSH."""
        prefix = ["nsenter", f"--target={self._leader()}", "--mount", "--net", "--pid", "--root", "--wd=/"]
        return subprocess.run([*prefix, *command], capture_output=True, text=True, timeout=seconds, check=False)

    def guard(self, rules: Sequence[Rule], outgoing: Sequence[Rule] = EVERYWHERE) -> None:
        """Set the cloud firewall: admit only the inbound traffic in `rules` and the outbound traffic in `outgoing`."""
        leader = self._leader() if self.running else None
        if leader is None:  # it is booting or has just ended: the boot applies the rules
            return
        done = subprocess.run(
            ["nsenter", f"--target={leader}", "--net", "nft", "-f", "-"],
            input=ruleset(rules, outgoing),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and self.running:
            raise RuntimeError(f"{self.name}: {done.stderr}")

    def start(self) -> None:
        """Boot it, with a new address if it has none."""
        root, work = self._directory / "root", self._directory / "work"
        shutil.rmtree(work)
        work.mkdir()
        layers = f"lowerdir={self._image.directory}:/,upperdir={self._directory / 'upper'},workdir={work},volatile"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(root)], check=True)
        self.address = self._network.claim_address(self.identity)
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"]
        command += [
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=pipe",
            f"--machine={self.name[:60]}",
            *self._disks.insert(self.disks_gb),
        ]
        self._groups = _control_groups(f"machine-{os.getpid()}-{self.identity}")
        with (self._directory / "console").open("ab") as console:
            self._process = subprocess.Popen(
                ["sh", "-c", _IN_GROUPS, "sh", *map(str, self._groups), "--", *command, f"--directory={root}"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_NSPAWN_LOCK": "0"},
                start_new_session=True,
            )
        leader = _wait_for(self._leader, f"process 1 of {self.name}")
        self._init = os.pidfd_open(leader)
        self._guard = _guard('kill -KILL "$0"; umount --lazy "$1"', str(leader), str(root))
        self._network.attach(self.identity, self.region, self.address, leader)

    def stop(self, *, keep_address: bool = False) -> None:
        """Halt it and keep its disk; release its address unless the cloud keeps addresses."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)  # nspawn shuts systemd down
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(20)
                self._process.kill()
            self._process.wait()
            self._process = None
            if self._init is not None:
                with contextlib.suppress(ProcessLookupError):  # it survives a killed nspawn
                    signal.pidfd_send_signal(self._init, signal.SIGKILL)
                os.close(self._init)
                self._guard.communicate(b"ended\n")
                self._init = None
        for group in self._groups:
            _remove_group(group)
        self._network.detach(self.identity)
        if not keep_address:
            self._network.release_address(self.identity)
            self.address = ""
        root = self._directory / "root"
        if root.is_mount():
            subprocess.run(["umount", "--lazy", str(root)], check=True)
        self._disks.remove()

    def remove(self) -> None:
        """Terminate it."""
        self.stop()
        shutil.rmtree(self._directory)

    def _leader(self) -> int | None:
        """Return the pid of process 1 once it has its own network."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} did not start: {self.console[-500:]}")
        pid = self._process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                own = Path(f"/proc/{child}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
                if own and Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        return None


def _control_groups(name: str) -> list[Path]:
    """Create cgroups of that name below those of this process, in the one or two hierarchies of systemd."""
    made: list[Path] = []
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, hierarchy, own = line.split(":", 2)
        if hierarchy in ("", "name=systemd"):
            mount = Path("/sys/fs/cgroup")
            folders = [mount / "systemd"] if hierarchy else [mount / "unified", mount]
            made += [folder / own.lstrip("/") / name for folder in folders if (folder / "cgroup.procs").exists()][:1]
    for group in made:
        group.mkdir(exist_ok=True)
    return made


def _remove_group(group: Path) -> None:
    """Remove a cgroup and its children; killed processes may still be in one."""
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def _guard(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Run a script if this process ends without cancelling it, for example because it is killed."""
    command = ["sh", "-c", f"read -r ended || {{ {script}; }}", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _wait_for(condition: Callable[[], int | None], what: str) -> int:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := condition()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come up")
        time.sleep(0.01)
    return found


def _folder(root: Path, name: str, mode: int) -> None:
    """Create a folder in a layer; its parents get the owners and modes of this machine's folders."""
    path = root / name
    for parent in reversed(path.relative_to(root).parents[:-1]):
        if not (root / parent).exists():
            (root / parent).mkdir()
            shutil.copystat(Path("/") / parent, root / parent)
    path.mkdir(exist_ok=True)
    path.chmod(mode)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")

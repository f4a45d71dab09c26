"""The files of a local host: its own layer over the machine's files, written as plain files and folders.

The upper folder of an overlay is written before it is mounted. In it a character device 0/0 deletes a name of the layer
below, and the attribute `trusted.overlay.opaque` hides the content of a folder of the layer below.
https://docs.kernel.org/filesystems/overlayfs.html
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.host_layout import DISK_CONTROL
from benchmark.inventory import Role
from stacks.local.host.disk import MOUNT_OPTIONS, Disk
from stacks.local.host.services import SSHD_CONFIG, TEXTFILES, WAN_METRICS, resolver, services

_OWN = {
    "root": 0o711, "home": 0o755, "tmp": 0o1777, "var/tmp": 0o1777, "var/log": 0o755, "var/lib/prometheus": 0o755,
    "var/lib/grafana": 0o755, "etc/ssh": 0o755, "proc": 0o555, "sys": 0o555,
}  # fmt: skip
"""Folders that a host has separate from the machine's, with their modes."""
_VOLATILE = {"run": 0o755, "dev": 0o755}
"""Folders that are empty after each start."""
_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/acpi", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/mtrr")
"""Files of the kernel that belong to the machine; without the capability sys_admin no host can mount them again."""
_MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/kpagecgroup")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


@dataclass(frozen=True)
class HostConfig:
    """What distinguishes one host from the others."""

    name: str
    region: str
    role: Role
    operator_key: str
    """Public key that may log in as root."""
    host_private_key: str = field(repr=False)
    """Private half of the host's own SSH key, as an OpenSSH PEM."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Additional files, such as those of the monitoring host: absolute path to content."""
    disk: Disk | None = None
    """None for a host whose files are all in its layer."""


def write_upper(upper: Path, config: HostConfig, rules: str, hidden: Iterable[Path]) -> None:
    """Update the host's own layer and keep the files that the host wrote. The overlay must not be mounted.

    `rules` are the host's firewall, `hidden` folders of the machine that the host must not see.
    """
    while not upper.exists():
        with contextlib.suppress(FileNotFoundError):  # the last of other hosts was removed and their folder with it
            upper.mkdir(parents=True, exist_ok=True)
    upper.chmod(0o755)
    for name in _VOLATILE:
        shutil.rmtree(upper / name, ignore_errors=True)  # leaves links
    for name, mode in (_OWN | _VOLATILE).items():
        folder = upper / name
        _create_parents(upper, folder)
        _create_folder(folder)
        folder.chmod(mode)
        os.setxattr(folder, "trusted.overlay.opaque", b"y")
    for path in hidden:
        _hide(upper, path)
    _create_devices(upper / "dev")
    places = (WAN_METRICS, TEXTFILES, DISK_CONTROL)
    for name in ("run/sshd", "run/lock", *(place.lstrip("/") for place in places)):
        _create_parents(upper, upper / name)
        _create_folder(upper / name)
    files = {
        "/etc/nftables.conf": rules,
        "/etc/geobench/services": services(config.role, shutil.which("grafana-server") is not None),
        "/etc/hostname": f"{config.name}\n",
        "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {config.name}\n",
        "/etc/resolv.conf": resolver(Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")),
        "/etc/ssh/authorized_keys": f"{config.operator_key}\n",
        "/etc/ssh/sshd_config": SSHD_CONFIG,
        **config.files,
    }
    for name, text in files.items():
        write_file(upper, name, text)
    # The machine's accounts without their password hashes; sshd rejects even keys for an account marked as locked.
    accounts = [line.split(":")[0] for line in Path("/etc/shadow").read_text(encoding="utf-8").splitlines()]
    write_file(upper, "/etc/shadow", "".join(f"{name}:*:19000:0:99999:7:::\n" for name in accounts), 0o600)
    write_file(upper, "/etc/ssh/ssh_host_ed25519_key", config.host_private_key, 0o600)


def write_file(upper: Path, name: str, text: str, mode: int = 0o644) -> None:
    """Write a file that the host sees at the absolute path `name`, replacing a link or file of that name."""
    path = upper / name.lstrip("/")
    _create_parents(upper, path)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)


def mounts(directory: Path, metrics: Path | None, device: Path | None = None) -> str:
    """Return the host's mounts in fstab format, relative to the folder `directory`, which holds upper, work and root.

    The overlay is volatile: fsync returns at once, because the system under test has its data on a disk, and flushes of
    anything else would only disturb it. After a crash of the machine such a layer cannot be trusted, so the host is
    replaced. `metrics` is a folder whose files the host's node exporter publishes. `device` has the host's disk, which
    is mounted outside its root: a host could make a link of the final place, which leads elsewhere on the machine.
    """
    root = str(directory / "root")
    lines = [
        ("overlay", "", "overlay", "lowerdir=/,upperdir=upper,workdir=work,volatile"),
        ("proc", "/proc", "proc", "nosuid,nodev,noexec"),
        *((path, path, "none", "bind,ro") for path in _READ_ONLY if Path(path).exists()),
        ("/proc/sys/net", "/proc/sys/net", "none", "bind"),
        *(("/dev/null", path, "none", "bind") for path in _MASKED if Path(path).exists()),
        ("sysfs", "/sys", "sysfs", "ro,nosuid,nodev,noexec"),
        ("devpts", "/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5,nosuid,noexec"),
        ("tmpfs", "/dev/shm", "tmpfs", "mode=1777,nosuid,nodev"),
    ]
    if metrics is not None:
        lines.append((str(metrics), WAN_METRICS, "none", "bind,ro"))

    if device is not None:
        lines.append((str(directory / "control"), DISK_CONTROL, "none", "bind,ro"))
    places = [(source, root + place, kind, options) for source, place, kind, options in lines]
    if device is not None:
        places.append((str(device), str(directory / "disk"), "ext4", MOUNT_OPTIONS))

    def escaped(path: str) -> str:
        return path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")

    return "".join(f"{escaped(src)} {escaped(dst)} {kind} {options} 0 0\n" for src, dst, kind, options in places)


def _hide(upper: Path, hidden: Path) -> None:
    """Delete the machine's folder `hidden` from the host's view."""
    relative = hidden.resolve().relative_to("/")
    if any(relative.is_relative_to(name) for name in (*_OWN, *_VOLATILE)):
        return
    path = upper / relative
    _create_parents(upper, path)
    if not os.path.lexists(path):
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def _create_parents(upper: Path, path: Path) -> None:
    """Create the folders above `path`, with the owners and modes of the machine's own."""
    for parent in reversed(path.relative_to(upper).parents[:-1]):
        folder = upper / parent
        if _create_folder(folder) and (below := Path("/") / parent).is_dir():
            found = below.stat()
            folder.chmod(stat.S_IMODE(found.st_mode))
            os.chown(folder, found.st_uid, found.st_gid)


def _create_folder(folder: Path) -> bool:
    """Create a folder and return whether it was missing; a link that the host made there is replaced, not followed."""
    if folder.is_dir() and not folder.is_symlink():
        return False
    folder.unlink(missing_ok=True)
    folder.mkdir()
    return True


def _create_devices(folder: Path) -> None:
    for name in _DEVICES:
        original = Path("/dev", name).stat()
        os.mknod(folder / name, stat.S_IFCHR, original.st_rdev)
        (folder / name).chmod(0o666)
    for name, target in _LINKS.items():
        (folder / name).symlink_to(target)
    for name in ("pts", "shm"):
        (folder / name).mkdir()

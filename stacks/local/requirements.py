"""Check that this machine can run local hosts, before anything is created."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmark.errors import InfrastructureError
from benchmark.settings import Disk
from stacks.local.host.disk import CONTROL, MOUNT_OPTIONS, attached, create_image
from stacks.local.host.throttle import check_throttle
from stacks.local.process import PATH
from stacks.local.root import as_root
from stacks.local.wan.interfaces import DEVICE

_PACKAGES = {
    "sshd": "openssh-server",
    "prometheus": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "nft": "nftables",
    "ip": "iproute2",
    "setpriv": "util-linux",
    "mkfs.ext4": "e2fsprogs",
}
_TRIED_BYTES = 16 * 10**6


def check_machine(state: Path, disk: Disk) -> None:
    """Raise InfrastructureError if this machine cannot run local hosts with their files below the folder `state`."""
    if platform.system() != "Linux":
        raise InfrastructureError(
            f"local hosts are Linux namespaces, and this machine runs {platform.system()}; run the local provider in a "
            "Linux virtual machine, or choose another cloud_provider"
        )
    if not DEVICE.exists():
        raise InfrastructureError(
            f"local hosts are joined through {DEVICE}, which does not exist; run `modprobe tun`, or pass the device to "
            "the container"
        )
    missing = [package for command, package in _PACKAGES.items() if shutil.which(command, path=PATH) is None]
    if missing:
        raise InfrastructureError(
            f"programs for local hosts are missing; install them with `apt-get install {' '.join(missing)}`"
        )
    existing = next(path for path in (state, *state.parents) if path.is_dir())
    _try_overlay(existing)
    if disk.durable:
        _try_disk(existing)
    if disk.bandwidth is not None:
        check_throttle()


@as_root
def _try_overlay(folder: Path) -> None:
    """Mount an overlay over this machine's files below `folder`, in a temporary namespace."""
    options = "lowerdir=/,upperdir=upper,workdir=work,volatile"
    command = ["unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, "root"]
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".overlay-") as scratch:
            for name in ("upper", "work", "root"):
                Path(scratch, name).mkdir()
            tried = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False, timeout=30)
            problem = " ".join(tried.stderr.split()) if tried.returncode else ""
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}"
    if problem:
        raise InfrastructureError(
            f"cannot mount an overlay over this machine's files below {folder} ({problem}); set GEOBENCH_STATE_DIR to "
            "a folder on a disk formatted as ext4 or xfs, outside a container's own layer"
        )


@as_root
def _try_disk(folder: Path) -> None:
    """Mount an image below `folder` through a loop device, in a temporary namespace."""
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", folder], capture_output=True, text=True, check=False, timeout=30
    ).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        raise InfrastructureError(
            f"disk.durable: {folder} is in memory ({kind}), where fsync means nothing; set GEOBENCH_STATE_DIR to a "
            "folder on a disk, or `disk: {durable: false}` in the settings"
        )
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".disk-") as scratch:
            image, place = Path(scratch, "disk.img"), Path(scratch, "place")
            place.mkdir()
            create_image(image, _TRIED_BYTES)
            with attached(image) as device:
                command = ["unshare", "--mount", "mount", "-t", "ext4", "-o", MOUNT_OPTIONS, str(device), str(place)]
                tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
            problem = " ".join(tried.stderr.split()) if tried.returncode else ""
    except OSError as error:
        problem = f"{error.filename or CONTROL}: {error.strerror}"
    if problem:
        raise InfrastructureError(
            f"disk.durable: this machine cannot mount disks of hosts through loop devices ({problem}); run `modprobe "
            "loop`, pass the devices to the container, or set `disk: {durable: false}` in the settings: fsync then "
            "returns at once"
        )

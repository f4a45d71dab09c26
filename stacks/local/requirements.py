"""Check that this machine can run local hosts, before anything is created."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmark.errors import InfrastructureError
from stacks.local.host.host import PATH
from stacks.local.root import as_root
from stacks.local.wan.interfaces import DEVICE

_PACKAGES = {
    "sshd": "openssh-server",
    "prometheus": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "nft": "nftables",
    "ip": "iproute2",
    "setpriv": "util-linux",
}


def check_machine(state: Path) -> None:
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
    _try_overlay(next(path for path in (state, *state.parents) if path.is_dir()))


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

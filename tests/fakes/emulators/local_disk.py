"""Local disks of EC2 machines: block devices that are blank at every start of their machine.

Each is a loop device over a sparse file. The machine sees nodes and links of the names that udev gives them there:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/nvme-ebs-volumes.html
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_MODEL = "nvme-Amazon_EC2_NVMe_Instance_Storage"


class LocalDisks:
    """The disks of one machine; their files are in `directory`, which exists while they are inserted."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: list[int] = []

    def insert(self, sizes_gb: Sequence[int]) -> list[str]:
        """Make blank disks of these sizes and return the options that show them to a systemd-nspawn machine."""
        if not sizes_gb:
            return []
        links = self._directory / "by-id"
        links.mkdir(parents=True)
        nodes = {f"nvme{number}n1": self._device(size) for number, size in enumerate(sizes_gb, 1)}
        for name in nodes:
            serial = f"AWS{secrets.token_hex(9)[1:].upper()}"
            for link in (f"{_MODEL}_{serial}", f"{_MODEL}_{serial}_1"):  # the second includes the namespace
                (links / link).symlink_to(f"../../{name}")
        return [f"--bind={device}:/dev/{name}" for name, device in nodes.items()] + [f"--bind={links}:/dev/disk/by-id"]

    def remove(self) -> None:
        """Remove the disks with their content; the machine must have stopped."""
        while self._open:
            os.close(self._open.pop())
        if self._directory.exists():
            shutil.rmtree(self._directory)

    def _device(self, size_gb: int) -> str:
        file = self._directory / f"{len(self._open) + 1}"
        with file.open("wb") as blank:
            blank.truncate(size_gb * 10**9)
        device = _run("losetup", "--find", "--show", str(file))
        self._open.append(os.open(device, os.O_RDONLY))
        # Detached now, it exists as long as it is in use: at most as long as this process and the machine.
        _run("losetup", "--detach", device)
        return device


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

"""The disk of a local host: a sparse image on this machine's disk, mounted through a loop device.

The device is released by the kernel when nothing has it open or mounted any more. The mount is in the host's mount
namespace, so a host that is killed, or was never complete, leaves no device behind.
https://man7.org/linux/man-pages/man4/loop.4.html
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import InfrastructureError
from stacks.local.process import PATH

CONTROL = Path("/dev/loop-control")
MOUNT_OPTIONS = "nosuid,nodev,discard,noinit_itable"
"""Deleted files free their space on this machine; the inode tables of many hosts are not written at once."""

_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A
_AUTOCLEAR, _DIRECT_IO = 4, 16
_CONFIG = struct.Struct("=II 52x I 64s 176x")
"""struct loop_config of linux/loop.h: file, block size, flags and file name in struct loop_info64; 0 for the rest."""
_DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.005


@dataclass(frozen=True)
class Disk:
    """The disk of one host."""

    size: int
    """In bytes."""
    folder: str
    """Absolute path on the host where it is mounted."""
    bandwidth: int | None = None
    """Most bytes per second that are read, and most that are written."""


def create_image(image: Path, size: int) -> None:
    """Create an image with an empty ext4 file system of `size` bytes, which takes a few MB. Raises InfrastructureError.

    An existing image stays as it is.
    """
    if image.exists():
        return
    unfinished = image.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.truncate(size)
    options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    command = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-i", "16384", "-m", "0", "-E", options, str(unfinished)]
    made = subprocess.run(
        command, env={"PATH": PATH}, capture_output=True, text=True, check=False, timeout=_DEADLINE_SECONDS
    )
    if made.returncode:
        raise InfrastructureError(f"cannot create the disk {image}: {' '.join(made.stderr.split())}")
    unfinished.rename(image)


@contextmanager
def attached(image: Path) -> Iterator[Path]:
    """Attach an image to a free loop device while the block runs, and as long as it is mounted. Raises OSError.

    The device writes around the machine's page cache where its file system can do so, as the host has its own.
    """
    control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    file = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    device = -1
    try:
        while True:
            path = Path(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}")
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            name = os.fsencode(image)[-63:]
            try:
                fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(file, 0, _AUTOCLEAR | _DIRECT_IO, name))
                break
            except OSError as error:
                os.close(device)
                device = -1
                if error.errno != errno.EBUSY:  # otherwise another process was faster
                    raise
        os.close(file)
        file = -1
        yield path
    finally:
        for descriptor in (control, file, device):
            if descriptor >= 0:
                os.close(descriptor)


def wait_until_released(image: Path) -> None:
    """Wait until no loop device has the image: two mounts of it would destroy it. Raises InfrastructureError."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while device := _device_of(image):
        if time.monotonic() > deadline:
            raise InfrastructureError(
                f"{device} still has the disk {image}, as something outside the host uses it; `fuser -vm {device}` "
                "shows what"
            )
        time.sleep(_POLL_SECONDS)


def _device_of(image: Path) -> str | None:
    wanted = str(image.resolve())
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if file.read_text(encoding="utf-8", errors="replace").rstrip("\n") == wanted:
                return f"/dev/{file.parts[3]}"
        except OSError:  # released in between
            continue
    return None

"""Local disks of emulated machines: one loop device each, none left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.emulators.local_disk import LocalDisks

pytestmark = pytest.mark.integration

SECONDS = 10.0
HOLDER = """\
import sys
from pathlib import Path
from fakes.emulators.local_disk import LocalDisks
LocalDisks(Path(sys.argv[1])).insert([1, 1])
print("ready", flush=True)
sys.stdin.read()
"""


def devices(folder: Path) -> dict[str, str]:
    """Loop devices by the files below a folder that they stand for."""
    listed = subprocess.run(["losetup", "--json", "--list"], capture_output=True, text=True, check=True).stdout
    found = json.loads(listed)["loopdevices"] if listed else []
    return {each["back-file"]: each["name"] for each in found if each["back-file"].startswith(f"{folder}/")}


def wait_for_none(folder: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while devices(folder):
        assert time.monotonic() < deadline, devices(folder)
        time.sleep(0.05)


def test_each_disk_has_its_size_and_a_named_link(tmp_path: Path) -> None:
    disks = LocalDisks(tmp_path / "disks")
    try:
        shown = disks.insert([3, 2])
        taken = devices(tmp_path)
        first, second = (taken[str(tmp_path / f"disks/{number}")] for number in (1, 2))
        sizes = subprocess.run(["blockdev", "--getsize64", first, second], capture_output=True, text=True, check=True)
        assert sizes.stdout.split() == [f"{3 * 10**9}", f"{2 * 10**9}"]
        links = tmp_path / "disks/by-id"
        assert shown == [
            f"--bind={first}:/dev/nvme1n1",
            f"--bind={second}:/dev/nvme2n1",
            f"--bind={links}:/dev/disk/by-id",
        ]
        assert {str(link.readlink()) for link in links.iterdir()} == {"../../nvme1n1", "../../nvme2n1"}
    finally:
        disks.remove()
    assert not (tmp_path / "disks").exists()
    wait_for_none(tmp_path)


def test_reused_disk_is_blank(tmp_path: Path) -> None:
    disks = LocalDisks(tmp_path / "disks")
    names = set()
    for _ in range(2):
        try:
            disks.insert([1])
            (device,) = devices(tmp_path).values()
            assert subprocess.run(["blkid", "-p", device], capture_output=True, check=False).returncode == 2
            subprocess.run(["mkfs.ext4", "-q", device], check=True)
            names |= {link.name for link in (tmp_path / "disks/by-id").iterdir()}
        finally:
            disks.remove()
    assert len(names) == 4


def test_machines_without_local_disks_see_none(tmp_path: Path) -> None:
    disks = LocalDisks(tmp_path / "disks")
    assert disks.insert([]) == []
    disks.remove()
    assert devices(tmp_path) == {}


def test_killed_test_leaves_no_loop_device(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "disks")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"ready\n"
    assert len(devices(tmp_path)) == 2
    holder.kill()
    holder.communicate()
    wait_for_none(tmp_path)

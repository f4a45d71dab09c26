"""Local disks of AWS hosts under the real pulumi: loop devices of machines that really boot."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.emulated_clouds import ONE_AWS_HOST, Clouds, emulated_clouds
from fakes.runner import Runner

from benchmark.inventory import Host

pytestmark = pytest.mark.e2e

DISK_LINKS = "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_"


def loop_devices(folder: Path) -> list[str]:
    """The loop devices of machines whose files are below a folder."""
    listed = subprocess.run(["losetup", "--json", "--list"], capture_output=True, text=True, check=True).stdout
    devices: list[dict[str, Any]] = json.loads(listed or '{"loopdevices": []}')["loopdevices"]
    return [device["name"] for device in devices if device["back-file"].startswith(f"{folder}/")]


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    """A host whose type has a disk of 75 GB."""
    folder = tmp_path_factory.mktemp("disks")
    with emulated_clouds(folder, "disks", ONE_AWS_HOST) as clouds:
        clouds.stack.up()
        clouds.wait_until_ready()
        yield clouds
        clouds.stack.destroy()
        assert loop_devices(folder) == []


def mounted(clouds: Clouds, host: Host) -> tuple[str, str, str]:
    """Device, file system and owner of the folder of benchmarks, as the login sees it."""
    shown = clouds.ssh(host, "findmnt -n -o SOURCE,FSTYPE --mountpoint ~/geobench; stat -c %U:%G geobench")
    device, system, owner = shown.split()
    return device, system, owner


def test_working_directory_is_on_the_local_disk(disks: Clouds) -> None:
    host = disks.only_host
    assert mounted(disks, host) == ("/dev/nvme1n1", "ext4", "ubuntu:ubuntu")
    assert disks.ssh(host, f"readlink -f {DISK_LINKS}*_1") == "/dev/nvme1n1"
    assert 70e9 < int(disks.ssh(host, "df -B1 --output=size geobench | tail -1")) < 75e9
    assert len(loop_devices(disks.folder)) == 1
    options = disks.ssh(host, "findmnt -n -o OPTIONS --mountpoint ~/geobench").split(",")
    assert {"noatime", "noinit_itable"} <= set(options)  # nothing is written that the benchmark did not write


def test_reboot_keeps_the_local_disk(disks: Clouds) -> None:
    host = disks.only_host
    disks.ssh(host, "sudo geobench-disk && echo kept >geobench/file")
    disks.ssh(host, "sudo umount geobench && sudo systemctl restart geobench-disk")
    assert mounted(disks, host) == ("/dev/nvme1n1", "ext4", "ubuntu:ubuntu")
    assert disks.ssh(host, "cat geobench/file") == "kept"


def spoil(disks: Clouds) -> None:
    """Have the host find on its disk what it cannot mount."""
    unmount = "if mountpoint -q geobench; then sudo umount geobench; fi"
    found = "sudo mkswap -q /dev/nvme1n1 && ! sudo systemctl restart geobench-disk"
    # systemd starts a unit five times in ten seconds, and then no more.
    disks.ssh(disks.only_host, f"{unmount} && sudo systemctl reset-failed geobench-disk && {found}")


def test_status_reports_an_unusable_disk(disks: Clouds) -> None:
    spoil(disks)
    host = disks.only_host
    found = json.loads(disks.benchmark("status", "--json", exit_code=3))
    assert found["hosts"] == {host.name: "failed"}
    assert found["reasons"] == {host.name: "local disk; see journalctl -u geobench-disk"}
    assert "unknown filesystem type 'swap'" in disks.ssh(host, "sudo journalctl -u geobench-disk")


def test_host_without_its_disk_is_excluded_until_it_has_one(disks: Clouds) -> None:
    spoil(disks)
    shown = " ".join(disks.benchmark("check", exit_code=3).split())
    assert f"{disks.only_host.name}: failed: local disk; see journalctl -u geobench-disk" in shown
    (advice,) = re.findall(r"`geobench ssh HOST ([^`]*)` tries again", shown)
    disks.ssh(disks.only_host, "sudo wipefs -q -a /dev/nvme1n1")
    disks.benchmark("ssh", disks.only_host.name, *advice.split())
    disks.benchmark("check")
    assert mounted(disks, disks.only_host)[0] == "/dev/nvme1n1"


def test_stop_and_start_gives_a_blank_disk(disks: Clouds) -> None:
    disks.stack.up("-c", "state=running")
    disks.wait_until_ready()
    before = disks.ssh(disks.only_host, f"ls {DISK_LINKS}*_1")
    disks.stack.up("-c", "state=stopped")
    assert loop_devices(disks.folder) == []
    disks.stack.up("-c", "state=running")
    disks.wait_until_ready()
    host = disks.only_host
    assert mounted(disks, host) == ("/dev/nvme1n1", "ext4", "ubuntu:ubuntu")
    assert disks.ssh(host, "ls -A geobench") == "lost+found"
    assert disks.ssh(host, f"ls {DISK_LINKS}*_1") != before


def test_changed_instance_type_has_its_own_disk(disks: Clouds) -> None:
    disks.stack.up("-c", "specs=m5d.2xlarge")
    disks.wait_until_ready()
    host = disks.only_host
    assert (host.specs, host.cpus) == ("m5d.2xlarge", 8)
    assert 280e9 < int(disks.ssh(host, "df -B1 --output=size geobench | tail -1")) < 300e9


def test_nvme_false_leaves_the_disk_unused(disks: Clouds) -> None:
    disks.stack.up("-c", "instances=1")  # so that the second is new
    disks.stack.up("-c", "instances=2", "-c", "nvme=false")
    first, second = disks.stack.inventory().hosts
    # At once: it waits for a host that still sets itself up, and has nothing measured on two kinds of disks.
    _, told = Runner(disks.stack)("check", codes=(2,))
    assert told.startswith(f"waiting for hosts to finish bootstrapping: {second.name}\n")
    words = " ".join(told.split())
    assert f"say nvme: false, but the local disk of {first.name} was set up for working_dir: geobench on the" in words
    assert mounted(disks, first)[0] == "/dev/nvme1n1"  # what runs stays as it is
    assert disks.ssh(second, "sudo blkid -p /dev/nvme1n1; echo $?") == "2"  # blank
    assert disks.ssh(second, "! findmnt --source /dev/nvme1n1 && ! systemctl cat geobench-disk") == ""

"""Debian packages are installed by apt in an overlay of this machine's files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

import pytest
from fakes.debian_repository import Repository

from benchmark.testbed.packages import install_command

pytestmark = pytest.mark.integration

# The mounts end with the process. The packages that this machine has are purged in the overlay first.
COPY = """\
set -e
rm -rf "$0/work" && mkdir "$0/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work,volatile" "$0/root"
mount --rbind /dev "$0/root/dev"
mount -t proc proc "$0/root/proc"
exec chroot "$0/root" bash -c "$1"
"""
PURGE = "dpkg --purge --force-depends etcd-client etcd-server >/dev/null 2>&1; rm -f /usr/sbin/policy-rc.d"
WAITS = """\
import fcntl, pathlib, subprocess, sys, time
held = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(held, fcntl.LOCK_EX)
process = subprocess.Popen(sys.argv[1], shell=True)
def waits():
    for each in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if each.joinpath("cmdline").read_bytes().startswith(b"apt-get\\0install\\0"):
                return "nanosleep" in each.joinpath("wchan").read_text()
        except OSError:
            continue  # it has just ended
while process.poll() is None and not waits():
    time.sleep(0.05)
print("it waits" if process.poll() is None else "it gave up", flush=True)
fcntl.lockf(held, fcntl.LOCK_UN)
sys.exit(process.wait())
"""
"""Run the command while another process holds the lock of dpkg, which is released once apt waits for it."""
WANTS = "etc/systemd/system/multi-user.target.wants"


class Copy:
    """An overlay of this machine's files, with the changes in `folder`."""

    def __init__(self, folder: Path, source: str) -> None:
        self.folder = folder
        for name in ("upper", "root"):
            (folder / name).mkdir()
        self.write("etc/apt/sources.list", f"{source}\n")
        for other in Path("/etc/apt/sources.list.d").iterdir():
            self.write(f"etc/apt/sources.list.d/{other.name}", "")
        self.run(PURGE)

    def write(self, name: str, text: str) -> None:
        path = self.folder / "upper" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def has(self, name: str) -> bool:
        """Whether a changed file exists; overlays mark a removed file with a device."""
        path = self.folder / "upper" / name
        return path.is_symlink() or path.is_file()

    def run(self, command: str) -> str:
        """Run a command in the overlay; it must succeed, and its processes end with it."""
        words = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
        words += ["bash", "-c", COPY, str(self.folder), command]
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    made = Repository(tmp_path_factory.mktemp("packages") / "repository", ("etcd-server", "etcd-client"), "127.0.0.1")
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def copy(tmp_path: Path, repository: Repository) -> Copy:
    return Copy(tmp_path, repository.source)


def test_services_of_installed_packages_are_not_enabled_at_boot(copy: Copy) -> None:
    own = "printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n'"
    copy.run(f"{own} >/etc/systemd/system/own.service; systemctl --root=/ enable own.service")
    copy.run(install_command(["etcd-server", "etcd-client"]))
    assert copy.run("dpkg-query -W -f '${Status}' etcd-server") == "install ok installed"
    assert not copy.has(f"{WANTS}/etcd.service")
    assert copy.has(f"{WANTS}/own.service")
    assert not copy.has("usr/sbin/policy-rc.d")
    assert "S01etcd" not in copy.run("ls /etc/rc3.d")


def test_service_that_was_enabled_before_stays_enabled(copy: Copy) -> None:
    copy.run("printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
    copy.run("apt-get update -qq && apt-get install -y -qq etcd-server")
    assert copy.has(f"{WANTS}/etcd.service")
    copy.run(install_command(["etcd-server", "etcd-client"]))
    assert copy.has(f"{WANTS}/etcd.service")
    assert copy.has("usr/sbin/policy-rc.d")


def test_installation_waits_for_another_one(copy: Copy) -> None:
    copy.write("waits.py", WAITS)
    output = copy.run(f"python3 /waits.py {quote(install_command(['etcd-client']))}")
    assert "it waits" in output
    assert copy.run("dpkg-query -W -f '${Status}' etcd-client") == "install ok installed"

"""How the first boot repairs packages whose installation was interrupted, with the real apt and dpkg."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from pathlib import Path

import pytest
from factories.cloud_init import function

FUNCTIONS = ("fetch_packages", "list_packages", "install_packages", "finish_packages")
SCRIPT = '#!/bin/sh\nif rm "$DPKG_ROOT/$DPKG_MAINTSCRIPT_PACKAGE.$DPKG_MAINTSCRIPT_NAME"; then kill -KILL $PPID; fi\n'
"""Maintainer script of every package: it kills dpkg if a file of its name exists."""
FOLDERS = (
    "etc/apt/apt.conf.d", "etc/apt/preferences.d", "repository", "var/cache/apt/archives", "var/lib/apt/lists/partial",
    "var/lib/dpkg/info", "var/lib/dpkg/updates",
)  # fmt: skip


class Packages:
    """A system without packages, and a repository of three: `a`, which depends on `b`, and `c`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in FOLDERS:
            (root / name).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        folders = f'Dir "{root}"; Dir::State::status "{root}/var/lib/dpkg/status"; Dir::Log "{root}";'
        (root / "apt.conf").write_text(f'{folders} APT::Sandbox::User "";')
        (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{root}/repository ./\n")
        listed = [self._pack("a", "Depends: b\n"), self._pack("b"), self._pack("c")]
        (root / "repository/Packages").write_text("\n".join(listed))
        assert self.run("list_packages")[0] == 0

    def _pack(self, name: str, depends: str = "") -> str:
        """Build a package; return its entry in the repository's list."""
        tree, file = self.root / name, self.root / f"repository/{name}.deb"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\n{depends}Description: a\n"
        (tree / "DEBIAN/control").write_text(control)
        for script in ("preinst", "postinst"):
            (tree / "DEBIAN" / script).write_text(SCRIPT)
            (tree / "DEBIAN" / script).chmod(0o755)
        subprocess.run(["dpkg-deb", "-Znone", "--build", tree, file], capture_output=True, check=True)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return f"{control}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n"

    def start(self, commands: str) -> subprocess.Popen[str]:
        """Start commands that may call the functions of the first-boot script."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "APT_CONFIG": f"{self.root}/apt.conf"}
        environment |= {"DPKG_ROOT": str(self.root), "DPKG_FORCE": "not-root,script-chrootless"}
        text = "\n".join(["set -euo pipefail", *map(function, FUNCTIONS), commands])
        return subprocess.Popen(
            ["bash", "-c", text], cwd=self.root / "repository", env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, commands: str) -> tuple[int, str]:
        """Run commands; return their exit code and output."""
        process = self.start(commands)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    @property
    def states(self) -> str:
        """dpkg's letters for the wanted state of each package, its actual state, and whether it must be reinstalled."""
        return " ".join(self.run("dpkg-query -W -f '${Package}=${db:Status-Abbrev} '")[1].split())


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    return Packages(tmp_path)


@pytest.mark.parametrize(
    ("where", "commands", "left"),
    [
        ("b.preinst", "install_packages b", "b=iHR"),
        ("a.postinst", "install_packages a", "a=iF b=ii"),
        ("b.preinst", "dpkg --unpack a.deb b.deb", "a=iU b=iHR"),
        ("nowhere", "dpkg --unpack a.deb", "a=iU"),  # before its dependency
    ],
)
def test_an_interrupted_installation_is_completed(packages: Packages, where: str, commands: str, left: str) -> None:
    (packages.root / where).touch()
    packages.run(commands)
    assert packages.states == left
    assert packages.run("install_packages a c")[0] != 0
    code, output = packages.run("finish_packages; install_packages a c")
    assert (code, packages.states) == (0, "a=ii b=ii c=ii"), output


def test_repair_waits_for_a_running_installation(packages: Packages) -> None:
    """A running dpkg, such as that of the image's own upgrades, resembles an interrupted one."""
    (packages.root / "b.postinst").touch()
    packages.run("install_packages b")
    with (packages.root / "var/lib/dpkg/lock-frontend").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        process = packages.start("finish_packages")
        assert process.stdout
        assert "Waiting for cache lock" in process.stdout.readline()
        assert packages.states == "b=iF"
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, packages.states) == (0, "b=ii"), output


def test_intact_packages_are_not_changed(packages: Packages) -> None:
    packages.run("install_packages c")
    code, output = packages.run("finish_packages")
    assert (code, packages.states) == (0, "c=ii"), output
    assert "0 upgraded, 0 newly installed, 0 to remove" in output

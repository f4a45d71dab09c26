"""What a first start does about packages whose installation was cut short, with real apt and dpkg."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from pathlib import Path

import pytest
from factories.cloud_init import function

FUNCTIONS = ("fetch_packages", "list_packages", "install_packages", "finish_packages")
SCRIPT = '#!/bin/sh\nif rm "$DPKG_ROOT/$DPKG_MAINTSCRIPT_PACKAGE.$DPKG_MAINTSCRIPT_NAME"; then kill -KILL $PPID; fi\n'
"""Of every package: it kills dpkg if a file asks for it."""
FOLDERS = (
    "etc/apt/apt.conf.d", "etc/apt/preferences.d", "repository", "var/cache/apt/archives", "var/lib/apt/lists/partial",
    "var/lib/dpkg/info", "var/lib/dpkg/updates",
)  # fmt: skip


class Packages:
    """A system without packages, and a repository of three: `a`, which needs `b`, and `c`."""

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
        """Make a package; return its entry in the list of the repository."""
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
        """Start commands that may call the functions of the first start."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "APT_CONFIG": f"{self.root}/apt.conf"}
        environment |= {"DPKG_ROOT": str(self.root), "DPKG_FORCE": "not-root,script-chrootless"}
        text = "\n".join(["set -euo pipefail", *map(function, FUNCTIONS), commands])
        return subprocess.Popen(
            ["bash", "-c", text], cwd=self.root / "repository", env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, commands: str) -> tuple[int, str]:
        """Run commands, to their exit code and what they said."""
        process = self.start(commands)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    @property
    def states(self) -> str:
        """The letters that dpkg has for what is wanted of each package, how it is, and whether it has to be redone."""
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
        ("nowhere", "dpkg --unpack a.deb", "a=iU"),  # what it needs was to follow
    ],
)
def test_a_start_that_was_cut_short_anywhere_goes_on(packages: Packages, where: str, commands: str, left: str) -> None:
    (packages.root / where).touch()
    packages.run(commands)
    assert packages.states == left
    assert packages.run("install_packages a c")[0] != 0
    code, said = packages.run("finish_packages; install_packages a c")
    assert (code, packages.states) == (0, "a=ii b=ii c=ii"), said


def test_whoever_installs_at_the_first_start_is_waited_for(packages: Packages) -> None:
    """The image's own upgrades: their dpkg is at work, which looks as if it had been cut short."""
    (packages.root / "b.postinst").touch()
    packages.run("install_packages b")
    with (packages.root / "var/lib/dpkg/lock-frontend").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        process = packages.start("finish_packages")
        assert process.stdout
        assert "Waiting for cache lock" in process.stdout.readline()
        assert packages.states == "b=iF"
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, packages.states) == (0, "b=ii"), said


def test_packages_that_nothing_befell_stay_as_they_are(packages: Packages) -> None:
    packages.run("install_packages c")
    code, said = packages.run("finish_packages")
    assert (code, packages.states) == (0, "c=ii"), said
    assert "0 upgraded, 0 newly installed, 0 to remove" in said

"""A real git repository for tests, with the small C project `standin` in it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from paths import FAKES

from benchmark.protocols.process import Build

STANDIN = FAKES / "standin"
OUTPUTS = ("target/release/remora", "target/release/load_generator")
BUILD = Build(packages=("gcc", "libc6-dev", "make"), command="make", outputs=OUTPUTS)


class Source:
    """A checkout with a branch `main`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch", "main")

    @classmethod
    def of_standin(cls, folder: Path) -> Source:
        made = cls(folder)
        shutil.copytree(STANDIN, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("target"))
        made.commit("The stand-in")
        return made

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "protocol.file.allow=always"]
        command = ["git", "-C", str(self.folder), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.head

    def bundle(self) -> bytes:
        """Write the whole repository to a bundle that git can fetch from."""
        path = self.folder.with_suffix(".bundle")
        self.git("bundle", "create", "--quiet", str(path), "--all")
        return path.read_bytes()

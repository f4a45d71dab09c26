"""A repository of Debian packages, rebuilt from what is installed here: emulated machines install from it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fakes.emulators.machine import installed_layer

_INFO = Path("var/lib/dpkg/info")
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class Repository:
    """Serves the packages `names` of this machine, or of emulated ones, at `source`, a line for apt, until closed."""

    def __init__(self, folder: Path, names: Sequence[str], address: str) -> None:
        folder.mkdir()
        (folder / "Packages").write_text("\n".join(_pack(folder, name) for name in names), encoding="utf-8")
        self._server = ThreadingHTTPServer((address, 0), partial(_Quiet, directory=str(folder)))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.source = f"deb [trusted=yes] http://{address}:{self._server.server_port} ./"

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


def _pack(folder: Path, name: str) -> str:
    """Rebuild the package that the installed one came from; return its entry in the repository's list."""
    installed = next(each for each in (Path("/"), installed_layer()) if (each / _INFO / f"{name}.list").exists())
    database = f"--admindir={installed / _INFO.parent}"
    root = folder / name
    (root / "DEBIAN").mkdir(parents=True)
    entry = _query(database, "-s", name)
    control = "".join(f"{line}\n" for line in _described(entry))
    (root / "DEBIAN/control").write_text(control, encoding="utf-8")
    kept = [line.split()[0] for line in _query(database, "-W", "-f", "${Conffiles}", name).splitlines() if line.strip()]
    (root / "DEBIAN/conffiles").write_text("".join(f"{path}\n" for path in kept), encoding="utf-8")
    for script in _SCRIPTS:
        source = installed / _INFO / f"{name}.{script}"
        if source.exists():
            shutil.copy(source, root / "DEBIAN" / script)
    paths = [Path(line).relative_to("/") for line in _query(database, "-L", name).splitlines()]
    folders = {parent for path in paths for parent in path.parents}  # some are links here: /lib
    for path in paths:
        source, target = installed / path, root / path
        if not os.path.lexists(source):  # /lib is a link to /usr/lib that only the machine has
            source = installed / "usr" / path
        if path not in folders and (source.is_symlink() or source.is_file()):
            shutil.copy2(source, target, follow_symlinks=False)
        elif path in folders or source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.deb"
    command = ["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "--build", str(root), str(file)]
    subprocess.run(command, capture_output=True, check=True)
    shutil.rmtree(root)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{control}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n"


def _described(entry: str) -> list[str]:
    """Return the lines of an entry of dpkg's database that are also in its package file."""
    kept, drop = [], False
    for line in entry.splitlines():
        drop = drop if line.startswith(" ") else line.startswith(("Status:", "Conffiles:"))
        if line and not drop:
            kept.append(line)
    return kept


def _query(*arguments: str) -> str:
    return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=True).stdout

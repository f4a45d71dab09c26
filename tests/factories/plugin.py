"""Installed packages that declare a protocol."""

from __future__ import annotations

from pathlib import Path


def install_plugin(folder: Path, module: str, value: str = "mine_protocol:Mine") -> None:
    """Install the package `mine` with the source `module` in `folder`, as pip does, with a protocol called `mine`."""
    folder.mkdir(exist_ok=True)
    (folder / "mine_protocol.py").write_text(module, encoding="utf-8")
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[geobench.protocols]\nmine = {value}\n", encoding="utf-8")

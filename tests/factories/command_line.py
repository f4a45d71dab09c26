"""Call the command line in this process, on an inventory in files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from factories.hosts import inventory

from benchmark.cli import main
from benchmark.inventory import Host

SETTINGS = "testbed_id: t\nregions: [a, b]\nssh_timeout: 1s\nssh_retries: 0\n"


def call(*arguments: str) -> int:
    """Run the command line in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def write(folder: Path, hosts: list[Host], settings: str = SETTINGS, key: str = "key") -> tuple[str, ...]:
    found = inventory(a=2, b=2).model_copy(update={"hosts": tuple(hosts)})
    (folder / "Pulumi.yaml").write_text("name: geobench\nruntime: python\n")
    (folder / "inventory.json").write_text(found.model_dump_json())
    if not (folder / "key").exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    (folder / "settings.yaml").write_text(f"{settings}ssh_private_key_file: {key}\n")
    return "--inventory", "inventory.json", "--settings", "settings.yaml"

"""Run the command line in this process, on a testbed described by files."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from factories.hosts import inventory

from benchmark.cli import main
from benchmark.inventory import Host

SETTINGS = "testbed_id: t\nregions: [a, b]\nssh_timeout: 1s\nssh_retries: 0\n"


def call(*arguments: str) -> int:
    """Run the command line and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def write(folder: Path, hosts: list[Host], settings: str = SETTINGS, key: str = "key") -> tuple[str, ...]:
    """Write a project with an inventory of `hosts`, settings and a private key; return the options that select it."""
    found = inventory(a=2, b=2).model_copy(update={"hosts": tuple(hosts)})
    (folder / "Pulumi.yaml").write_text("name: geobench\nruntime: python\n")
    (folder / "inventory.json").write_text(found.model_dump_json())
    if not (folder / "key").exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    (folder / "settings.yaml").write_text(f"{settings}ssh_private_key_file: {key}\n")
    return "--inventory", "inventory.json", "--settings", "settings.yaml"


def write_unreachable(folder: Path) -> tuple[str, ...]:
    """Write a project with four hosts, none of which is reachable; return the options that select it."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    hosts = [host.model_copy(update={"address": "127.0.0.1", "ssh_port": port}) for host in inventory(a=2, b=2).hosts]
    return write(folder, hosts)


def fake_pulumi(folder: Path, monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, str]) -> None:
    """Put a `pulumi` on PATH that prints the answer whose key is in its command line, and fails if there is none."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    cases = []
    for number, (key, text) in enumerate(answers.items()):
        (bin_folder / f"answer{number}").write_text(text)
        cases.append(f"*{key}*) cat {bin_folder}/answer{number} ;;")
    script = "\n".join(["#!/bin/sh", 'case "$*" in', *cases, "*) echo 'error: no answer' >&2; exit 1 ;;", "esac"])
    (bin_folder / "pulumi").write_text(script)
    (bin_folder / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")

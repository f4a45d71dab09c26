"""User data of cloud hosts for tests, and the files and shell functions in it."""

from __future__ import annotations

import base64
import gzip
import io
import re
import subprocess
import tarfile
from dataclasses import replace
from datetime import timedelta
from typing import Any

import yaml

from stacks.cloud.cloud_init import SCRIPT, Bootstrap, user_data

HOST = Bootstrap(
    hostname="eu-west-1-3",
    provider="aws",
    authorized_key="ssh-ed25519 AAAAoperator",
    host_public_key="ssh-ed25519 AAAAhost",
    host_private_key="-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n-----END OPENSSH PRIVATE KEY-----\n",
    operator_cidrs=("198.51.100.7/32",),
    time_to_live=timedelta(hours=12),
)
MONITORING = replace(HOST, monitoring=True)


def config(host: Bootstrap) -> dict[str, Any]:
    text = user_data(host)
    assert text.startswith("#cloud-config\n")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def archive(host: Bootstrap) -> tarfile.TarFile:
    (entry,) = config(host)["write_files"]
    assert (entry["encoding"], entry["permissions"]) == ("gz+b64", "0600")
    return tarfile.open(fileobj=io.BytesIO(gzip.decompress(base64.b64decode(entry["content"]))))


def files(host: Bootstrap) -> dict[str, str]:
    packed = archive(host)
    return {f"/{name}": (packed.extractfile(name) or io.BytesIO()).read().decode() for name in packed.getnames()}


def variables(text: str) -> dict[str, str]:
    """Return the variables that a shell reads from a file."""
    shown = subprocess.run(
        ["sh", "-c", 'set -a; eval "$1"; env -0', "sh", text], capture_output=True, check=True, env={}
    ).stdout.decode()
    return dict(line.split("=", 1) for line in shown.split("\0") if line)


def function(name: str) -> str:
    """Return the text of one function of the first-boot script."""
    found = re.search(rf"^{name}\(\) \{{(?: [^\n]* \}}|\n.*?^\}})$", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{SCRIPT} has no function {name}"
    return found[0]

"""Limits that a local host requests for its disk, here written to plain files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_for

from stacks.local.host import disk_control
from stacks.local.process import find_process


class Host:
    """A process that stands for a local host, and what limits its disk."""

    def __init__(self, folder: Path, bandwidth: int | None) -> None:
        (folder / "control").mkdir()
        self.folder, self.files = folder, [folder / "read", folder / "write"]
        limits = disk_control.Limits(
            files={str(file): "7:3 {}" for file in self.files}, unlimited="0", bandwidth=bandwidth
        )
        self.process = subprocess.Popen(["sleep", "300"])
        words = [disk_control.__file__, str(folder), str(self.process.pid), json.dumps(limits)]
        self.control = subprocess.Popen([sys.executable, "-I", "-S", *words])
        wait_for((folder / "control/disk").exists, "the socket")

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        name = os.open(self.folder, os.O_RDONLY)
        client.connect(f"/proc/self/fd/{name}/control/disk")  # the folder's own name may be too long
        os.close(name)
        client.settimeout(60)
        return client

    def limits(self) -> set[str]:
        return {file.read_text() if file.exists() else "" for file in self.files}

    def wait_for(self, limit: str) -> None:
        wait_for(lambda: self.limits() == {limit}, limit)


def ask(client: socket.socket, line: str) -> str:
    client.sendall(f"{line}\n".encode())
    return client.recv(100).decode()


@pytest.fixture
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    made = Host(tmp_path, getattr(request, "param", None))
    with made.process, made.control:
        yield made
        made.process.kill()
        made.control.wait(60)


def test_a_limit_ends_with_its_connection(host: Host) -> None:
    with host.connect() as client:
        assert ask(client, "1000 60") == "ok\n"
        assert host.limits() == {"7:3 1000"}
    host.wait_for("7:3 0")


def test_a_limit_ends_with_its_time(host: Host) -> None:
    with host.connect() as client:
        assert ask(client, "1000 1") == "ok\n"
        host.wait_for("7:3 0")


def test_the_smallest_limit_holds(host: Host) -> None:
    with host.connect() as first, host.connect() as second:
        assert ask(first, "1000 60") == "ok\n"
        assert ask(second, "1 60") == "ok\n"
        host.wait_for("7:3 1")
        second.close()
        host.wait_for("7:3 1000")
        assert ask(first, "2000 60") == "ok\n"
        host.wait_for("7:3 2000")


@pytest.mark.parametrize("host", [5000], indirect=True)
def test_the_bandwidth_of_the_settings_remains(host: Host) -> None:
    with host.connect() as client:
        assert ask(client, "9000 60") == "ok\n"
        assert host.limits() == {""}
        assert ask(client, "1000 60") == "ok\n"
        host.wait_for("7:3 1000")
    host.wait_for("7:3 5000")


@pytest.mark.parametrize("line", ["0 60", "-1 60", "1000 0", "1000", "x y", "8:0 1", f"{2**64} 1", "1 9999999"])
def test_anything_else_is_rejected(host: Host, line: str) -> None:
    with host.connect() as client:
        assert ask(client, line) == "expected bytes per second and seconds\n"
        assert host.limits() == {""}
        assert ask(client, "1000 60") == "ok\n"


def test_endless_lines_and_many_connections_are_ended(host: Host) -> None:
    with host.connect() as client:
        client.sendall(b"1" * disk_control.LONGEST_LINE)
        assert client.recv(100) == b""
    clients = [host.connect() for _ in range(2 * disk_control.MOST_CLIENTS)]
    assert clients[-1].recv(100) == b""
    assert ask(clients[0], "1000 60") == "ok\n"
    for client in clients:
        client.close()
    host.wait_for("7:3 0")


def test_a_limit_that_the_kernel_rejects_is_removed_whole(host: Host) -> None:
    host.files[1].mkdir()
    with host.connect() as client:
        assert ask(client, "1000 60") == "the kernel rejects the limit: Is a directory\n"
        host.files[1].rmdir()
        host.wait_for("7:3 0")


def test_it_is_a_process_that_can_be_found_and_ends_with_the_host(host: Host) -> None:
    found = find_process(host.folder / "disk_control")
    assert found
    assert found.pid == host.control.pid
    host.process.kill()
    assert host.control.wait(60) == 0

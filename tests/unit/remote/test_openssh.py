"""The command line that logs a person in, run for real."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fakes.sshd import USER, Sshd, make_key

from benchmark.inventory import Host
from benchmark.remote.openssh import known_hosts_line, openssh_command


def login(server: Sshd, host: Host, folder: Path) -> subprocess.CompletedProcess[str]:
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(known_hosts_line(host), encoding="utf-8")
    command = openssh_command(host, USER, server.user_key, known_hosts, ["echo", "in $SSH_CONNECTION"])
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)


def test_logs_in_with_the_pinned_key(server: Sshd, tmp_path: Path) -> None:
    done = login(server, server.host(), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("in 127.0.0.1")
    assert done.stdout.split()[-1] == str(server.port)


def test_another_host_key_ends_it(server: Sshd, tmp_path: Path) -> None:
    done = login(server, server.host(host_key=make_key(tmp_path / "other")), tmp_path)
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_without_a_command_it_is_a_login(server: Sshd) -> None:
    command = openssh_command(server.host(), "me", Path("/keys/k"), Path("/keys/known"))
    assert command[0] == "ssh"
    assert command[-3:] == ["-l", "me", "127.0.0.1"]
    assert "StrictHostKeyChecking=yes" in command

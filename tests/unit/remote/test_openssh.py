"""The OpenSSH command line, run against a real server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fakes.sshd import USER, Sshd, make_key

from benchmark.errors import UsageError
from benchmark.inventory import Host, Jump
from benchmark.remote.openssh import known_hosts_line, openssh_command


def run_remotely(server: Sshd, host: Host, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(known_hosts_line(host), encoding="utf-8")
    words = openssh_command(host, USER, server.user_key, known_hosts, command)
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)


def test_logs_in_with_the_pinned_key(server: Sshd, tmp_path: Path) -> None:
    done = run_remotely(server, server.host(), tmp_path, "echo", "in $SSH_CONNECTION")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("in 127.0.0.1")
    assert done.stdout.split()[-1] == str(server.port)


def test_options_of_the_command_reach_the_command(server: Sshd, tmp_path: Path) -> None:
    done = run_remotely(server, server.host(), tmp_path, "printf", "%s-", "-v", "--", "-l")
    assert (done.returncode, done.stdout) == (0, "-v-----l-")


def test_rejects_another_host_key(server: Sshd, tmp_path: Path) -> None:
    done = run_remotely(server, server.host(host_key=make_key(tmp_path / "other")), tmp_path, "true")
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_without_a_command_it_opens_a_login_shell(server: Sshd) -> None:
    command = openssh_command(server.host(), "me", Path("/keys/k"), Path("/keys/known"))
    assert command[0] == "ssh"
    assert command[-4:] == ["-l", "me", "--", "127.0.0.1"]
    assert "StrictHostKeyChecking=yes" in command


@pytest.mark.parametrize("address", ["192.0.2.1", "::1", "fe80::1%eth0", "node-1.example.org"])
def test_accepts_addresses_and_names(server: Sshd, address: str) -> None:
    host = server.host().model_copy(update={"address": address})
    assert openssh_command(host, "me", Path("k"), Path("known"), ["true"])[-3:] == ["--", address, "true"]


@pytest.mark.parametrize("address", ["-oProxyCommand=touch pwned", "-V", "", "a b", "ssh://x", "u@h", "a\n-V", "$(id)"])
def test_rejects_an_address_that_ssh_would_not_take_as_a_host(server: Sshd, address: str) -> None:
    host = server.host().model_copy(update={"address": address})
    with pytest.raises(UsageError, match="host host-0: the address in the inventory is"):
        openssh_command(host, "me", Path("k"), Path("known"))


def test_a_stopped_host_says_how_to_start_it(server: Sshd) -> None:
    host = server.host().model_copy(update={"address": "", "state": "stopped"})
    with pytest.raises(UsageError, match="start the host with `pulumi up -c state=running`"):
        openssh_command(host, "me", Path("k"), Path("known"))


def test_logs_in_through_a_gateway_with_both_keys_pinned(tmp_path: Path) -> None:
    with Sshd() as host, Sshd(config=f"AuthorizedKeysFile {host.user_key}.pub\n") as gateway:
        jump = Jump(address="127.0.0.1", ssh_port=gateway.port, host_key=gateway.host_key)
        behind = host.host().model_copy(update={"jump": jump})
        done = run_remotely(host, behind, tmp_path, "echo", "inside")
        assert (done.returncode, done.stdout) == (0, "inside\n")
        stranger = jump.model_copy(update={"host_key": make_key(tmp_path / "other")})
        done = run_remotely(host, behind.model_copy(update={"jump": stranger}), tmp_path, "true")
        assert done.returncode == 255
        assert "Host key verification failed" in done.stderr


def test_rejects_a_gateway_whose_address_ssh_would_not_take_as_a_host(server: Sshd) -> None:
    jump = Jump(address="192.0.2.1", host_key=server.host_key)
    jump = jump.model_copy(update={"address": "-oProxyCommand=touch pwned"})
    with pytest.raises(UsageError, match="host host-0: the address of its gateway is"):
        openssh_command(server.host().model_copy(update={"jump": jump}), "me", Path("k"), Path("known"))

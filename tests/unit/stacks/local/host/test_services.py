"""Configuration of a host's services, checked as text and by the programs that read it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from waiting import wait_for

from stacks.keys import generate_key
from stacks.local.host.services import SSHD_CONFIG, firewall, resolver, services


def test_a_reachable_resolver_is_not_changed(tmp_path: Path) -> None:
    configured = tmp_path / "resolv.conf"
    configured.write_text("search example.org\nnameserver 192.0.2.53\noptions edns0\n", encoding="utf-8")
    assert resolver(configured, tmp_path / "absent") == configured.read_text(encoding="utf-8")


@pytest.mark.parametrize("stub", ["127.0.0.53", "127.0.0.1", "::1"])
def test_a_local_stub_is_replaced_by_its_upstream_servers(tmp_path: Path, stub: str) -> None:
    configured, upstream = tmp_path / "resolv.conf", tmp_path / "upstream"
    configured.write_text(f"nameserver {stub}\n", encoding="utf-8")
    upstream.write_text("nameserver 192.0.2.53\nsearch example.org\n", encoding="utf-8")
    assert resolver(configured, upstream) == "nameserver 192.0.2.53\nsearch example.org\n"


def test_a_reachable_server_beside_a_local_stub_is_kept(tmp_path: Path) -> None:
    configured = tmp_path / "resolv.conf"
    configured.write_text("nameserver 127.0.0.1\nnameserver 192.0.2.1\n", encoding="utf-8")
    assert resolver(configured, tmp_path / "absent") == "nameserver 192.0.2.1\n"


def test_without_a_resolver_the_file_is_empty(tmp_path: Path) -> None:
    assert resolver(tmp_path / "absent", tmp_path / "absent too") == ""


def test_every_host_has_an_exporter_and_only_the_monitoring_host_has_prometheus() -> None:
    instance, monitoring = services("instance", grafana=True), services("monitoring", grafana=False)
    assert instance.count(" &\n") == 1
    assert "--web.listen-address=:9100" in instance
    assert "prometheus --config.file" in monitoring
    assert "127.0.0.1:9090" in monitoring


def test_grafana_runs_only_on_the_monitoring_host_and_only_if_installed() -> None:
    assert "grafana" not in services("monitoring", grafana=False)
    assert "grafana" not in services("instance", grafana=True)
    assert "GF_SERVER_HTTP_ADDR=127.0.0.1" in services("monitoring", grafana=True)


def test_a_service_that_dies_is_started_again(tmp_path: Path) -> None:
    program = tmp_path / "prometheus"
    program.write_text(f"#!/bin/sh\necho started >>{tmp_path}/starts\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    (command,) = (line for line in services("monitoring", grafana=False).splitlines() if " prometheus " in line)
    command = command.replace("/var/log", str(tmp_path)).replace("sleep 1", "sleep 0.01")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    shell = subprocess.Popen(["sh", "-euc", f"{command}\nwait"], env=environment, start_new_session=True)
    try:
        wait_for(
            lambda: (tmp_path / "starts").exists() and (tmp_path / "starts").read_text().count("started") > 1,
            "no restart",
            10,
        )
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def test_the_shell_accepts_the_commands() -> None:
    subprocess.run(["sh", "-n"], input=services("monitoring", grafana=True), text=True, check=True)


@pytest.mark.integration
def test_nftables_accepts_the_firewall() -> None:
    rules = firewall("198.18.0.1", "198.18.0.0/20")
    subprocess.run(["unshare", "--net", "nft", "--check", "--file", "-"], input=rules, text=True, check=True)


@pytest.mark.integration
def test_the_ssh_server_accepts_its_configuration_and_only_keys(tmp_path: Path) -> None:
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd requires it even to test its configuration
    key = tmp_path / "key"
    key.write_text(generate_key().private_key, encoding="utf-8")
    key.chmod(0o600)
    (tmp_path / "config").write_text(SSHD_CONFIG, encoding="utf-8")
    command = ["/usr/sbin/sshd", "-T", "-f", str(tmp_path / "config"), "-h", str(key)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for line in (
        "authenticationmethods publickey", "passwordauthentication no", "kbdinteractiveauthentication no", "usepam no",
        "usedns no", "permitrootlogin without-password", "clientaliveinterval 15", "clientalivecountmax 4",
        "maxsessions 1000", "addressfamily inet",
    ):  # fmt: skip
        assert line in shown

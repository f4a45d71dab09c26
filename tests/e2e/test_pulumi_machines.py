"""Existing machines, from an empty settings file to a result, under the real pulumi.

The machines have sshd, a login with sudo and an apt that works; nothing of what a benchmark needs is installed.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.plain_machines import LOGIN, PlainMachines
from fakes.pulumi_stack import ROOT, Stack
from fakes.runner import Runner
from waiting import wait_for

from benchmark.host_layout import PROMETHEUS_CONFIG
from benchmark.inventory import Host
from benchmark.testbed.machines import command
from stacks.monitoring import monitoring_files

pytestmark = pytest.mark.e2e

MACHINES = {"one": ("zurich", 22), "two": ("zurich", 22), "three": ("boston", 2222)}
HOSTS = {"zurich-0": "one", "zurich-1": "two", "boston-0": "three"}
SETTINGS: dict[str, Any] = {
    "cloud_provider": "machines", "scrape_interval": "500ms", "ssh_timeout": "3s", "ssh_retries": 0,
}  # fmt: skip
OF_THE_USER = "find /etc /home /opt /usr/local /var/lib/dpkg -xdev -printf '%p %s %T@ %u %m\\n' 2>/dev/null | sort"

RUN = ("--loads", "200", "--duration", "5s", "--warm-up", "2s")


class Lab:
    """Three machines, and a stack whose settings list them."""

    def __init__(self, folder: Path) -> None:
        self.plain = PlainMachines(folder, "lab", MACHINES)
        self.stack = Stack(folder / "stack", "lab", "")
        self.stack.environment["GEOBENCH_STATE_DIR"] = str(folder / "state")
        self.keys: dict[str, str] = {}
        self.describe()

    def describe(self, **fields: Any) -> None:
        """Write the settings, with the host keys that are known by now."""
        machines = []
        for name, (region, port) in MACHINES.items():
            machine = {"region": region, "address": self.address(name), "port": port, "user": LOGIN}
            machines.append(machine | ({"host_key": self.keys[name]} if name in self.keys else {}))
        key = {"ssh_private_key_file": str(self.plain.key_file)}
        text = yaml.safe_dump({"testbed_id": "lab", **SETTINGS, **key, "machines": machines, **fields})
        (self.stack.project / "s.yaml").write_text(text, encoding="utf-8")

    def address(self, name: str) -> str:
        return self.plain.machines[name].address

    def benchmark(self, *arguments: str, exit_code: int = 0) -> str:
        """Run a command of the runner; return all that it printed, its line breaks made spaces."""
        run = [sys.executable, "-m", "benchmark", *arguments]
        done = subprocess.run(
            run, cwd=self.stack.project, env=self.stack.environment | {"COLUMNS": "4000"},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == exit_code, f"{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return " ".join(f"{done.stdout}\n{done.stderr}".split())

    def ssh(self, name: str, remote: str, stdin: str = "") -> str:
        """Log in as the user does and run a command; it must succeed."""
        options = ["-F", "none", "-i", str(self.plain.key_file), "-p", str(MACHINES[name][1]), "-o", "BatchMode=yes"]
        known = self.plain.folder / "known_hosts"
        options += ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=accept-new"]
        done = subprocess.run(
            ["ssh", *options, f"{LOGIN}@{self.address(name)}", remote],
            input=stdin, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{remote}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def look(self, host: Host) -> str:
        """What the runner's script finds to do on a host."""
        script = (ROOT / "benchmark/host_scripts/machine.sh").read_text(encoding="utf-8")
        return self.ssh(HOSTS[host.name], command("inspect", host, 500), script)

    def files(self) -> dict[str, str]:
        return {name: self.plain.root(name, OF_THE_USER) for name in MACHINES}

    def close(self) -> None:
        try:
            self.stack.destroy()
        finally:
            self.plain.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("lab")
        patch.setenv("GEOBENCH_STATE_DIR", str(folder / "state"))
        made = Lab(folder)
        try:
            yield made
        finally:
            made.close()


def refused(lab: Lab) -> str:
    """What `pulumi up` says, which must fail without a trace back."""
    done = lab.stack.run("up", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


def test_missing_host_keys_are_requested_with_commands_whose_output_is_accepted(lab: Lab) -> None:
    lab.keys.clear()
    lab.describe()
    untouched = lab.files()
    shown = refused(lab)
    commands = re.findall(r"machines\.(\d)\.host_key: missing; `(ssh-keyscan [^`]*)` shows it", shown)
    assert [number for number, _ in commands] == ["0", "1", "2"]
    for name, (_, line) in zip(MACHINES, commands, strict=True):
        done = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=30, check=True)
        lab.keys[name] = done.stdout
        assert lab.plain.root(name, "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[1] in done.stdout
    lab.describe()
    lab.stack.up()
    inventory = lab.stack.inventory()
    assert [(host.name, host.ssh_port, host.ssh_user, host.role) for host in inventory.hosts] == [
        ("zurich-0", 22, LOGIN, "monitoring"),
        ("zurich-1", 22, LOGIN, "instance"),
        ("boston-0", 2222, LOGIN, "instance"),
    ]
    assert lab.files() == untouched


def test_private_key_file_is_required(lab: Lab) -> None:
    lab.describe(ssh_private_key_file=None)
    try:
        assert "ssh_private_key_file is missing" in refused(lab)
    finally:
        lab.describe()
        lab.stack.up()


def test_machines_are_ready_and_check_changes_nothing(lab: Lab) -> None:
    assert json.loads(lab.benchmark("status", "--json"))["hosts"] == dict.fromkeys(HOSTS, "ready")
    lab.benchmark("check")
    before = lab.files()
    lab.benchmark("check")
    assert lab.files() == before


def test_login_without_sudo_gets_instructions(lab: Lab) -> None:
    lab.plain.root("two", f"rm -f /etc/sudoers.d/{LOGIN} && mv /etc/sudoers.d/90-cloud-init-users /root/")
    try:
        for asked in (["check"], ["run", "--loads", "200"]):
            shown = lab.benchmark(*asked, exit_code=3)
            assert "its login may not use sudo without a password" in shown
            assert f"echo '{LOGIN} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/{LOGIN}" in shown
        advised = re.search(r"echo '[^']*' >/etc/sudoers.d/\w+", shown)
        assert advised
        lab.plain.root("two", advised[0])
        lab.benchmark("check")
    finally:
        lab.plain.root("two", "mv /root/90-cloud-init-users /etc/sudoers.d/")


def test_firewall_between_machines_is_reported_before_anything_is_installed(lab: Lab) -> None:
    rules = "add table inet own; add chain inet own input { type filter hook input priority 0; policy accept; };"
    rules += " add rule inet own input ct state established accept;"
    rules += f" add rule inet own input iif != lo ip saddr != {lab.plain.network.operator_address} drop"
    lab.plain.root("three", f"nft '{rules}'")
    try:
        shown = lab.benchmark("run", "--loads", "200", exit_code=3)
        unreached = f"it cannot reach 1 of 2 other hosts ({lab.address('three')}) on port 9100"
        assert f"zurich-0: {unreached}" in shown
        assert f"zurich-1: {unreached}" in shown
        assert unreached in lab.benchmark("check", exit_code=3)
    finally:
        lab.plain.root("three", "nft delete table inet own")
    lab.benchmark("check")
    assert "missing prometheus-node-exporter" in lab.look(lab.stack.inventory().host("zurich-1"))


def test_benchmark_needs_only_ssh_and_sudo(lab: Lab) -> None:
    summary = Runner(lab.stack).measure(*RUN)
    for name in MACHINES:
        assert "prometheus-node-exporter" in lab.ssh(name, "cat /var/log/apt/history.log")
    assert {host.name: lab.look(host) for host in lab.stack.inventory().hosts} == dict.fromkeys(HOSTS, "")
    assert (summary["protocol"], summary["nodes"], summary["errors"]) == ("etcd", 2, {})
    assert summary["completed_tps"] == pytest.approx(200, rel=0.1)
    assert summary["latency_s"]["mean"] > 0.01  # one of two clients is away from the leader


def test_prometheus_has_the_configuration_of_other_providers(lab: Lab) -> None:
    found = yaml.safe_load(lab.ssh("one", "cat /etc/geobench/prometheus.yml"))
    assert found == yaml.safe_load(monitoring_files(timedelta(milliseconds=500))[PROMETHEUS_CONFIG])


def test_machine_with_another_host_key_is_rejected(lab: Lab) -> None:
    kept = dict(lab.keys)
    lab.keys["three"] = kept["two"]
    try:
        lab.describe()
        lab.stack.up()
        shown = lab.benchmark("run", "--loads", "200", exit_code=3)
        assert f"boston-0: {lab.address('three')}:2222: found the host key {_key(kept['three'])}" in shown
        assert f"the inventory pins {_key(kept['two'])}. If the machine was reinstalled, set `host_key` in the" in shown
        assert "zurich" not in shown.partition("cannot reach hosts")[2]
    finally:
        lab.keys = kept
        lab.describe()
        lab.stack.up()


def _key(scanned: str) -> str:
    return " ".join(scanned.split()[1:3])


def test_rejected_user_key_is_named(lab: Lab) -> None:
    lab.plain.root("two", f"mv /home/{LOGIN}/.ssh/authorized_keys /root/")
    try:
        shown = lab.benchmark("check", exit_code=3)
        assert f"was rejected for user '{LOGIN}': it is not in that user's authorized_keys" in shown
        assert "add the public key there, or correct the machine's `user` and run `pulumi up`" in shown
    finally:
        lab.plain.root("two", f"mv /root/authorized_keys /home/{LOGIN}/.ssh/")


def test_unreachable_machine_is_named_with_what_to_do(lab: Lab) -> None:
    machine = lab.plain.machines["two"]
    address = machine.address
    machine.stop(keep_address=True)
    try:
        for asked in (["status"], ["run", "--loads", "200"]):
            shown = lab.benchmark(*asked, exit_code=3)
            assert re.search(rf"zurich-1: (unreachable \()?{re.escape(address)}:22: no ", shown)
            assert "Existing machines must be on and admit you: pulumi does not start them" in shown
            assert "pulumi refresh" not in shown
    finally:
        machine.start()
    wait_for(lambda: _ready(lab), "all machines are ready")


def _ready(lab: Lab) -> bool:
    run = [sys.executable, "-m", "benchmark", "status"]
    done = subprocess.run(
        run, cwd=lab.stack.project, env=lab.stack.environment, capture_output=True, timeout=60, check=False
    )
    return done.returncode == 0


def test_installed_services_survive_a_reboot_and_destroy_touches_no_machine(lab: Lab) -> None:
    lab.stack.up()
    assert lab.look(lab.stack.inventory().host("zurich-1")) == ""  # it was off and on
    assert lab.plain.root("two", "systemctl is-enabled etcd || :") == "disabled\n"
    lab.benchmark("check")  # nothing has the ports of the nodes
    before = lab.files()
    lab.stack.destroy()
    assert lab.files() == before


def clean(lab: Lab, name: str) -> None:
    """Do on a machine what the docs say, in their words."""
    docs = (ROOT / "docs/clouds.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"```sh\n(sudo apt-get purge .*?)```", docs, re.DOTALL)
    lab.ssh(name, f"set -e\n{commands}")


def test_documented_clean_up_restores_a_machine(lab: Lab) -> None:
    for name in ("one", "two"):  # the monitoring host, and a node
        port = MACHINES[name][1]
        clean(lab, name)
        listening = lab.plain.root(name, "ss -ltnH | awk '{print $4}'").split()
        assert {address.rpartition(":")[2] for address in listening} == {str(port)}
        assert lab.plain.root(name, f"find /etc /home/{LOGIN} -name '*geobench*' -o -name 'prometheus*.yml'") == ""


def test_existing_prometheus_is_left_alone_and_can_be_moved(lab: Lab) -> None:
    clean(lab, "one")
    lab.ssh("one", "sudo apt-get update -q && sudo apt-get install -y -q --no-install-recommends prometheus")
    wait_for(lambda: lab.plain.root("one", "ss -ltnH 'sport = :9090'"), "the user's Prometheus listens")
    own = lab.plain.root("one", "cat /etc/prometheus/prometheus.yml")
    lab.stack.up()
    for asked in (["check"], ["run", "--loads", "200"]):
        shown = lab.benchmark(*asked, exit_code=3)
        assert "port 9090 is in use by something other than a Prometheus for testbeds" in shown
    assert lab.plain.root("one", "systemctl is-active prometheus; ls /etc/geobench 2>&1 || :").startswith(
        "active\nls: "
    )
    lab.ssh("one", re.findall(r"`(sudo systemctl [^`]*)`", shown)[0])
    lab.benchmark("check")
    assert Runner(lab.stack).measure(*RUN)["completed_tps"] == pytest.approx(200, rel=0.1)
    assert lab.plain.root("one", "cat /etc/prometheus/prometheus.yml") == own
    lab.stack.destroy()

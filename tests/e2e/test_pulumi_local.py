"""The Pulumi program on local hosts under the real pulumi, with a separate backend, home and state folder."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.pulumi_stack import Stack
from fakes.runner import Runner
from waiting import wait_for

from stacks.local.wan.network import WideAreaNetwork

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        made = Stack(tmp_path_factory.mktemp("e2e"), "e2e-main")
        patch.setenv("GEOBENCH_STATE_DIR", str(made.state))
        try:
            made.up()
            yield made
        finally:
            made.destroy()


def changes(report: str) -> dict[str, int]:
    """Read pulumi's count of resources: `3 created`, `12 unchanged`."""
    lines = report.split("Resources:")[1].split("Duration:")[0].splitlines()
    words = [line.replace("+", " ").replace("~", " ").replace("-", " ").split() for line in lines if line.strip()]
    return {word[1].rstrip("."): int(word[0]) for word in words if len(word) == 2 and word[0].isdigit()}


def test_inventory_lets_an_operator_log_in_to_every_host(stack: Stack, tmp_path: Path) -> None:
    inventory = stack.inventory()
    assert [host.name for host in inventory.hosts] == ["us-east-1-0", "us-east-1-1", "eu-west-1-0", "eu-west-1-1"]
    assert inventory.monitoring == inventory.hosts[0]
    key = tmp_path / "key"
    key.write_text(stack.pulumi("stack", "output", "ssh_private_key", "--show-secrets"), encoding="utf-8")
    key.chmod(0o600)
    known = tmp_path / "known_hosts"
    known.write_text("".join(f"{host.address} {host.host_key}\n" for host in inventory.hosts), encoding="utf-8")
    for host in inventory.hosts:
        options = ["-F", "none", "-i", str(key), "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
        command = ["ssh", *options, f"{inventory.ssh.user}@{host.address}", "hostname"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.stdout.strip() == host.name, done.stderr


def test_outputs_name_the_stack_and_its_cost(stack: Stack) -> None:
    outputs = json.loads(stack.pulumi("stack", "output", "--json"))
    assert outputs["stack"] == "e2e"
    assert outputs["hourly_cost_usd"] == 0
    assert outputs["ssh_private_key"] == "[secret]"


def test_state_holds_no_private_key_in_clear_text(stack: Stack) -> None:
    secret = stack.pulumi("stack", "output", "ssh_private_key", "--show-secrets").splitlines()[2]
    files = [path for path in stack.backend.rglob("*") if path.is_file()]
    assert any("LocalHost" in path.read_text(encoding="utf-8") for path in files)
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "PRIVATE KEY" not in text, path
        assert secret not in text, path
    state = json.loads(stack.pulumi("stack", "export"))["deployment"]["resources"]
    keys = [r for r in state if r["type"].endswith(":SshKey")]
    hosts = [r for r in state if r["type"].endswith(":LocalHost")]
    assert len(keys) == 5
    assert all("ciphertext" in key["outputs"]["private_key"] for key in keys)
    assert all("ciphertext" in host["inputs"]["host_private_key"] for host in hosts)
    assert not any("host_private_key" in host["outputs"] for host in hosts)


def test_second_update_changes_nothing(stack: Stack) -> None:
    assert set(changes(stack.up())) == {"unchanged"}
    assert "unchanged" in stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_added_instances_touch_no_existing_host(stack: Stack) -> None:
    stack.up("-c", "instances=2")
    before, created_at = stack.pids(), stack.inventory().created_at
    report = changes(stack.up("-c", "instances=3"))
    after = stack.pids()
    assert report["created"] == 4  # two hosts and their keys
    assert len(after) == 6
    assert {name: after[name] for name in before} == before
    assert stack.inventory().created_at == created_at
    stack.up("-c", "instances=2")
    assert stack.pids() == before


def test_killed_host_is_detected_by_refresh_and_recreated_by_update(stack: Stack) -> None:
    stack.up("--refresh")
    before = stack.pids()
    victim = before["eu-west-1-1"]
    assert victim is not None
    subprocess.run(["kill", "-9", str(victim)], check=True)
    wait_for(lambda: not stack.host("eu-west-1-1").is_running(), "the host has died")
    assert stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes").returncode != 0
    stack.up()
    after = stack.pids()
    assert stack.host("eu-west-1-1").is_running()
    assert after.pop("eu-west-1-1") not in (None, before.pop("eu-west-1-1"))
    assert after == before


@pytest.mark.parametrize("refresh", [True, False])
def test_hosts_are_recreated_with_a_dead_network(stack: Stack, refresh: bool) -> None:
    stack.up("--refresh")
    emulator = WideAreaNetwork(stack.testbed_id)
    identity = emulator.identity()
    assert identity is not None
    subprocess.run(["kill", "-9", identity.split()[0]], check=True)
    wait_for(lambda: not emulator.running(), "the emulator has died")
    for command in ("status", "check"):
        _, error = Runner(stack)(command, codes=(3,))
        assert "the emulated network of testbed e2e-main is down" in error
        assert "`pulumi up` repairs it" in error
    if refresh:
        stack.pulumi("refresh", "--yes", "--skip-preview")
    stack.up()
    assert emulator.identity() not in (None, identity)
    assert all(stack.host(host.name).is_running() for host in stack.inventory().hosts)


def test_second_checkout_with_the_same_testbed_id_is_rejected_and_harms_nothing(stack: Stack, tmp_path: Path) -> None:
    stack.up("--refresh")
    before = stack.pids()
    other = Stack(tmp_path, stack.testbed_id)
    other.environment["GEOBENCH_STATE_DIR"] = str(stack.state)
    for command in ("preview", "up"):
        refused = other.run(command, *["--yes", "--skip-preview"] * (command == "up"))
        shown = refused.stdout + refused.stderr
        assert refused.returncode != 0
        assert f"belongs to stack e2e of {stack.project}; choose another name" in shown
        assert "Traceback" not in shown
    other.destroy()
    assert stack.pids() == before
    assert all(stack.host(name).is_running() for name in before)
    assert set(changes(stack.up())) == {"unchanged"}


def test_restarted_hosts_keep_files_and_addresses(stack: Stack) -> None:
    stack.up("-c", "state=running")
    before = stack.inventory()
    marker = stack.host("eu-west-1-0").directory / "upper/root/marker"
    pid = stack.host("eu-west-1-0").process_id()
    subprocess.run(["nsenter", "-t", str(pid), "-a", "touch", "/root/marker"], check=True)
    stack.up("-c", "state=stopped")
    assert set(stack.pids().values()) == {None}
    assert {host.state for host in stack.inventory().hosts} == {"stopped"}
    assert marker.exists()
    stack.up("-c", "state=running")
    assert stack.inventory() == before
    assert marker.exists()


@pytest.mark.parametrize(
    ("field", "value"), [("instances", "none"), ("regions", "[us-east-1, nowhere-7]"), ("instnces", "3")]
)
def test_wrong_setting_gives_one_message_without_a_traceback(stack: Stack, field: str, value: str) -> None:
    settings = stack.project / "Pulumi.e2e.yaml"
    kept = settings.read_text(encoding="utf-8")
    try:
        refused = stack.run("up", "--yes", "--skip-preview", "-c", f"{field}={value}")
    finally:
        settings.write_text(kept, encoding="utf-8")
    shown = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert value.strip("[]").split()[-1] in shown or field in shown
    assert "Traceback" not in shown


def test_host_that_cannot_start_gives_one_message_without_a_traceback(stack: Stack) -> None:
    blocker = stack.state / stack.testbed_id / "hosts/eu-west-1-2"
    blocker.write_text("a file where the host's folder should be", encoding="utf-8")
    try:
        refused = stack.run("up", "--yes", "--skip-preview", "-c", "instances=3")
    finally:
        blocker.unlink(missing_ok=True)
        stack.up("-c", "instances=2")
    shown = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "Not a directory" in shown
    assert "eu-west-1-2" in shown
    assert "Traceback" not in shown


def test_region_can_replace_another(stack: Stack) -> None:
    kept = {name: pid for name, pid in stack.pids().items() if name.startswith("us-east-1")}
    stack.up("-c", "regions=[us-east-1, ap-northeast-1]")
    after = stack.pids()
    assert sorted(after) == ["ap-northeast-1-0", "ap-northeast-1-1", "us-east-1-0", "us-east-1-1"]
    assert {name: after[name] for name in kept} == kept
    assert sorted(WideAreaNetwork(stack.testbed_id).hosts()) == sorted(after)


def test_monitoring_host_follows_the_first_region(stack: Stack) -> None:
    stack.up("-c", "regions=[ap-northeast-1, us-east-1]")
    assert stack.inventory().monitoring == stack.inventory().host("ap-northeast-1-0")
    search = {name: ["nsenter", "-t", str(pid), "-a", "pidof", "prometheus"] for name, pid in stack.pids().items()}
    wait_for(lambda: subprocess.run(search["ap-northeast-1-0"], check=False).returncode == 0, "Prometheus runs")
    assert subprocess.run(search["us-east-1-0"], check=False).returncode == 1


def test_destroy_leaves_the_machine_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Stack(tmp_path, "e2e-gone")
    monkeypatch.setenv("GEOBENCH_STATE_DIR", str(other.state))
    try:
        other.up()
        namespaces = {Path(f"/proc/{pid}/ns/pid").readlink() for pid in other.pids().values()}
        subnet = WideAreaNetwork("e2e-gone").subnet.split("/")[0].rpartition(".")[0]
    finally:
        other.destroy()
    assert list(other.state.iterdir()) == []
    assert str(other.state) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    addresses = subprocess.run(["ip", "-o", "-4", "address"], capture_output=True, text=True, check=True).stdout
    assert f"{subnet}." not in addresses
    assert [path for path in Path("/proc").glob("[0-9]*") if _belongs(path, namespaces, other.state)] == []
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    assert f"{subnet}." not in rules


def _belongs(process: Path, namespaces: set[Path], state: Path) -> bool:
    try:
        if (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            return False
        return (process / "ns/pid").readlink() in namespaces or str(state) in (process / "cmdline").read_text()
    except OSError:
        return False

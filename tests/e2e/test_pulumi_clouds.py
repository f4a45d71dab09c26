"""The testbed program under the real pulumi against emulated clouds whose machines really boot."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from emulators.machine import Machine
from emulators.site import AWS_SECRET, TOKEN, Site
from pulumi_stack import Stack

from benchmark.inventory import Host

pytestmark = pytest.mark.e2e

SETTINGS = """\
cloud_provider: aws
regions: [us-east-1, vultr:ewr]
specs: {{aws: m5d.2xlarge, vultr: vc2-4c-8gb}}
instances: 2
operator_cidrs: [{operator}]
scrape_interval: 500ms
"""


class Clouds:
    """A stack of the program and the site that it is deployed to."""

    def __init__(self, folder: Path, name: str, settings: str = SETTINGS) -> None:
        self.site = Site(folder, name, ["us-east-1", "ewr"])
        self.stack = Stack(folder / "stack", name, settings.format(operator=self.site.operator))
        self.stack.environment |= {**self.site.environment, "GEOBENCH_STATE_DIR": str(folder / "machines")}
        self.folder = folder

    @property
    def machines(self) -> dict[str, Machine]:
        """All machines that either cloud has, by name."""
        found = [*self.site.aws.machines.values(), *self.site.vultr.machines.values()]
        return {machine.name: machine for machine in found}

    def ssh(self, host: Host, command: str) -> str:
        """Run a command on a host with the stack's key; the host must have the key of the inventory."""
        done = self._ssh(host, command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def _ssh(self, host: Host, command: str) -> subprocess.CompletedProcess[str]:
        key, known = self.folder / "key", self.folder / "known"
        if not key.exists():
            key.touch(0o600)
            key.write_text(self.stack.pulumi("stack", "output", "ssh_private_key", "--show-secrets"), encoding="utf-8")
        known.write_text(f"{host.address} {host.host_key}\n", encoding="utf-8")
        options = ["-F", "none", "-i", str(key), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
        options += ["-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10"]
        target = ["ssh", *options, f"{host.ssh_user}@{host.address}", command]
        return subprocess.run(target, capture_output=True, text=True, timeout=60, check=False)

    def benchmark(self, *arguments: str, exit_code: int = 0) -> str:
        """Run a command of the runner and return its standard output, or its errors where it printed nothing there."""
        command = [sys.executable, "-m", "benchmark", *arguments]
        done = subprocess.run(
            command,
            cwd=self.stack.project,
            env=self.stack.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == exit_code, f"{done.stdout}\n{done.stderr}"
        return done.stdout or done.stderr

    def wait_until_ready(self) -> None:
        for host in self.stack.inventory().hosts:
            wait_for(lambda host=host: reaches(host.address, 22), f"{host.name} answers")
        for machine in self.machines.values():
            file = machine.path("/var/lib/geobench/state")
            wait_for(lambda file=file: file.exists() and file.read_text() == "ready\n", f"{machine.name} is ready")
        for host in self.stack.inventory().hosts:  # a host that was started again says ready before it lets users in
            wait_for(lambda host=host: self._ssh(host, "true").returncode == 0, f"{host.name} lets users in")

    def close(self) -> None:
        try:
            self.stack.destroy()
        finally:
            self.site.close()


def wait_for(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} within {seconds:.0f} s"
        time.sleep(0.1)


def reaches(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1.0):
            return True
    except OSError:
        return False


def connects(machine: Machine, address: str, port: int) -> bool:
    """Whether a machine can connect to an address."""
    done = machine.enter(["timeout", "1", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"])
    return done.returncode == 0


@contextmanager
def watched_commands() -> Iterator[set[bytes]]:
    """Collect the command lines and environments of all processes while the block runs."""
    seen: set[bytes] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
                with suppress(OSError):  # it has ended
                    seen.add(path.read_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def holding(texts: Iterable[bytes], *secrets: str) -> list[bytes]:
    return [text for text in texts if any(secret.encode() in text for secret in secrets)]


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("clouds")
        patch.setenv("GEOBENCH_STATE_DIR", str(folder / "machines"))
        made = Clouds(folder, "clouds")
        try:
            made.stack.up()
            yield made
        finally:
            made.close()


def test_one_testbed_over_two_clouds(clouds: Clouds) -> None:
    inventory = clouds.stack.inventory()
    assert [(host.provider, host.name, host.role, host.state) for host in inventory.hosts] == [
        ("aws", "us-east-1-0", "monitoring", "running"),
        ("aws", "us-east-1-1", "instance", "running"),
        ("vultr", "ewr-0", "instance", "running"),
        ("vultr", "ewr-1", "instance", "running"),
    ]
    assert {host.address for host in inventory.hosts} == {machine.address for machine in clouds.machines.values()}
    assert inventory.expires_at is not None
    assert inventory.hourly_cost_usd == pytest.approx(2 * (0.504 + 0.005 + 100 * 0.088 / 730) + 2 * 40 / 672, abs=1e-5)


def test_every_host_is_what_was_ordered(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    for host in clouds.stack.inventory().hosts:
        assert clouds.ssh(host, "hostname; cat /var/lib/geobench/state") == f"{host.name}\nready"


def test_hosts_reach_each_other_once_they_are_named_and_strangers_nothing(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    hosts = clouds.stack.inventory().hosts
    machines = {machine.address: machine for machine in clouds.machines.values()}
    ways = [(a, b) for a in hosts for b in hosts if a != b]
    assert not any(connects(machines[a.address], b.address, 9100) for a, b in ways[:3])
    named = "\\n".join(host.address for host in hosts)
    for host in hosts:
        clouds.ssh(host, f"printf '{named}\\n' | sudo geobench-peers")
    assert all(connects(machines[a.address], b.address, 9100) for a, b in ways)
    assert not any(reaches(host.address, 9100) for host in hosts)  # nor does the operator, but for SSH
    site = clouds.site
    stranger = Machine(clouds.folder / "stranger", site.image, site.network, "stranger", "ewr")
    stranger.create("#cloud-config\n{}\n")
    try:
        assert not any(connects(stranger, host.address, port) for host in hosts for port in (22, 9100))
    finally:
        stranger.remove()


def test_a_benchmark_runs_on_hosts_of_two_clouds(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    status = json.loads(clouds.benchmark("status", "--json"))
    assert status["hosts"] == {host.name: "ready" for host in clouds.stack.inventory().hosts}
    assert set(status["expires_at"]) == set(status["hosts"])
    assert 0 < status["cost_so_far_usd"] < status["cost_until_expiry_usd"]
    with watched_commands() as commands:
        clouds.benchmark("run", "--loads", "200", "--duration", "8s", "--warm-up", "3s")
    assert holding(commands, "--loads")
    assert not holding(commands, TOKEN, AWS_SECRET, "PRIVATE KEY")
    (summary,) = clouds.stack.project.glob("results/clouds/*-200tps-*/summary.json")
    found = json.loads(summary.read_text(encoding="utf-8"))
    assert (found["protocol"], found["nodes"], found["load_tps"], found["errors"]) == ("etcd", 3, 200, {})
    assert found["throughput_tps"] == pytest.approx(200, rel=0.1)
    texts = [path.read_bytes() for path in clouds.stack.project.glob("results/**/*") if path.is_file()]
    assert holding(texts, "etcd")
    assert not holding(texts, TOKEN, AWS_SECRET, "PRIVATE KEY")


def test_a_host_that_shows_another_key_is_refused(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    machine = clouds.machines["clouds-ewr-1"]
    swap = "cd /etc/ssh && mkdir -p /root/kept && mv ssh_host_ed25519_key* /root/kept && {} && systemctl restart ssh"
    made = machine.enter(["sh", "-c", swap.format("ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key")])
    assert made.returncode == 0, made.stderr
    try:
        shown = " ".join(clouds.benchmark("run", "--loads", "200", exit_code=3).split())
        assert "ewr-1: " in shown
        assert "found the host key ssh-ed25519 " in shown
        assert f"the inventory pins {clouds.stack.inventory().host('ewr-1').host_key}" in shown
        assert "`pulumi refresh` and `pulumi up` read its new key; otherwise" in shown
        assert "ewr-0" not in shown
        assert json.loads(clouds.benchmark("status", "--json", exit_code=3))["hosts"]["ewr-1"] == "unreachable"
    finally:
        machine.enter(["sh", "-c", "mv /root/kept/* /etc/ssh && systemctl restart ssh"])
    clouds.wait_until_ready()


def test_hosts_are_given_more_time_without_pulumi(clouds: Clouds) -> None:
    clouds.wait_until_ready()
    before = json.loads(clouds.benchmark("status", "--json"))["expires_at"]
    assert "4 hosts end themselves at" in clouds.benchmark("extend", "4h")
    after = json.loads(clouds.benchmark("status", "--json"))["expires_at"]
    latest = max(datetime.fromisoformat(end) for end in before.values())
    assert {datetime.fromisoformat(end) for end in after.values()} == {latest + timedelta(hours=4)}
    for machine in clouds.machines.values():
        assert machine.enter(["geobench-expiry"]).stdout == f"{latest.timestamp() + 4 * 3600:.0f}\n"


def test_nothing_changes_if_nothing_was_changed(clouds: Clouds) -> None:
    assert "to update" not in clouds.stack.pulumi("preview", "--diff", "--expect-no-changes")
    clouds.stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_no_secret_is_in_clear_anywhere(clouds: Clouds) -> None:
    files = [path for path in clouds.stack.backend.rglob("*") if path.is_file()]
    assert any("user_data" in path.read_text() or "userData" in path.read_text() for path in files)
    shown = clouds.stack.pulumi("stack", "export") + clouds.stack.pulumi("stack", "output", "--json")
    for text in [shown, *(path.read_text(encoding="utf-8") for path in files)]:
        assert TOKEN not in text
        assert AWS_SECRET not in text
        assert "PRIVATE KEY" not in text


def test_a_second_instance_more_touches_no_host_that_is_there(clouds: Clouds) -> None:
    before = {name: machine.address for name, machine in clouds.machines.items()}
    with watched_commands() as commands:
        clouds.stack.up("-c", "instances=3")
    assert holding(commands, "instances=3")
    assert not holding(commands, TOKEN, AWS_SECRET, "PRIVATE KEY")
    assert len(clouds.machines) == 6
    assert {name: clouds.machines[name].address for name in before} == before
    clouds.stack.up("-c", "instances=2")
    assert {name: machine.address for name, machine in clouds.machines.items()} == before


def test_stopped_hosts_come_back_with_addresses_that_the_inventory_knows(clouds: Clouds) -> None:
    clouds.stack.up("-c", "state=stopped")
    inventory = clouds.stack.inventory()
    assert {host.state for host in inventory.hosts} == {"stopped"}
    assert not any(machine.running for machine in clouds.machines.values())
    assert clouds.benchmark("status").count("2 stopped") == 2
    assert "no host runs; `pulumi up -c state=running` starts them" in clouds.benchmark("extend", "1h")
    clouds.stack.up("-c", "state=running")
    clouds.wait_until_ready()
    for host in clouds.stack.inventory().hosts:
        assert (clouds.ssh(host, "hostname"), host.state) == (host.name, "running")


def test_a_host_that_ended_itself_is_noticed_and_made_anew(clouds: Clouds) -> None:
    victim = next(machine for machine in clouds.machines.values() if machine.name == "clouds-us-east-1-1")
    victim.enter(["sh", "-c", "geobench-expiry 1; systemctl start geobench-expiry.service"])
    wait_for(lambda: not victim.running, "the host ends itself")
    shown = clouds.benchmark("status", exit_code=3)
    assert "us-east-1-1: unreachable" in shown
    assert "`pulumi refresh` finds out whether hosts still exist" in shown
    assert clouds.stack.run("refresh", "--yes", "--skip-preview", "--expect-no-changes").returncode != 0
    clouds.stack.up()
    assert all(machine.running for machine in clouds.machines.values())
    assert len(clouds.machines) == 4
    clouds.wait_until_ready()


@pytest.fixture
def troubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clouds]:
    """Clouds of a test's own, in which nothing was created yet."""
    monkeypatch.setenv("GEOBENCH_STATE_DIR", str(tmp_path / "machines"))
    made = Clouds(tmp_path, "troubled")
    try:
        yield made
    finally:
        made.close()


def names(clouds: Clouds) -> list[str]:
    """The machines that the clouds have, orphans and doubles included."""
    found = [*clouds.site.aws.machines.values(), *clouds.site.vultr.machines.values()]
    return sorted(machine.name.removeprefix("troubled-") for machine in found)


@pytest.mark.parametrize(
    ("name", "fault", "answer"),
    [
        ("us-east-1-1", "capacity", "InsufficientInstanceCapacity"),
        ("ewr-0", "capacity", "is not available in the selected location"),
        ("us-east-1-1", "late", "to be ready: timeout"),
        ("ewr-0", "late", "to be completed: timeout"),
    ],
)
def test_another_update_mends_what_a_cloud_left_half_done(troubled: Clouds, name: str, fault: str, answer: str) -> None:
    for cloud in (troubled.site.aws, troubled.site.vultr):
        cloud.faults[f"troubled-{name}"] = fault
    failed = troubled.stack.run("up", "--yes", "--skip-preview")
    assert failed.returncode != 0
    assert answer in failed.stdout
    troubled.stack.up()
    assert names(troubled) == ["ewr-0", "ewr-1", "us-east-1-0", "us-east-1-1"]
    addresses = {host.address for host in troubled.stack.inventory().hosts}
    assert addresses == {machine.address for machine in troubled.machines.values()}
    troubled.stack.destroy()
    assert names(troubled) == []
    assert troubled.site.vultr.things == {}


def test_throttling_is_waited_out(troubled: Clouds) -> None:
    troubled.site.aws.throttle = 20
    troubled.stack.up()
    assert troubled.site.aws.throttle == 0
    assert names(troubled) == ["ewr-0", "ewr-1", "us-east-1-0", "us-east-1-1"]


def test_refused_credentials_are_said_without_a_traceback(troubled: Clouds) -> None:
    empty = troubled.folder / "empty"
    empty.write_text("[default]\n")
    failed = troubled.stack.run("up", "--yes", "--skip-preview", "-c", f"token_file={empty}")
    assert failed.returncode != 0
    assert "AWS did not say which zones of us-east-1 offer m5d.2xlarge" in failed.stdout
    assert "No valid credential sources found" in failed.stdout
    assert "Traceback" not in failed.stdout


def test_what_cannot_be_is_said_before_anything_is_created(troubled: Clouds) -> None:
    wrong = {
        "operator_cidrs=[]": "`curl https://checkip.amazonaws.com` shows your address",
        "specs=m5d.huge": "m5d.huge is not offered in us-east-1",
        "token_file=/nowhere": "token_file: /nowhere does not exist",
    }
    for field, message in wrong.items():
        failed = troubled.stack.run("up", "--yes", "--skip-preview", "-c", field)
        assert failed.returncode != 0
        assert message in failed.stdout + failed.stderr
        assert "Traceback" not in failed.stdout + failed.stderr
        name = field.partition("=")[0]
        troubled.stack.pulumi("config", "rm", name)
    assert names(troubled) == []

"""Bootstrap of a cloud host: cloud-init and systemd on machines of an emulated cloud."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.emulators.machine import Image, Machine

from benchmark.settings import Network
from stacks.cloud.cloud_init import Bootstrap, user_data
from stacks.keys import KeyPair, generate_key
from stacks.local.wan.links import links_for
from stacks.local.wan.network import WideAreaNetwork

pytestmark = pytest.mark.integration

READY_SECONDS = 90.0
CAP_SYS_RESOURCE = 24
LIFE = timedelta(hours=1)


class Site:
    """Two machines: `host`, which lets in the operator of this machine, and `stranger`, which does not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = WideAreaNetwork("first-start")
        self.network.start(links_for(["us-east-1"], Network(internet=False)))
        self.image = Image(folder / "image")
        self.operator = generate_key()
        self.keys: dict[str, KeyPair] = {}
        self.started = time.time()
        self.host = self.machine("host", f"{self.network.operator_address}/32", monitoring=True)
        self.stranger = self.machine("stranger", "192.0.2.1/32", monitoring=False)
        (folder / "key").write_text(self.operator.private_key)
        (folder / "key").chmod(0o600)

    def machine(self, name: str, operators: str, *, monitoring: bool) -> Machine:
        key = self.keys[name] = generate_key()
        made = Machine(self.folder / name, self.image, self.network, name, "us-east-1")
        told = Bootstrap(
            name, "aws", self.operator.public_key, *key, (operators,), time_to_live=LIFE, monitoring=monitoring
        )
        made.create(user_data(told))
        return made

    def ssh(self, command: str, stdin: str = "", login: str = "ubuntu") -> subprocess.CompletedProcess[str]:
        """Run a command on `host`, which must have the key that it was given."""
        known = self.folder / "known_hosts"
        known.write_text(f"{self.host.address} {self.keys['host'].public_key}\n")
        options = ["-F", "none", "-i", str(self.folder / "key"), "-o", f"UserKnownHostsFile={known}"]
        options += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
        target = ["ssh", *options, f"{login}@{self.host.address}", command]
        return subprocess.run(target, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    def run(self, command: str, stdin: str = "") -> str:
        done = self.ssh(command, stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def remove(self) -> None:
        for machine in (self.host, self.stranger):
            machine.remove()
        self.image.remove()
        self.network.stop()


def wait_for(condition: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not come true within {seconds:.0f} s"
        time.sleep(0.05)


def reaches(address: str, port: int, seconds: float = 1.0) -> bool:
    """Whether this machine, the operator's, can connect."""
    try:
        with socket.create_connection((address, port), timeout=seconds):
            return True
    except OSError:
        return False


def has_capability(number: int) -> bool:
    """Whether this process has a capability(7) by its number."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> number & 1)


def from_stranger(site: Site, port: int) -> bool:
    """Whether the stranger can connect to the host."""
    command = f"exec 3<>/dev/tcp/{site.host.address}/{port}"
    done = site.stranger.enter(["timeout", "1", "bash", "-c", command])
    return done.returncode == 0


def state(machine: Machine) -> str:
    file = machine.path("/var/lib/geobench/state")
    return file.read_text().strip() if file.exists() else "none"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("cloud"))
    try:
        for machine in (made.host, made.stranger):
            wait_for(lambda machine=machine: state(machine) not in ("none", "booting"))
        yield made
    finally:
        made.remove()


def test_both_machines_become_ready(site: Site) -> None:
    assert [state(site.host), state(site.stranger)] == ["ready", "ready"]


def test_cloud_init_accepts_every_field(site: Site) -> None:
    log = site.host.path("/var/log/cloud-init.log").read_text()
    assert "Invalid cloud-config" not in log
    assert " failed" not in site.host.path("/var/log/cloud-init-output.log").read_text()


def test_host_has_the_given_host_key_and_no_other(site: Site) -> None:
    keys = sorted(path.name for path in site.host.path("/etc/ssh").glob("ssh_host_*"))
    assert keys == ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"]
    assert site.run("whoami") == "ubuntu"  # the key was checked


def test_only_the_operators_key_can_log_in(site: Site) -> None:
    assert site.run("sudo -n id -u") == "0"
    assert site.ssh("true", login="root").returncode == 255
    effective = site.run("sudo sshd -T")
    assert {"passwordauthentication no", "kbdinteractiveauthentication no", "usedns no"} <= set(effective.splitlines())
    assert "maxstartups 200:30:400" in effective
    assert {"clientaliveinterval 15", "clientalivecountmax 4"} <= set(effective.splitlines())


def test_operator_reaches_only_ssh(site: Site) -> None:
    assert reaches(site.host.address, 22)
    assert site.run("curl -fsS -o /dev/null -w '%{http_code}' http://127.0.0.1:9100/metrics") == "200"
    assert not reaches(site.host.address, 9100)


def test_others_reach_nothing_until_admitted(site: Site) -> None:
    assert [from_stranger(site, port) for port in (22, 80, 9100)] == [False, False, False]
    assert not reaches(site.stranger.address, 22)
    site.run("sudo geobench-peers", stdin=f"192.0.2.9\n{site.stranger.address}\n2001:db8::1\n")
    assert [from_stranger(site, port) for port in (22, 80, 9100)] == [True, False, True]  # nothing listens on 80
    site.run("sudo geobench-peers", stdin="192.0.2.9\n")
    assert not from_stranger(site, 22)


def test_operator_networks_can_be_changed(site: Site) -> None:
    as_operator = [f"operator {site.network.operator_address}", "operator 2001:db8::/32", "operator 192.0.2.0/24"]
    site.run("sudo geobench-peers", stdin="\n".join([*as_operator, f"operator {site.stranger.address}/32\n"]))
    assert [from_stranger(site, port) for port in (22, 9100)] == [True, False]
    site.run("sudo geobench-peers", stdin="192.0.2.9\n")  # who names none changes none
    assert from_stranger(site, 22)
    site.run("sudo geobench-peers", stdin="\n".join([*as_operator, "192.0.2.9\n"]))
    assert not from_stranger(site, 22)
    assert reaches(site.host.address, 22)


def test_invalid_addresses_change_nothing(site: Site) -> None:
    before = site.run("sudo nft list ruleset")
    done = site.ssh("sudo geobench-peers", stdin="192.0.2.9\n192.0.2.7 }; flush ruleset\n")
    assert done.returncode == 2
    assert "expected an IP address" in done.stderr
    assert site.ssh("sudo geobench-peers", stdin="999.0.2.9\n").returncode != 0
    assert site.run("sudo nft list ruleset") == before
    assert site.run("ls /etc/geobench/peers.*") == "/etc/geobench/peers.nft"


def test_limits_are_raised_for_benchmarks(site: Site) -> None:
    if has_capability(CAP_SYS_RESOURCE):
        assert site.run("ulimit -n") == "1048576"
    else:  # a machine that may not raise its own limits: the attempt is on record
        assert "'nofile' to soft=1048576, hard=1048576" in site.run("sudo journalctl --unit=ssh --no-pager")
    assert site.run("/sbin/sysctl -n net.core.somaxconn net.ipv4.tcp_slow_start_after_idle") == "65535\n0"
    assert site.run("systemctl is-active prometheus-node-exporter") == "active"
    assert site.run("systemctl is-enabled chrony geobench-firewall geobench-expiry.timer").split() == ["enabled"] * 3
    assert site.ssh("systemctl is-active apt-daily.timer apt-daily-upgrade.timer").stdout.split() == ["inactive"] * 2


def test_monitoring_host_scrapes_the_given_targets(site: Site) -> None:
    target = '[{"targets": ["127.0.0.1:9100"], "labels": {"job": "node"}}]'
    site.run(
        "cat >/etc/prometheus/targets/new && mv /etc/prometheus/targets/new /etc/prometheus/targets/t.json", target
    )
    found = "curl -fsS http://127.0.0.1:9090/api/v1/targets"
    wait_for(lambda: '"health":"up"' in site.run(found), 30)
    assert "Grafana was not installed" in site.run("cat /var/lib/geobench/warnings")  # its packages were out of reach


def test_time_to_live_counts_from_the_first_boot(site: Site) -> None:
    ends = int(site.run("sudo geobench-expiry"))
    assert site.started + LIFE.total_seconds() <= ends < time.time() + LIFE.total_seconds()
    assert site.run(f"sudo geobench-expiry {ends + 60}") == str(ends + 60)
    assert "expected seconds since 1970" in site.ssh("sudo geobench-expiry 4h").stderr
    assert int(site.run("sudo geobench-expiry")) == ends + 60
    assert "geobench-expiry.timer" in site.run("systemctl list-timers --no-legend")


def test_interrupted_bootstrap_resumes_at_the_next_boot(site: Site) -> None:
    late = site.machine("late", f"{site.network.operator_address}/32", monitoring=False)
    try:
        wait_for(lambda: late.path("/etc/systemd/system/geobench-bootstrap.service").exists())
        late.stop()
        assert late.running is False
        late.start()
        wait_for(lambda: state(late) == "ready")
        assert int(late.enter(["geobench-expiry"]).stdout) < time.time() + LIFE.total_seconds()
    finally:
        late.remove()


def test_reboot_keeps_everything(site: Site) -> None:
    site.run("sudo geobench-peers", stdin="192.0.2.44\n")
    before = site.run("sudo geobench-expiry; sudo nft list table inet geobench")
    site.host.stop()
    assert not site.host.running
    site.host.start()
    wait_for(lambda: reaches(site.host.address, 22))
    assert site.run("sudo geobench-expiry; sudo nft list table inet geobench") == before
    wait_for(lambda: site.ssh("systemctl is-active prometheus").stdout.strip() == "active", 30)
    assert state(site.host) == "ready"


def test_repeated_bootstrap_changes_nothing(site: Site) -> None:
    before = site.run("sudo geobench-expiry; sudo nft list ruleset; ls /etc/systemd/system /etc/geobench")
    site.run("sudo geobench-bootstrap")
    assert site.run("sudo geobench-expiry; sudo nft list ruleset; ls /etc/systemd/system /etc/geobench") == before


def test_expiry_is_first_checked_ten_minutes_after_boot(site: Site) -> None:
    shown = site.run("systemctl show geobench-expiry.timer --property=NextElapseUSecMonotonic --value")
    look = float(site.run(f"systemd-analyze timespan '{shown}'").split("s: ")[1].split()[0])
    started = float(site.run("systemctl show --property=UserspaceTimestampMonotonic --value"))
    assert (look - started) / 1e6 == pytest.approx(600.0, abs=1.0)


def test_expiry_timer_shuts_an_expired_host_down_within_a_minute(site: Site) -> None:
    site.run("sudo systemctl start geobench-expiry.service")  # the first look; those that follow are the timer's
    looked = time.monotonic()
    site.run(f"sudo geobench-expiry {int(time.time()) - 1}")
    assert site.host.running
    wait_for(lambda: not site.host.running, READY_SECONDS)
    assert time.monotonic() - looked > 59.0

"""Bootstrap of a cloud host with missing packages: apt installs them from a repository."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.debian_repository import Repository
from fakes.emulators.machine import Image, Machine
from waiting import wait_for

from benchmark.host_layout import PROMETHEUS_CONFIG, TARGETS_DIRECTORY
from benchmark.settings import Network
from stacks.cloud.cloud_init import LOGIN, Bootstrap, user_data
from stacks.keys import generate_key
from stacks.local.wan.links import links_for
from stacks.local.wan.network import WideAreaNetwork
from stacks.monitoring import monitoring_files

pytestmark = pytest.mark.integration

PACKAGES = ("chrony", "curl", "nftables", "prometheus", "prometheus-node-exporter")
SERVICES = ("chrony", "prometheus", "prometheus-node-exporter")
STATE, LOG = "/var/lib/geobench/state", "/var/log/cloud-init-output.log"
AMAZONS_CLOCK = "169.254.169.123"
# A machine has this one's files: what this one has installed is gone before cloud-init comes.
PURGE = f"""\
set -e
apt-get -y purge {" ".join(PACKAGES)}
rm -rf /etc/prometheus /var/lib/prometheus /usr/sbin/policy-rc.d
[ ! -e /etc/pause ] || install /etc/pause /usr/sbin/policy-rc.d
touch /var/purged
"""
BEFORE_CLOUD_INIT = """\
[Service]
ExecStartPre=/bin/sh -c '[ -e /var/purged ] || sh /etc/purge'
"""
# The first service that a package starts takes for ever.
PAUSE = """\
#!/bin/sh
[ -e /var/paused ] || { touch /var/paused; exec sleep infinity; }
"""
# Containers may not set the clock, so chrony does not start in one unless it only looks at it.
CLOCK_IN_A_CONTAINER = """\
[Unit]
ConditionCapability=
[Service]
ExecStart=
ExecStart=!/usr/sbin/chronyd -x
"""


def run(machine: Machine, command: str, login: str = "root") -> str:
    done = machine.enter(["runuser", "-u", login, "--", "bash", "-c", command])
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def read(machine: Machine, path: str) -> str:
    file = machine.path(path)
    return file.read_text(encoding="utf-8") if file.exists() else ""


class Site:
    """A network with a repository of packages; its machines are monitoring hosts that lack them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ends = ExitStack()
        self.network = WideAreaNetwork("packages")
        try:
            self.network.start(links_for(["us-east-1"], Network(internet=False)))
            self._ends.callback(self.network.stop)
            repository = Repository(folder / "packages", PACKAGES, self.network.operator_address)
            self._ends.callback(repository.close)
            files = {
                "/etc/apt/sources.list.d/packages.list": f"{repository.source}\n",
                "/etc/purge": PURGE,
                "/etc/systemd/system/cloud-init-local.service.d/before.conf": BEFORE_CLOUD_INIT,
                "/etc/systemd/system/chrony.service.d/container.conf": CLOCK_IN_A_CONTAINER,
            }
            self.image = Image(folder / "image", files)
            self._ends.callback(self.image.remove)
        except BaseException:
            self.close()
            raise

    def machine(self, name: str, files: Mapping[str, str] | None = None) -> Machine:
        """Make a machine, and start it for the first time."""
        made = Machine(self.folder / name, self.image, self.network, name, "us-east-1")
        self._ends.callback(made.remove)
        operators, life = (f"{self.network.operator_address}/32",), timedelta(hours=1)
        key = generate_key()
        made.create(user_data(Bootstrap(name, "aws", key.public_key, *key, operators, life, monitoring=True)), files)
        return made

    def left(self, machine: Machine, package: str) -> str:
        """What dpkg says of a package on the disk of a machine that was cut off while dpkg worked."""
        books = self.folder / machine.name / "upper/var/lib/dpkg"
        assert list(books.glob("updates/[0-9]*")), "dpkg was not at work"
        query = ["dpkg-query", f"--admindir={books}", "--show", "--showformat=${db:Status-Status}", package]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout

    def close(self) -> None:
        """End everything."""
        self._ends.close()


def cut_off(machine: Machine) -> None:
    """Take the power from a machine."""
    machine.enter(["poweroff", "--force", "--force", "--no-sync"])
    wait_for(lambda: not machine.running, f"the end of {machine.name}", 10.0)
    machine.stop()


def is_over(machine: Machine) -> bool:
    """Whether a machine's first start is."""
    return read(machine, STATE) not in ("", "booting\n")


def first_start(machine: Machine) -> str:
    """Wait until it is over, and return what it came to."""
    wait_for(lambda: is_over(machine), "the first start", 180.0)
    return read(machine, STATE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("packages"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def host(site: Site) -> Machine:
    """A host whose first start is over."""
    made = site.machine("bare")
    first_start(made)
    return made


def test_host_is_ready(host: Machine) -> None:
    assert read(host, STATE) == "ready\n", read(host, LOG)[-3000:]


@pytest.mark.parametrize("name", PACKAGES)
def test_missing_package_is_installed(host: Machine, name: str) -> None:
    log = [line.split()[2:] for line in read(host, "/var/log/dpkg.log").splitlines()]
    before = [version for action, package, version, *_ in log if action == "install" and package.split(":")[0] == name]
    assert before == ["<none>"]
    assert run(host, f"dpkg-query -W -f '${{Status}}' {name}") == "install ok installed"


@pytest.mark.parametrize("name", SERVICES)
def test_service_of_the_package_runs_and_is_enabled(host: Machine, name: str) -> None:
    assert run(host, f"systemctl is-active {name}") == "active"
    assert run(host, f"systemctl is-enabled {name}") == "enabled"


def test_node_exporter_and_prometheus_answer(host: Machine) -> None:
    assert "node_cpu_seconds_total" in run(host, "curl -fsS http://127.0.0.1:9100/metrics")
    target = '[{"targets": ["127.0.0.1:9100"], "labels": {"job": "node"}}]'
    file = f"{TARGETS_DIRECTORY}/t.json"
    run(host, f"cat >{file}.new <<<'{target}' && mv {file}.new {file}", LOGIN)
    wait_for(lambda: '"health":"up"' in run(host, "curl -fsS http://127.0.0.1:9090/api/v1/targets"), "a scrape", 30.0)


def test_testbed_configuration_overrides_that_of_the_package(host: Machine) -> None:
    assert read(host, PROMETHEUS_CONFIG) == monitoring_files(timedelta(seconds=5))[PROMETHEUS_CONFIG]


def test_clock_source_is_amazon_time_sync(host: Machine) -> None:
    assert AMAZONS_CLOCK in run(host, "chronyc -n sources")


def test_firewall_is_closed(host: Machine) -> None:
    assert "policy drop" in run(host, "nft list chain inet geobench input")


def test_bootstrap_interrupted_during_package_installation_resumes(site: Site) -> None:
    machine = site.machine("cut", {"/etc/pause": PAUSE})
    wait_for(lambda: machine.path("/var/paused").exists(), "a package that is being configured")
    cut_off(machine)
    assert site.left(machine, "prometheus-node-exporter") == "half-configured"
    machine.start()
    unpacked = machine.path("/usr/bin/prometheus.dpkg-new")
    wait_for(lambda: unpacked.exists() or is_over(machine), "a package that is being unpacked")
    assert not is_over(machine), read(machine, LOG)[-3000:]
    cut_off(machine)
    assert site.left(machine, "prometheus") == "half-installed"
    machine.start()
    assert first_start(machine) == "ready\n", read(machine, LOG)[-3000:]
    assert run(machine, "dpkg --audit") == ""
    states = run(machine, f"dpkg-query -W -f '${{db:Status-Abbrev}}' {' '.join(PACKAGES)}")
    assert states.split() == ["ii"] * len(PACKAGES)

"""The first start of a cloud host that lacks the packages it needs, for real: apt installs them from a repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest
from debian_repository import Repository
from emulators.machine import Image, Machine
from waiting import wait_for

from benchmark.inventory import TARGETS_DIRECTORY
from benchmark.settings import Network
from stacks.bootstrap import LOGIN, Bootstrap, user_data
from stacks.keys import generate_key
from stacks.local.network import WideAreaNetwork, links_for
from stacks.monitoring import CONFIG_FILE, monitoring_files

pytestmark = pytest.mark.integration

PACKAGES = ("chrony", "curl", "nftables", "prometheus", "prometheus-node-exporter")
SERVICES = ("chrony", "prometheus", "prometheus-node-exporter")
AMAZONS_CLOCK = "169.254.169.123"
# A machine has this one's files: what this one has installed is gone before cloud-init comes.
BEFORE_CLOUD_INIT = f"""\
[Service]
ExecStartPre=/usr/bin/apt-get -y purge {" ".join(PACKAGES)}
ExecStartPre=/bin/rm -rf /etc/prometheus /var/lib/prometheus /usr/sbin/policy-rc.d
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


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A monitoring host whose first start is over."""
    folder = tmp_path_factory.mktemp("packages")
    with ExitStack() as ends:
        network = WideAreaNetwork("packages")
        network.start(links_for(["us-east-1"], Network(internet=False)))
        ends.callback(network.stop)
        repository = Repository(folder / "packages", PACKAGES, network.operator_address)
        ends.callback(repository.close)
        files = {
            "/etc/apt/sources.list.d/packages.list": f"{repository.source}\n",
            "/etc/systemd/system/cloud-init-local.service.d/before.conf": BEFORE_CLOUD_INIT,
            "/etc/systemd/system/chrony.service.d/container.conf": CLOCK_IN_A_CONTAINER,
        }
        image = Image(folder / "image", files)
        ends.callback(image.remove)
        made = Machine(folder / "bare", image, network, "bare", "us-east-1")
        ends.callback(made.remove)
        operators, life = (f"{network.operator_address}/32",), timedelta(hours=1)
        key = generate_key()
        made.create(user_data(Bootstrap("bare", "aws", key.public_key, *key, operators, life, monitoring=True)))
        wait_for(lambda: read(made, "/var/lib/geobench/state") not in ("", "booting\n"), "the first start", 180.0)
        yield made


def test_the_host_is_ready(host: Machine) -> None:
    assert read(host, "/var/lib/geobench/state") == "ready\n", read(host, "/var/log/cloud-init-output.log")[-3000:]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_the_host_lacked_is_installed(host: Machine, name: str) -> None:
    log = [line.split()[2:] for line in read(host, "/var/log/dpkg.log").splitlines()]
    before = [version for action, package, version, *_ in log if action == "install" and package.split(":")[0] == name]
    assert before == ["<none>"]
    assert run(host, f"dpkg-query -W -f '${{Status}}' {name}") == "install ok installed"


@pytest.mark.parametrize("name", SERVICES)
def test_its_service_runs_and_will_after_another_start(host: Machine, name: str) -> None:
    assert run(host, f"systemctl is-active {name}") == "active"
    assert run(host, f"systemctl is-enabled {name}") == "enabled"


def test_the_node_exporter_and_prometheus_answer(host: Machine) -> None:
    assert "node_cpu_seconds_total" in run(host, "curl -fsS http://127.0.0.1:9100/metrics")
    target = '[{"targets": ["127.0.0.1:9100"], "labels": {"job": "node"}}]'
    file = f"{TARGETS_DIRECTORY}/t.json"
    run(host, f"cat >{file}.new <<<'{target}' && mv {file}.new {file}", LOGIN)
    wait_for(lambda: '"health":"up"' in run(host, "curl -fsS http://127.0.0.1:9090/api/v1/targets"), "a scrape", 30.0)


def test_the_configuration_of_the_testbed_wins_over_that_of_the_package(host: Machine) -> None:
    assert read(host, CONFIG_FILE) == monitoring_files(timedelta(seconds=5))[CONFIG_FILE]


def test_the_clock_is_amazons(host: Machine) -> None:
    assert AMAZONS_CLOCK in run(host, "chronyc -n sources")


def test_the_firewall_is_closed(host: Machine) -> None:
    assert "policy drop" in run(host, "nft list chain inet geobench input")

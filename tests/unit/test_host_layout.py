"""Scripts that run on hosts use the ports, paths and commands of `benchmark.host_layout`."""

from __future__ import annotations

import re

import pytest
from paths import ROOT

from benchmark import host_layout
from benchmark.host_scripts.inject.throttle import CONTROL

BOOTSTRAP = (ROOT / "stacks" / "cloud" / "bootstrap.sh").read_text(encoding="utf-8")
MACHINE = (ROOT / "benchmark" / "host_scripts" / "machine.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["BOOTSTRAP_COMMAND", "EXPIRY_COMMAND", "PEERS_COMMAND"])
def test_bootstrap_installs_the_commands_that_the_runner_calls(name: str) -> None:
    assert f"/usr/local/sbin/{getattr(host_layout, name)}" in BOOTSTRAP or re.search(
        rf"^ *install_command {getattr(host_layout, name)} ", BOOTSTRAP, re.MULTILINE
    )


def test_bootstrap_uses_the_paths_of_the_layout() -> None:
    assert f"STATE={host_layout.STATE_DIRECTORY}\n" in BOOTSTRAP
    assert host_layout.BOOTSTRAP_PARAMETERS in BOOTSTRAP
    assert host_layout.LOCAL_DISKS in BOOTSTRAP
    assert f"{host_layout.TARGETS_DIRECTORY} {host_layout.MARKS_FILE.rpartition('/')[0]}\n" in BOOTSTRAP


def test_scripts_use_the_ports_of_the_layout() -> None:
    assert f"http://127.0.0.1:{host_layout.PROMETHEUS_PORT}/-/ready" in BOOTSTRAP
    assert f"http://127.0.0.1:{host_layout.GRAFANA_PORT}/api/health" in BOOTSTRAP
    assert f"get {host_layout.NODE_EXPORTER_PORT} /metrics" in MACHINE
    assert f"get {host_layout.PROMETHEUS_PORT} /api" in MACHINE
    assert f"TARGETS={host_layout.TARGETS_DIRECTORY}\n" in MACHINE


def test_faults_of_disks_use_the_path_of_the_layout() -> None:
    assert f"{host_layout.DISK_CONTROL}/disk" == CONTROL

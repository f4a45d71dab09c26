"""Files of a network; a running network is tested in integration/test_wan.py."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError
from stacks.local.wan.links import Direction, Links
from stacks.local.wan.network import WideAreaNetwork
from stacks.local.wan.resource import NetworkProvider


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WideAreaNetwork:
    """A network that has claimed subnet 3 and whose emulator does not run."""
    monkeypatch.setenv("GEOBENCH_STATE_DIR", str(tmp_path))
    network = WideAreaNetwork("t")
    network.directory.mkdir(parents=True)
    (network.directory / "subnet").write_text("3")
    return network


def started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_files_are_in_the_testbeds_folder(network: WideAreaNetwork, tmp_path: Path) -> None:
    assert network.directory == tmp_path / "t" / "network"
    assert network.subnet == "198.18.48.0/20"
    assert network.operator_address == "198.18.48.1"


def test_addresses_are_claimed_kept_and_released(network: WideAreaNetwork) -> None:
    assert network.claim_address("a") == "198.18.48.2"
    assert network.claim_address("b") == "198.18.48.3"
    assert WideAreaNetwork("t").claim_address("a") == "198.18.48.2"
    network.release_address("a")
    network.release_address("a")
    assert network.claim_address("c") == "198.18.48.2"
    assert network.claim_address("b") == "198.18.48.3"


def test_hosts_started_in_parallel_get_different_addresses(network: WideAreaNetwork) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(network.claim_address, [f"h{number}" for number in range(60)]))
    assert len(set(found)) == 60


def test_claiming_another_subnet_releases_all_addresses(network: WideAreaNetwork) -> None:
    network.claim_address("a")
    network.claim_subnet(3)
    assert (network.directory / "addresses.json").exists()
    network.claim_subnet(4)
    assert network.claim_address("b") == "198.18.64.2"


def test_before_start_every_query_names_the_command_that_creates_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEOBENCH_STATE_DIR", str(tmp_path))
    network = WideAreaNetwork("new")
    assert not network.running()
    with pytest.raises(InfrastructureError, match=r"testbed new has no network on this machine .*`pulumi up`"):
        _ = network.subnet
    with pytest.raises(InfrastructureError, match="has no network"):
        network.claim_address("a")
    with pytest.raises(InfrastructureError, match="does not answer"):
        network.hosts()
    network.release_address("a")
    network.detach("a")
    assert list(tmp_path.iterdir()) == []


def test_a_process_with_a_reused_id_is_not_the_emulator(network: WideAreaNetwork) -> None:
    file = network.directory / "emulator.pid"
    file.write_text(f"{os.getpid()} {started(os.getpid())}\n")
    assert network.identity() == f"{os.getpid()} {started(os.getpid())}"
    file.write_text(f"{os.getpid()} 1\n")
    assert not network.running()
    file.write_text("")
    assert not network.running()


def test_an_ended_process_is_not_the_emulator(network: WideAreaNetwork) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout
    identity = f"{process.pid} {started(process.pid)}"
    (network.directory / "emulator.pid").write_text(identity)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, but a zombie
    assert not network.running()
    process.communicate()
    assert not network.running()


@pytest.mark.integration
def test_a_failed_start_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOBENCH_STATE_DIR", str(tmp_path))
    identities: list[str | None] = []

    def refuse(network: WideAreaNetwork) -> None:
        identities.append(network.identity())
        raise InfrastructureError("no interface")

    monkeypatch.setattr(WideAreaNetwork, "_attach_operator", refuse)
    network = WideAreaNetwork("t")
    with pytest.raises(InfrastructureError, match="no interface"):
        network.start(Links({"a->a": Direction(0.5)}))
    assert identities[0]
    assert not network.running()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("testbed_id", ["../x", "a/b", "", "..", ".", "A", "a\n", "-a", "x" * 32, "/etc"])
def test_an_id_that_leads_out_of_the_folder_of_testbeds_is_rejected(
    testbed_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "tracebacklimit", 1000, raising=False)  # restored after the provider has set it
    with pytest.raises(InfrastructureError, match="invalid id; use lower-case letters"):
        WideAreaNetwork(testbed_id)
    with pytest.raises(InfrastructureError, match="invalid id"):
        NetworkProvider().delete(testbed_id, {"testbed_id": testbed_id, "links": "{}"})  # type: ignore[typeddict-item]

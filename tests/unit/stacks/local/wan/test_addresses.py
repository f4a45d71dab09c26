"""Claims of subnets and addresses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.errors import InfrastructureError
from stacks.local.wan import addresses


def claim(state: Path, testbed_id: str, index: int) -> None:
    folder = state / testbed_id / "network"
    folder.mkdir(parents=True)
    (folder / "subnet").write_text(f"{index}")


def test_the_subnets_divide_the_benchmark_range() -> None:
    assert len(addresses.SUBNETS) == 32
    assert str(addresses.SUBNETS[0]) == "198.18.0.0/20"
    assert str(addresses.SUBNETS[31]) == "198.19.240.0/20"


def test_a_testbed_is_offered_its_own_subnet_first(tmp_path: Path) -> None:
    claim(tmp_path, "one", 0)
    claim(tmp_path, "two", 5)
    assert addresses.free_subnets(tmp_path, "two")[:3] == [5, 1, 2]
    assert addresses.free_subnets(tmp_path, "three")[0] == 1
    assert 5 not in addresses.free_subnets(tmp_path, "three")


def test_an_invalid_claim_is_ignored(tmp_path: Path) -> None:
    claim(tmp_path, "one", 0)
    (tmp_path / "one" / "network" / "subnet").write_text("")
    assert addresses.subnet_claims(tmp_path) == {}


def test_without_a_free_subnet_the_error_names_the_testbeds(tmp_path: Path) -> None:
    for index in range(32):
        claim(tmp_path, f"t{index}", index)
    with pytest.raises(InfrastructureError, match=r"all 32 subnets .* in use, by t0, t1, t10.*destroy a testbed"):
        addresses.free_subnets(tmp_path, "new")
    assert addresses.free_subnets(tmp_path, "t7") == [7]


def test_hosts_get_the_lowest_free_address_after_the_operator() -> None:
    assert addresses.lowest_free(1, set()) == "198.18.16.2"
    assert addresses.lowest_free(1, {"198.18.16.2", "198.18.16.4"}) == "198.18.16.3"


def test_a_full_subnet_is_an_error() -> None:
    taken = {str(address) for address in addresses.SUBNETS[0].hosts()}
    with pytest.raises(InfrastructureError, match=r"all addresses of 198\.18\.0\.0/20 are in use"):
        addresses.lowest_free(0, taken)


def test_the_state_folder_comes_from_the_environment_or_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOBENCH_STATE_DIR", "/tmp/elsewhere")
    assert addresses.state_folder() == Path("/tmp/elsewhere")
    monkeypatch.delenv("GEOBENCH_STATE_DIR")
    assert addresses.state_folder() == Path("/var/lib/geobench")


def test_a_file_is_replaced_atomically(tmp_path: Path) -> None:
    file = tmp_path / "addresses.json"
    assert addresses.read_addresses(file) == {}
    addresses.write_atomically(file, '{"a": "198.18.0.2"}')
    assert addresses.read_addresses(file) == {"a": "198.18.0.2"}
    assert list(tmp_path.iterdir()) == [file]


def test_one_process_at_a_time_holds_the_machines_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "RUNTIME", tmp_path)
    script = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    take = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with addresses.machine_lock():
        assert subprocess.run(take, check=False, capture_output=True).returncode != 0
    assert subprocess.run(take, check=False, capture_output=True).returncode == 0
